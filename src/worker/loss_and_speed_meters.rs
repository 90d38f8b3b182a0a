//! Means of loss, gradient and speed between two events of a training run, and of the loss by noise level.

use std::time::{Duration, Instant};

use crate::runs::event::{LossByLevel, Metrics};
use crate::training::StepReport;

/// Minimum interval between metrics events.
const METRICS_INTERVAL: Duration = Duration::from_millis(200);
/// Number of equal ranges of t for which the loss is reported.
const LEVELS: usize = 5;

/// Averages the loss per range of noise levels.
#[derive(Default)]
pub struct LevelMeter {
    /// Sum and count per range: since the last event, and in the interval before it.
    now: [(f64, usize); LEVELS],
    before: [(f64, usize); LEVELS],
}

impl LevelMeter {
    /// Adds the losses of one step, pairs of t and loss.
    pub fn add(&mut self, errors: &[(f64, f64)]) {
        for &(t, loss) in errors {
            let level = ((t * LEVELS as f64) as usize).min(LEVELS - 1);
            self.now[level].0 += loss;
            self.now[level].1 += 1;
        }
    }

    /// Means since the last call; `None` without a loss.
    pub fn take(&mut self) -> Option<LossByLevel> {
        if self.now.iter().all(|&(_, n)| n == 0) {
            return None;
        }
        self.before = std::mem::take(&mut self.now);
        Some(means(&self.before))
    }

    /// Means over the last event's steps and those since.
    pub fn recent(&self) -> LossByLevel {
        let mut sums = self.before;
        for (sum, now) in sums.iter_mut().zip(self.now) {
            *sum = (sum.0 + now.0, sum.1 + now.1);
        }
        means(&sums)
    }
}

fn means(sums: &[(f64, usize)]) -> LossByLevel {
    LossByLevel { loss: sums.iter().map(|&(sum, n)| (n > 0).then(|| sum / n as f64)).collect() }
}

/// Averages the steps between two metrics events.
pub struct Meter {
    batch: usize,
    since: Instant,
    n_steps: usize,
    n_finite: usize,
    loss: f64,
    grad_norm: f64,
    learning_rate: f64,
}

impl Meter {
    /// For steps of `batch` images.
    pub fn new(batch: usize) -> Self {
        Self {
            batch,
            since: Instant::now(),
            n_steps: 0,
            n_finite: 0,
            loss: 0.0,
            grad_norm: 0.0,
            learning_rate: 0.0,
        }
    }

    /// Starts a new interval.
    pub fn restart(&mut self) {
        *self = Self::new(self.batch);
    }

    /// Adds a step with a finite loss.
    pub fn add(&mut self, report: &StepReport) {
        self.n_steps += 1;
        self.n_finite += 1;
        self.loss += report.loss;
        self.grad_norm += report.gradient_norm;
        self.learning_rate = report.learning_rate;
    }

    /// Counts a step without a finite loss.
    pub fn add_gap(&mut self) {
        self.n_steps += 1;
    }

    /// Whether the next metrics are due.
    pub fn is_due(&self) -> bool {
        self.since.elapsed() >= METRICS_INTERVAL
    }

    /// Means over the steps of the interval, and starts a new one; `None` without a step.
    pub fn take(&mut self) -> Option<Metrics> {
        if self.n_steps == 0 {
            return None;
        }
        let seconds = self.since.elapsed().as_secs_f64().max(1e-9);
        let mean = |sum: f64| (self.n_finite > 0).then(|| sum / self.n_finite as f64);
        let steps_per_s = self.n_steps as f64 / seconds;
        let metrics = Metrics {
            loss: mean(self.loss),
            grad_norm: mean(self.grad_norm),
            learning_rate: self.learning_rate,
            steps_per_s,
            images_per_s: steps_per_s * self.batch as f64,
        };
        self.restart();
        Some(metrics)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_without_a_finite_loss_count_as_steps_but_not_as_losses() {
        let mut meter = Meter::new(2);
        assert_eq!(meter.take(), None);
        let report = StepReport {
            step: 1,
            loss: 4.0,
            gradient_norm: 1.0,
            learning_rate: 0.1,
            errors: Vec::new(),
        };
        meter.add(&report);
        meter.add_gap();
        let metrics = meter.take().unwrap();
        assert_eq!(metrics.loss, Some(4.0));
        meter.add_gap();
        assert_eq!(meter.take().unwrap().loss, None);
    }

    #[test]
    fn losses_are_told_apart_by_noise_level() {
        let mut levels = LevelMeter::default();
        assert_eq!(levels.take(), None);
        levels.add(&[(0.0, 1.0), (0.1, 3.0), (1.0, 5.0)]);
        let expected = vec![Some(2.0), None, None, None, Some(5.0)];
        assert_eq!(levels.take().unwrap().loss, expected);
        levels.add(&[(0.3, 7.0)]);
        assert_eq!(levels.recent().loss[..2], [Some(2.0), Some(7.0)]);
    }
}
