//! How a network is trained: the choices, already checked.

pub use crate::network::gpu::plan::ComputeType;

/// Everything that decides the result of training besides network and data.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingConfig {
    /// Optimiser updates in all.
    pub steps: usize,
    /// Images per update.
    pub batch: usize,
    /// Seed of weights, data order, noise and noise levels.
    pub seed: u64,
    /// Peak learning rate.
    pub rate: f64,
    /// Pieces that a batch is computed in, one after the other; memory shrinks, the update stays the
    /// same to rounding. Divides `batch`.
    pub accumulate: usize,
    /// What a GPU computes products and convolutions in; the CPU always uses single precision.
    pub compute_type: ComputeType,
    /// Updates over which the rate rises linearly from 0.
    pub warmup: usize,
    /// Updates at the peak rate after that, before `decay` begins.
    pub hold: usize,
    pub decay: RateDecay,
    pub weighting: LossWeighting,
    /// AdamW's decoupled weight decay.
    pub weight_decay: f64,
    /// Gradients are scaled down to this global 2-norm; infinity leaves them alone.
    pub clip_norm: f64,
    /// Decay of the exponential moving average of weights, which samples are made with.
    pub ema_decay: f64,
    /// Updates between checkpoints.
    pub checkpoint_every: usize,
    /// Newest complete checkpoints that are kept.
    pub keep_checkpoints: usize,
    /// Checkpoints at multiples of this are kept as well; 0: none.
    pub keep_every: usize,
    /// Updates in a row without a finite loss and gradient after which training goes back to the last
    /// checkpoint.
    pub rollback_after: usize,
    /// Updates over which the mean loss must fall by a thousandth, or training ends early; 0: never.
    pub patience: usize,
    /// Minutes of training, over all resumes, after which it ends early; 0: no limit.
    pub minutes: f64,
}

impl TrainingConfig {
    /// Everything that decides the weights after a given number of updates, in words: a checkpoint is
    /// only continued with the same. Settings that came after the first release of the format are left
    /// out at their defaults, so that older runs can still be resumed.
    pub fn identity(&self) -> String {
        let Self { steps, batch, seed, rate, warmup, decay, weighting, .. } = self;
        let Self { weight_decay, clip_norm, ema_decay, .. } = self;
        let mut words = format!(
            "steps {steps}, batch {batch}, seed {seed}, rate {rate}, warmup {warmup}, decay {decay:?}, \
             weighting {weighting:?}, weight_decay {weight_decay}, clip_norm {clip_norm}, \
             ema_decay {ema_decay}"
        );
        for (name, value, default) in [("accumulate", self.accumulate, 1), ("hold", self.hold, 0)] {
            if value != default {
                words.push_str(&format!(", {name} {value}"));
            }
        }
        words
    }
}

/// What happens to the learning rate after warm-up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RateDecay {
    Constant,
    /// Half a cosine down to zero at the last step.
    Cosine,
    /// Multiplied by this factor by the last step, evenly in the logarithm.
    Exponential {
        final_factor: f64,
    },
}

/// How much the error of the predicted noise counts at each noise level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LossWeighting {
    /// Equally everywhere: the loss of KG and of most diffusion models.
    Noise,
    /// As the error of the velocity, `1 / abar` = 1 + sigma^2 / abar, but at most `limit`: more weight
    /// where the noise is high and the image as a whole is decided.
    Velocity { limit: f64 },
}

impl LossWeighting {
    /// The factor on the squared error of the noise at signal power `abar`.
    pub fn factor(&self, abar: f64) -> f64 {
        match *self {
            Self::Noise => 1.0,
            Self::Velocity { limit } => abar.recip().min(limit),
        }
    }
}

/// A small configuration for tests.
#[cfg(test)]
pub fn example() -> TrainingConfig {
    TrainingConfig {
        steps: 100,
        batch: 8,
        seed: 1,
        rate: 3e-3,
        accumulate: 1,
        compute_type: ComputeType::F32,
        warmup: 5,
        hold: 0,
        decay: RateDecay::Cosine,
        weighting: LossWeighting::Noise,
        weight_decay: 0.01,
        clip_norm: 1.0,
        ema_decay: 0.99,
        checkpoint_every: 10,
        keep_checkpoints: 2,
        keep_every: 0,
        rollback_after: 3,
        patience: 0,
        minutes: 0.0,
    }
}
