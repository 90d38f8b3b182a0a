//! The floors of a trained run and its network's excess over them.

use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};

use super::floors_file::RunFloors;
use super::network_error_by_level::{class_floor, network_excess};
use crate::analysis::excess_over_floor::{Convergence, LevelExcess};
use crate::evaluation::load_networks_and_data::open_held_out;
use crate::evaluation::trained_run::Trained;

/// A network's errors beside the floors of its class and data set.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkFloors {
    pub floors: RunFloors,
    /// The machine whose error is the floor of the network's class; see [`class_floor`].
    pub class_floor: &'static str,
    /// Whether the network has an attention layer, so that its class is larger than the machine's.
    pub has_attention: bool,
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
        if n_draws == 0 {
            return Ok(None);
        }
        let config = self.network.network().config();
        let floors = RunFloors::load_or_measure(
            &self.run.floors_path(),
            &self.dataset,
            self.machine_set.dictionaries(),
            config,
            (n_draws, self.experiment.noise_seed),
            stop,
            progress,
        )?;
        let n = floors.n_draws();
        let held_out = open_held_out(&self.experiment, n)?;
        let levels = network_excess(&self.network, &self.dataset, held_out.as_ref(), &floors, n)
            .context("measuring the network's error by noise level")?;
        Ok(Some(NetworkFloors {
            class_floor: class_floor(config),
            has_attention: config.attention.is_some(),
            convergence: Convergence::of(&levels),
            levels,
            floors,
        }))
    }
}
