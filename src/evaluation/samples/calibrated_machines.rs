//! Machines under calibrated settings.

use std::path::Path;

use anyhow::{Context, Result};

use super::machine_set::{MachineEntry, MachineSet};
use crate::config::NamedMachine;
use crate::evaluation::calibration::{Calibration, MachineFamily, MachinesByClass, Subject};
use crate::theory::machine_spec::MachineKind;

impl MachineSet {
    /// The machines that have settings to calibrate, for the noise seeds from `first_seed` on.
    pub fn subjects(&self, first_seed: u64) -> Vec<Subject<'_>> {
        let subject = |entry| self.subject(entry, first_seed);
        self.entries.iter().filter_map(subject).collect()
    }

    fn subject<'a>(&'a self, entry: &'a MachineEntry, first_seed: u64) -> Option<Subject<'a>> {
        let NamedMachine { name, spec } = &entry.machine;
        let source = spec.kind.attention_source();
        let by_class = match (&spec.kind, source) {
            (&MachineKind::Attention { pool, .. }, Some(source)) => {
                let images = self.dictionaries.iter();
                let window = spec.window;
                let family = |images| MachineFamily::Attention { pool, window, source, images };
                images.map(|images| family(images)).collect()
            }
            // Solved for the whole class: nothing is left to fit.
            (MachineKind::OptimalAttention(_), _) => return None,
            (kind, _) if kind.uses_patches() => {
                entry.ready.iter().map(|machine| MachineFamily::Plain { machine }).collect()
            }
            _ => return None,
        };
        let machines = MachinesByClass { first_seed, by_class };
        Some(Subject { name: name.clone(), source, machines })
    }

    /// The same machines under the schedules of a calibration; without one, under their own settings.
    ///
    /// # Errors
    /// If a schedule does not fit the training images.
    pub fn calibrated(&self, calibration: Option<&Calibration>) -> Result<Self> {
        let own: Vec<NamedMachine> = self.machines().cloned().collect();
        let machines = calibration.map_or_else(
            || own.clone(),
            |found| {
                // Every class has the same copies.
                found.apply(&own, self.augmentation())
            },
        );
        self.with_machines(machines).context("building the calibrated machines")
    }

    /// The same machines under the calibration in `path` if that is of `n_steps` sampling steps, otherwise under their
    /// own settings.
    ///
    /// # Errors
    /// If the calibration cannot be read, or a schedule does not fit the training images.
    pub fn with_saved_calibration(&self, path: &Path, n_steps: usize) -> Result<Self> {
        let calibration = Calibration::read(path)?.filter(|found| found.n_steps == n_steps);
        self.calibrated(calibration.as_ref())
    }
}
