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
        weight_decay: 0.01,
        clip_norm: 1.0,
        ema_decay: 0.99,
        checkpoint_every: 10,
        keep_checkpoints: 2,
    }
}
