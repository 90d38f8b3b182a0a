//! How a network is trained: the choices, already checked.

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
    /// Updates over which the rate rises linearly from 0.
    pub warmup: usize,
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
    /// Complete checkpoints that are kept.
    pub keep_checkpoints: usize,
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
        warmup: 5,
        decay: RateDecay::Cosine,
        weighting: LossWeighting::Noise,
        weight_decay: 0.01,
        clip_norm: 1.0,
        ema_decay: 0.99,
        checkpoint_every: 10,
        keep_checkpoints: 2,
    }
}
