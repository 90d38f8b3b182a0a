//! Training settings, already validated.

use strum::{EnumString, IntoStaticStr, VariantNames};

use std::num::NonZeroUsize;

use crate::image::Augmentation;

pub use crate::network::gpu::compute_type::ComputeType;

/// Everything besides network and data that determines the result of training.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingConfig {
    /// Total number of optimiser updates.
    pub steps: usize,
    /// Images per update.
    pub batch: usize,
    /// Rng seed of weights, data order, noise and noise levels.
    pub seed: u64,
    /// Which mirrored and turned copies of an image are drawn in its place, each with equal probability.
    pub augment: Augmentation,
    /// Share of noise levels drawn from `focus_from..focus_to` only, in [0, 1]; the others are drawn from all of (0, 1).
    pub focus_share: f64,
    /// In [0, 1), less than `focus_to`.
    pub focus_from: f64,
    /// In (0, 1].
    pub focus_to: f64,
    pub optimizer: OptimizerKind,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Micro-batches per update, computed one after the other: less memory, the same update up to rounding.
    /// Divides `batch`.
    pub accumulate: usize,
    /// Number format of GPU multiplications; the CPU always uses single precision.
    pub compute_type: ComputeType,
    /// Updates over which the learning rate rises linearly from 0.
    pub warmup: usize,
    /// Updates at the peak learning rate after warm-up, before `lr_schedule` begins.
    pub lr_hold_steps: usize,
    pub lr_schedule: LrSchedule,
    /// Learning rate at the last step as a fraction of the peak, for [`LrSchedule::Exponential`].
    pub final_factor: f64,
    pub weighting: LossWeighting,
    /// Largest weight of a noise level, for [`LossWeighting::Velocity`].
    pub weighting_limit: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Gradients are scaled down to this global 2-norm; infinity disables clipping.
    pub clip_norm: f64,
    /// Decay of the exponential moving average of the weights, which is used for sampling.
    pub ema_decay: f64,
    /// Updates between checkpoints.
    pub checkpoint_every: usize,
    /// Number of newest complete checkpoints to keep.
    pub keep_checkpoints: usize,
    /// Checkpoints at multiples of this step are kept as well.
    pub keep_every: Option<NonZeroUsize>,
    /// Number of consecutive updates with a non-finite loss or gradient after which training returns to the
    /// last checkpoint.
    pub rollback_after: usize,
    /// Number of updates over which the mean loss must fall by a thousandth; otherwise training ends early.
    pub patience: Option<NonZeroUsize>,
    /// Minutes of training, over all resumes, after which it ends early; 0 means no limit.
    pub minutes: f64,
}

/// The values of settings that `lab.toml` leaves out.
impl Default for TrainingConfig {
    fn default() -> Self {
        Self {
            steps: 4000,
            batch: 16,
            seed: 0,
            augment: Augmentation::None,
            focus_share: 0.0,
            focus_from: 0.3,
            focus_to: 0.75,
            optimizer: OptimizerKind::AdamW,
            learning_rate: 4e-3,
            accumulate: 1,
            compute_type: ComputeType::Tf32,
            warmup: 300,
            lr_hold_steps: 0,
            lr_schedule: LrSchedule::Cosine,
            final_factor: 0.01,
            weighting: LossWeighting::Velocity,
            weighting_limit: 10.0,
            weight_decay: 0.0,
            clip_norm: 1.0,
            ema_decay: 0.998,
            checkpoint_every: 1000,
            keep_checkpoints: 2,
            keep_every: None,
            rollback_after: 20,
            patience: None,
            minutes: 0.0,
        }
    }
}

/// The optimiser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum OptimizerKind {
    /// On the CPU and on GPUs.
    AdamW,
    /// On the CPU only.
    Soap,
}

/// The learning rate's course after warm-up and `lr_hold_steps`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum LrSchedule {
    Constant,
    /// Half a cosine down to zero at the last step.
    Cosine,
    /// Exponentially down to `final_factor` times the peak at the last step.
    Exponential,
}

/// Weight of the noise-prediction error at each noise level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum LossWeighting {
    /// Equal at all levels: the loss of KG and of most diffusion models.
    Noise,
    /// Equivalent to the error of the velocity, `1 / abar` = 1 + sigma^2 / abar, but at most `weighting_limit`:
    /// more weight at high noise, where the global structure of the image is decided.
    Velocity,
}

/// A small configuration for tests.
#[cfg(test)]
pub fn example() -> TrainingConfig {
    TrainingConfig {
        steps: 100,
        batch: 8,
        seed: 1,
        learning_rate: 3e-3,
        compute_type: ComputeType::F32,
        warmup: 5,
        weighting: LossWeighting::Noise,
        weight_decay: 0.01,
        ema_decay: 0.99,
        checkpoint_every: 10,
        rollback_after: 3,
        ..TrainingConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_uniform_unless_a_share_is_focused() {
        let quantiles = || (0..1000).map(|i| (f64::from(i) + 0.5) / 1000.0);
        let uniform = TrainingConfig::default();
        assert!(quantiles().all(|q| uniform.time_at(q) == q));
        let (focus_share, focus_from, focus_to) = (0.6, 0.2, 0.7);
        let focused = TrainingConfig { focus_share, focus_from, focus_to, ..uniform };
        let times: Vec<f64> = quantiles().map(|q| focused.time_at(q)).collect();
        let share = |from: f64, to: f64| {
            times.iter().filter(|t| (from..to).contains(*t)).count() as f64 / 1000.0
        };
        // 0.4 of the levels over all of (0, 1), and 0.6 over (0.2, 0.7), evenly.
        for (from, to, expected) in [
            (0.0, 0.2, 0.08),
            (0.2, 0.7, 0.8),
            (0.2, 0.3, 0.16),
            (0.6, 0.7, 0.16),
            (0.7, 1.0, 0.12),
        ] {
            assert!((share(from, to) - expected).abs() <= 0.002, "{from} to {to}");
        }
    }
}
