//! Errors of training.

use thiserror::Error;

use super::checkpoint::CheckpointError;
use super::checkpoint_settings::Mismatch;
use crate::network::NetworkError;
#[cfg(feature = "cudnn")]
use crate::network::gpu::error::EngineError;

/// Reason why training could not start or a step was not taken.
#[derive(Debug, Error)]
pub enum TrainingError {
    #[error(
        "step {step}: the loss is '{loss}' and the gradient's norm '{gradient_norm}'; the weights were not changed"
    )]
    NonFinite { step: u64, loss: f64, gradient_norm: f64 },
    #[error(
        "step {step}: '{name}' contains NaN or infinity: checkpoint skipped, previous one kept"
    )]
    Poisoned { step: u64, name: String },
    #[error("training cannot start: {problem}")]
    Setup { problem: String },
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error("a tensor operation failed")]
    Tensor(#[from] candle_core::Error),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    #[cfg(feature = "cudnn")]
    #[error(transparent)]
    Gpu(#[from] EngineError),
}
