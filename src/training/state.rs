//! The state of training - weights, optimiser and averaged weights - and whoever computes its steps: candle's tensors
//! ([`super::tensors`]) or a GPU's recorded commands ([`super::gpu`]).

use std::sync::Arc;

use super::config::TrainingConfig;
use super::error::TrainingError;
use super::gpu;
use super::tensors::Tensors;
use crate::dataset::Dataset;
use crate::network::{Network, TensorMap};

/// What one step computed, before it is judged.
pub struct Outcome {
    /// Time t and mean squared error of the predicted noise, for each image of the batch.
    pub errors: Vec<(f64, f64)>,
    /// Global 2-norm before clipping.
    pub gradient_norm: f64,
}

/// What a checkpoint restores.
pub struct Restored {
    pub n_updates: u64,
    pub weights: TensorMap,
    /// The optimiser's moments.
    pub moments: TensorMap,
    /// Averaged weights.
    pub average: TensorMap,
}

/// Weights, optimiser and average of one network in training.
pub trait TrainingState {
    /// Step `step`, counted from 0. No weight changes unless loss and gradient are finite.
    fn step(&mut self, network: &Network, step: u64) -> Result<Outcome, TrainingError>;

    /// Updates made; skipped steps make none.
    fn n_updates(&self) -> u64;

    /// The weights; where `network` itself is trained, shared with it.
    fn weights(&self, network: &Network) -> Result<TensorMap, TrainingError>;

    fn average(&self) -> Result<TensorMap, TrainingError>;

    fn moments(&self) -> Result<TensorMap, TrainingError>;

    fn restore(&mut self, network: &Network, saved: Restored) -> Result<(), TrainingError>;
}

/// The state of a network that was not trained yet, on the network's device; and a warning about how steps are computed,
/// if users should know.
pub fn fresh(
    config: &TrainingConfig,
    network: &Network,
    dataset: &Arc<Dataset>,
) -> Result<(Box<dyn TrainingState>, Option<String>), TrainingError> {
    let mut warning = None;
    if !network.device().is_cpu() {
        match gpu::fresh(config, network, dataset)? {
            Ok(found) => return Ok(found),
            Err(problem) => {
                warning = Some(format!(
                    "training uses the slower path, candle in single precision: {problem}"
                ));
            }
        }
    }
    Ok((Box::new(Tensors::new(config, network, dataset.clone())?), warning))
}
