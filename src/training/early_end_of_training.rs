//! Early end of training: the loss no longer falls, or the time limit is reached.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::training_config::TrainingConfig;

/// The mean loss must fall below this fraction of the best one.
const ENOUGH: f64 = 0.999;

/// Progress of training. It is part of a checkpoint, so that a resumed run ends where an uninterrupted one
/// would (except for time). Floats are stored as bits, because a checkpoint's manifest must read back exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    nanoseconds: u64,
    /// Sum of the loss over the updates since the last check.
    sum_bits: u64,
    n: u64,
    best_bits: Option<u64>,
    is_stuck: bool,
}

impl Progress {
    /// Records an update with its loss and duration.
    pub fn add(&mut self, config: &TrainingConfig, loss: f64, time: Duration) {
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds = self.nanoseconds.saturating_add(time);
        let Some(patience) = config.patience else { return };
        let sum = f64::from_bits(self.sum_bits) + loss;
        (self.sum_bits, self.n) = (sum.to_bits(), self.n + 1);
        if self.n >= patience.get() as u64 {
            let mean = sum / self.n as f64;
            let best = self.best_bits.map_or(f64::INFINITY, f64::from_bits);
            self.is_stuck = mean > best * ENOUGH;
            self.best_bits = Some(mean.min(best).to_bits());
            (self.sum_bits, self.n) = (0, 0);
        }
    }

    /// Total time spent on updates.
    pub fn time(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds)
    }

    /// The reason why training should end now, if there is one.
    pub fn end(&self, config: &TrainingConfig) -> Option<String> {
        if let Some(patience) = config.patience.filter(|_| self.is_stuck) {
            return Some(format!("the loss did not fall over {patience} steps"));
        }
        let is_spent = config.minutes > 0.0 && self.time().as_secs_f64() >= config.minutes * 60.0;
        is_spent.then(|| format!("the limit of {} minutes is reached", config.minutes))
    }

    /// True if nothing is recorded; manifests then omit the field, which older ones do not have.
    pub fn is_fresh(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::training::training_config::example;

    #[test]
    fn training_ends_when_the_loss_no_longer_falls() {
        let config = TrainingConfig { patience: NonZeroUsize::new(3), ..example() };
        let mut progress = Progress::default();
        for loss in [9.0, 9.0, 9.0, 8.0, 8.0, 8.0, 8.0, 8.0] {
            progress.add(&config, loss, Duration::ZERO);
            assert_eq!(progress.end(&config), None);
        }
        progress.add(&config, 7.99, Duration::ZERO);
        assert!(progress.end(&config).unwrap().contains("over 3 steps"));
    }

    #[test]
    fn training_ends_when_its_time_is_up() {
        let config = TrainingConfig { minutes: 0.5, ..example() };
        let mut progress = Progress::default();
        progress.add(&config, 1.0, Duration::from_secs(29));
        assert_eq!(progress.end(&config), None);
        progress.add(&config, 1.0, Duration::from_secs(1));
        assert!(progress.end(&config).unwrap().contains("0.5 minutes"));
    }
}
