//! The state of training - weights, optimiser and averaged weights - and its steps. There are two: candle's tensors
//! ([`super::tensors`]) and a GPU's recorded commands ([`super::gpu`]).

use super::error::TrainingError;
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
