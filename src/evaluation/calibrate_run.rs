//! Calibrates a run's machines against its network, from the calibration seeds.

use std::num::NonZeroUsize;
use std::sync::atomic::AtomicBool;

use super::calibration::{Calibrated, Calibration, Subject, Target, calibrate};
use super::network_and_machines_of_run::Trained;
use super::samples::{recording_maps, with_classes};
use crate::config::noise_seed_purposes::NoiseSeeds;
use crate::config::{CalibrationGrid, LargestSide};
use crate::diffusion::DenoiseError;

impl Trained {
    /// Whether a saved calibration holds every machine, so that [`Self::calibrate`] leaves it as it is.
    pub fn is_fitted_by(&self, saved: &Calibration, auto: LargestSide) -> bool {
        let is_there = |subject: &Subject<'_>| self.saved_fit(saved, subject, auto).is_some();
        self.machine_set.subjects(0).iter().all(is_there)
    }

    /// Calibrates the machines, except those that `saved` holds; `progress` is called with a
    /// description of each machine before it. `auto` is what `auto` means in calibrate.k_up_to if the network has
    /// attention. `None` if the experiment wants no calibration seeds, or no machine has settings to calibrate.
    ///
    /// # Errors
    /// If a denoiser fails, or [`DenoiseError::Cancelled`] once `stop` is set.
    pub fn calibrate(
        &self,
        auto: LargestSide,
        saved: Option<&Calibration>,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Option<Calibration>, DenoiseError> {
        let Self { experiment, machine_set, network, step, .. } = self;
        let wanted = experiment.calibrate.seeds.map_or(0, NonZeroUsize::get);
        let chosen = NoiseSeeds::calibration(wanted.min(self.noise.n_calibration()));
        let (first, n_seeds) = (chosen.first(), chosen.len());
        let subjects = machine_set.subjects(first);
        if subjects.is_empty() {
            return Ok(None);
        }
        if let Some(saved) = saved.filter(|saved| self.is_fitted_by(saved, auto)) {
            return Ok(Some(saved.clone()));
        }
        if chosen.is_empty() || !network.has_steps() {
            return Ok(None);
        }
        // One file is of one set of noise seeds.
        let saved = saved.filter(|saved| {
            saved.noise_seed == experiment.noise_seed
                && (saved.first_seed, saved.n_seeds) == (first, n_seeds)
        });
        let grid = self.calibration_grid(auto);
        let kept: Vec<Option<Calibrated>> = subjects
            .iter()
            .map(|subject| saved.and_then(|saved| self.saved_fit(saved, subject, auto)).cloned())
            .collect();
        let missing: Vec<Subject<'_>> = subjects
            .into_iter()
            .zip(&kept)
            .filter_map(|(subject, kept)| kept.is_none().then_some(subject))
            .collect();
        let (config, ddim) = (network.config(), machine_set.ddim());
        let denoiser = &recording_maps(with_classes(network, first, n_seeds));
        let seeds = self.noise.images(first, n_seeds, config.image);
        let target = Target { denoiser, ddim, seeds };
        let made = calibrate(&target, &missing, &grid, stop, progress)?;
        let mut made = made.into_iter();
        Ok(Some(Calibration {
            format: 1,
            step: *step,
            noise_seed: experiment.noise_seed,
            first_seed: first,
            n_seeds,
            n_steps: ddim.n_steps,
            machines: kept.into_iter().filter_map(|kept| kept.or_else(|| made.next())).collect(),
        }))
    }

    fn calibration_grid(&self, auto: LargestSide) -> CalibrationGrid {
        self.experiment.calibration_grid(self.network.config(), auto)
    }

    /// A machine's fit in `saved`, if it is of this network and number of steps. A fit with the patch sides of a run's own
    /// report does not count where wider ones are to compete; any others were chosen by whoever calibrated the run.
    fn saved_fit<'a>(
        &self,
        saved: &'a Calibration,
        subject: &Subject<'_>,
        auto: LargestSide,
    ) -> Option<&'a Calibrated> {
        let is_of_this =
            saved.step == self.step && saved.n_steps == self.machine_set.ddim().n_steps;
        let sides = |auto| subject.machines.sides(&self.calibration_grid(auto));
        let is_same = |machine: &&Calibrated| {
            machine.machine == subject.name && machine.variant == subject.machines.variant()
        };
        let found = saved.machines.iter().find(is_same)?;
        let is_too_narrow = found.sides == sides(LargestSide::Field) && found.sides != sides(auto);
        (is_of_this && !found.sides.is_empty() && !is_too_narrow).then_some(found)
    }
}
