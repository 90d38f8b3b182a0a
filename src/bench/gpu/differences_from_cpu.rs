//! By how much results of a GPU differ from those of the CPU, and by how much they may.

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

/// The largest absolute difference; infinite for other lengths and for what is no finite number.
pub fn largest_difference(found: &[f64], expected: &[f64]) -> f64 {
    if found.len() != expected.len() {
        return f64::INFINITY;
    }
    let pairs = found.iter().zip(expected);
    pairs.map(|(a, b)| finite_or_infinity((a - b).abs())).fold(0.0, f64::max)
}

/// [`largest_difference`] by the largest value expected.
#[cfg(feature = "cudnn")]
pub fn difference_by_largest_value(found: &[f64], expected: &[f64]) -> f64 {
    let scale = expected.iter().fold(f64::MIN_POSITIVE, |most, value| most.max(value.abs()));
    finite_or_infinity(largest_difference(found, expected) / scale)
}

/// The difference of one number as a share of the expected one.
#[cfg(feature = "cudnn")]
pub fn relative_difference(found: f64, expected: f64) -> f64 {
    finite_or_infinity((found / expected - 1.0).abs())
}

fn finite_or_infinity(difference: f64) -> f64 {
    if difference.is_finite() { difference } else { f64::INFINITY }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_and_what_is_no_number_differs_infinitely() {
        assert_eq!(largest_difference(&[1.0, 2.5, 0.0], &[1.0, 2.0, 0.1]), 0.5);
        for found in [&[1.0][..], &[1.0, f64::NAN], &[1.0, f64::INFINITY]] {
            assert_eq!(largest_difference(found, &[1.0, 2.0]), f64::INFINITY);
        }
    }

    #[cfg(feature = "cudnn")]
    #[test]
    fn shares_are_of_what_was_expected() {
        assert_eq!(difference_by_largest_value(&[1.0, 2.5], &[1.0, 2.0]), 0.25);
        assert_eq!(difference_by_largest_value(&[1.0, f64::NAN], &[1.0, 2.0]), f64::INFINITY);
        assert_eq!(relative_difference(3.0, 2.0), 0.5);
        assert_eq!(relative_difference(f64::NAN, 2.0), f64::INFINITY);
        assert_eq!(relative_difference(1.0, 0.0), f64::INFINITY);
    }
}
