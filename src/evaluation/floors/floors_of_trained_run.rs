//! The floors of a trained run and its network's excess over them.

use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};

use super::floor_machines::floor_dictionaries;
use super::floors_file::RunFloors;
use super::network_error_by_level::{class_floor, network_excess};
use crate::analysis::excess_over_floor::{Bound, Convergence, LevelExcess};
use crate::config::Experiment;
use crate::dataset::Dataset;
use crate::evaluation::load_networks_and_data::open_held_out;
use crate::evaluation::network_and_machines_of_run::Trained;
use crate::network::network_config::NetworkConfig;

/// A network's errors beside the floors of its class and data set.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkFloors {
    pub floors: RunFloors,
    /// The machine whose error is the floor of the network's class; see [`class_floor`].
    pub class_floor: &'static str,
    /// How that error relates to the floor of the class.
    pub bound: Bound,
    pub levels: Vec<LevelExcess>,
    pub convergence: Convergence,
}

impl Trained {
    /// Measures the run's floors, or reads them if they are in its directory, and the network's excess. `progress` is
    /// called with the number of levels whose floors are known. `None` if compare.floor_draws is 0.
    ///
    /// # Errors
    ///
    /// If a denoiser fails, if the floors cannot be written or the held-out images cannot be opened, or
    /// [`Cancelled`](crate::diffusion::DenoiseError::Cancelled) once `stop` is set.
    pub fn floors(
        &self,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Option<NetworkFloors>> {
        let n_draws = self.experiment.compare.floor_draws;
        if n_draws == 0 || !self.network.knows_noised_images() {
            return Ok(None);
        }
        let config = self.network.config();
        let augmentation = self.experiment.training.augment;
        let trained_on = self.dataset.augmented(augmentation);
        let dictionaries = floor_dictionaries(&trained_on, augmentation, &self.machine_set)?;
        let floors = RunFloors::load_or_measure(
            &self.run.floors_path(),
            &trained_on,
            &dictionaries,
            (config, self.machine_set.optimal_class()),
            (n_draws.max(2), self.experiment.noise_seed),
            stop,
            progress,
        )?;
        let n = floors.n_draws();
        let (class_floor, bound) = class_floor(config, &floors);
        let held_out = self.held_out(n);
        let levels =
            network_excess(&self.network, &trained_on, held_out.as_ref(), &floors, n, stop)
                .context("measuring the network's error by noise level")?;
        Ok(Some(NetworkFloors {
            class_floor,
            bound,
            convergence: Convergence::of(&levels, config.schedule),
            levels,
            floors,
        }))
    }

    /// Up to `n` images that the network was not trained on, of the shape and the classes that it knows. `None` if there are none, or
    /// if they cannot be read: files beyond the training subset may be damaged, and no result depends on them.
    pub fn held_out(&self, n: usize) -> Option<Dataset> {
        if !self.network.knows_noised_images() {
            return None;
        }
        held_out_images(&self.experiment, self.network.config(), n)
    }
}

/// Up to `n` images of the experiment's set that are not training images, of the network's shape and classes; `None` if there
/// are none or they cannot be read.
pub fn held_out_images(
    experiment: &Experiment,
    network: &NetworkConfig,
    n: usize,
) -> Option<Dataset> {
    let found = open_held_out(experiment, n).ok().flatten()?;
    let is_known = |&i: &usize| match (network.n_classes, found.labels()) {
        (Some(n), Some(labels)) => usize::from(labels[i]) < n,
        _ => true,
    };
    let known: Vec<usize> = (0..found.len()).filter(is_known).collect();
    (found.shape() == network.image && !known.is_empty()).then(|| found.select(&known))
}
