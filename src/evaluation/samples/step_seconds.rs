//! Wall-clock times of steps of sampling, measured while network and machines are compared.

use std::time::Instant;

use crate::analysis::confidence_intervals::quartiles;

/// Times of steps, each with the number of images that were denoised at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepSeconds {
    steps: Vec<(usize, f64)>,
}

/// The time of one step in the middle of many.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MedianStep {
    /// Of a whole batch.
    pub seconds: f64,
    /// Images in the batch.
    pub batch: usize,
    /// Number of steps that were timed.
    pub n: usize,
}

impl StepSeconds {
    pub fn add(&mut self, batch: usize, seconds: f64) {
        self.steps.push((batch, seconds));
    }

    pub fn append(&mut self, other: &Self) {
        self.steps.extend(&other.steps);
    }

    /// The median over the steps of the largest batches: the last batch may be smaller, and tables are built in a first step.
    /// `None` if nothing was timed.
    pub fn median(&self) -> Option<MedianStep> {
        let batch = self.steps.iter().map(|step| step.0).max()?;
        let of_batch = self.steps.iter().filter(|step| step.0 == batch);
        let seconds: Vec<f64> = of_batch.map(|step| step.1).collect();
        let median = quartiles(&seconds)?.median;
        Some(MedianStep { seconds: median, batch, n: seconds.len() })
    }
}

/// Measures steps of a sampler, without what its observer does in between.
pub(super) struct StepClock(Instant);

impl StepClock {
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Seconds since the start or the last [`Self::resume`].
    pub fn read(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }

    /// Begins the next step.
    pub fn resume(&mut self) {
        self.0 = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_largest_batches_count() {
        let mut found = StepSeconds::default();
        assert_eq!(found.median(), None);
        for (batch, seconds) in [(16, 3.0), (16, 1.0), (4, 0.1), (16, 1.5)] {
            found.add(batch, seconds);
        }
        assert_eq!(found.median(), Some(MedianStep { seconds: 1.5, batch: 16, n: 3 }));
    }
}
