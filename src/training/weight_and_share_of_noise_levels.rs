//! How often each noise level is drawn in training, and how much its error counts in the loss.

use super::training_config::{LossWeighting, TrainingConfig};

impl TrainingConfig {
    /// The noise level t in [0, 1] below which a share `quantile` of all drawn levels lies, up to their order: the first
    /// `focus_share` of the quantiles cover `focus_from..focus_to` evenly, the others cover (0, 1) evenly.
    pub fn time_at(&self, quantile: f64) -> f64 {
        let share = self.focus_share;
        if quantile < share {
            self.focus_from + (self.focus_to - self.focus_from) * (quantile / share)
        } else {
            (quantile - share) / (1.0 - share)
        }
    }

    /// The factor on the squared error of the predicted noise at signal power `abar`, in (0, 1].
    pub fn loss_weight(&self, abar: f64) -> f64 {
        match self.weighting {
            LossWeighting::Noise => 1.0,
            LossWeighting::Velocity => abar.recip().min(self.weighting_limit),
        }
    }
}
