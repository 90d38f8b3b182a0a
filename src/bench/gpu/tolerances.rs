//! What results of a GPU may differ by from those of the CPU.

#[cfg(feature = "cudnn")]
use crate::training::training_config::ComputeType;

/// Estimates of machines in units of pixels, which lie in [-1, 1]: single precision on a GPU against double precision on
/// the CPU. `tests/emulator` allows the same.
pub const ESTIMATE: f64 = 2e-4;
/// Posterior entropies of machines in nats, likewise.
pub const ENTROPY_NATS: f64 = 1e-3;
/// Votes of a whole image add up, and so do their errors: the attention machine is allowed so many times as much.
pub const SHARED_FACTOR: f64 = 5.0;
/// Distances of patches that differ by less, absolutely or as a share, are equal in single precision.
pub const EQUAL_DISTANCES: f64 = 2e-5;

/// Largest difference of a network's prediction by its largest value. What networks make is compared with theory, so
/// without TensorFloat-32.
#[cfg(feature = "cudnn")]
pub const PREDICTION: f64 = 1e-4;

/// Relative differences that a training may have from one in single precision on the CPU. Rounding grows from step to step,
/// as it does between any two devices.
#[cfg(feature = "cudnn")]
pub struct TrainingTolerance {
    /// Of the first step's loss.
    pub first_loss: f64,
    /// Of the first step's gradient norm.
    pub first_gradient_norm: f64,
    /// Of the loss, on average over 100 steps.
    pub mean_loss: f64,
}

/// The tolerance of each number type of training.
#[cfg(feature = "cudnn")]
pub const TRAINING: [(ComputeType, TrainingTolerance); 3] = [
    (ComputeType::F32, tolerance(2e-5, 2e-2)),
    (ComputeType::Tf32, tolerance(5e-3, 5e-2)),
    (ComputeType::Bf16, tolerance(2e-2, 5e-2)),
];

#[cfg(feature = "cudnn")]
const fn tolerance(first_loss: f64, mean_loss: f64) -> TrainingTolerance {
    TrainingTolerance { first_loss, first_gradient_norm: 10.0 * first_loss, mean_loss }
}
