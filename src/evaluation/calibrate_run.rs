//! Calibrates a run's machines against its network, from the calibration seeds.

use std::num::NonZeroUsize;
use std::sync::atomic::AtomicBool;

use super::calibration::{Calibration, Target, calibrate};
use super::network_and_machines_of_run::Trained;
use super::samples::{recording_maps, with_classes};
use crate::config::noise_seed_purposes::NoiseSeeds;
use crate::diffusion::DenoiseError;
use crate::random::noise_seeds;

impl Trained {
    /// Whether a saved calibration is of this network, this number of sampling steps and all of these machines.
    pub fn is_fitted_by(&self, saved: &Calibration) -> bool {
        let covers = |name: &str| saved.machines.iter().any(|machine| machine.machine == name);
        saved.step == self.step
            && saved.n_steps == self.machine_set.ddim().n_steps
            && self.machine_set.subjects(0).iter().all(|subject| covers(&subject.name))
    }

    /// Calibrates the machines; `progress` is called with a description of each machine before it. `None` if the
    /// experiment wants no calibration seeds, or no machine has settings to calibrate.
    ///
    /// # Errors
    /// If a denoiser fails, or [`DenoiseError::Cancelled`] once `stop` is set.
    pub fn calibrate(
        &self,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Option<Calibration>, DenoiseError> {
        let Self { experiment, machine_set, network, step, .. } = self;
        let n_seeds = experiment.calibrate.seeds.map_or(0, NonZeroUsize::get);
        let chosen = NoiseSeeds::calibration(n_seeds);
        let (first, n_seeds) = (chosen.first(), chosen.len());
        let subjects = machine_set.subjects(first);
        if chosen.is_empty() || subjects.is_empty() {
            return Ok(None);
        }
        let (config, ddim) = (network.network().config(), machine_set.ddim());
        let denoiser = &recording_maps(with_classes(network, first, n_seeds));
        let seeds = noise_seeds(experiment.noise_seed, first, n_seeds, config.image);
        let target = Target { denoiser, ddim, seeds };
        let grid = experiment.calibration_grid(config);
        Ok(Some(Calibration {
            format: 1,
            step: *step,
            noise_seed: experiment.noise_seed,
            first_seed: first,
            n_seeds,
            n_steps: ddim.n_steps,
            machines: calibrate(&target, &subjects, &grid, stop, progress)?,
        }))
    }
}
