//! The state of training - weights, optimiser and averaged weights - and its steps. There are two
//! implementations: candle tensors (`tensor_training_state`) and recorded GPU commands (`gpu_training_state`).

use super::checkpoint::Contents;
use super::error::TrainingError;
use crate::network::{Network, TensorMap};

/// Result of one step, before it is judged.
pub struct Outcome {
    /// Time t and mean squared error of the predicted noise, for each image of the batch.
    pub errors: Vec<(f64, f64)>,
    /// Global 2-norm of the gradient before clipping.
    pub gradient_norm: f64,
}

/// A state and a warning for the user, or the reason why there is none on this device.
pub type Opened = Result<(Box<dyn TrainingState>, Option<String>), String>;

/// Weights, optimiser state and averaged weights of one network in training.
pub trait TrainingState {
    /// Takes step `step`, counted from 0. No weight changes unless loss and gradient are finite.
    ///
    /// # Errors
    ///
    /// If a tensor operation or the GPU fails.
    fn step(&mut self, network: &Network, step: u64) -> Result<Outcome, TrainingError>;

    /// Number of updates made; skipped steps do not count.
    fn n_updates(&self) -> u64;

    /// The weights; shared with `network` if that itself is being trained.
    ///
    /// # Errors
    ///
    /// If the weights cannot be read from the GPU.
    fn weights(&self, network: &Network) -> Result<TensorMap, TrainingError>;

    /// The averaged weights.
    ///
    /// # Errors
    ///
    /// If the averaged weights cannot be read from the GPU.
    fn average(&self) -> Result<TensorMap, TrainingError>;

    /// The optimiser's state; AdamW's moments are `mean.NAME` and `square.NAME`.
    ///
    /// # Errors
    ///
    /// If a tensor operation fails or the moments cannot be read from the GPU.
    fn moments(&self) -> Result<TensorMap, TrainingError>;

    /// Restores weights, optimiser state and averaged weights from a checkpoint's contents.
    ///
    /// # Errors
    ///
    /// If a tensor is missing from `saved` or has another shape, or cannot be copied to the device.
    fn restore(&mut self, network: &Network, saved: Contents) -> Result<(), TrainingError>;
}
