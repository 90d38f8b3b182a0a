//! Calibrates a run's machines against its network, from the calibration seeds.

use std::num::NonZeroUsize;
use std::sync::atomic::AtomicBool;

use super::calibration::{Calibrated, Calibration, Subject, Target, calibrate};
use super::network_and_machines_of_run::Trained;
use super::samples::{recording_maps, with_classes};
use crate::config::noise_seed_purposes::NoiseSeeds;
use crate::config::{CalibrationGrid, LargestSide};
use crate::diffusion::DenoiseError;
use crate::random::noise_seeds;

impl Trained {
    /// Whether a saved calibration holds every machine as [`Self::calibrate`] would fit it, so that nothing is left to do.
    pub fn is_fitted_by(&self, saved: &Calibration, auto: LargestSide) -> bool {
        let grid = self.calibration_grid(auto);
        let is_there = |subject: &Subject<'_>| self.saved_fit(saved, subject, &grid).is_some();
        self.machine_set.subjects(0).iter().all(is_there)
    }

    /// Calibrates the machines, except those that `saved` holds as they would be found again; `progress` is called with a
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
        let chosen = self.calibration_seeds();
        let (first, n_seeds) = (chosen.first(), chosen.len());
        let subjects = machine_set.subjects(first);
        if chosen.is_empty() || subjects.is_empty() {
            return Ok(None);
        }
        let grid = self.calibration_grid(auto);
        let kept: Vec<Option<Calibrated>> = subjects
            .iter()
            .map(|subject| saved.and_then(|saved| self.saved_fit(saved, subject, &grid)).cloned())
            .collect();
        let missing: Vec<Subject<'_>> = subjects
            .into_iter()
            .zip(&kept)
            .filter_map(|(subject, kept)| kept.is_none().then_some(subject))
            .collect();
        let (config, ddim) = (network.network().config(), machine_set.ddim());
        let mut made = Vec::new();
        if !missing.is_empty() {
            let denoiser = &recording_maps(with_classes(network, first, n_seeds));
            let seeds = noise_seeds(experiment.noise_seed, first, n_seeds, config.image);
            let target = Target { denoiser, ddim, seeds };
            made = calibrate(&target, &missing, &grid, stop, progress)?;
        }
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
        self.experiment.calibration_grid(self.network.network().config(), auto)
    }

    fn calibration_seeds(&self) -> NoiseSeeds {
        NoiseSeeds::calibration(self.experiment.calibrate.seeds.map_or(0, NonZeroUsize::get))
    }

    /// A machine's fit in `saved`, if it is of this network, these seeds and steps, and these candidate patch sides.
    fn saved_fit<'a>(
        &self,
        saved: &'a Calibration,
        subject: &Subject<'_>,
        grid: &CalibrationGrid,
    ) -> Option<&'a Calibrated> {
        let seeds = self.calibration_seeds();
        let is_of_this = saved.step == self.step
            && saved.noise_seed == self.experiment.noise_seed
            && (saved.first_seed, saved.n_seeds) == (seeds.first(), seeds.len())
            && saved.n_steps == self.machine_set.ddim().n_steps;
        let sides = subject.machines.sides(grid);
        let found = saved.machines.iter().find(|machine| machine.machine == subject.name);
        found.filter(|machine| is_of_this && machine.sides == sides)
    }
}
