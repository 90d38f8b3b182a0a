//! The times of one network's training at which it becomes good, overfits and copies, for each number of training images.

use rand::RngExt;

use super::run_results::RunResults;
use crate::analysis::training_time_scales::{Crossing, first_at_least, first_at_most};
use crate::evaluation::checkpoints_over_training::CheckpointFigures;
use crate::random::{Purpose, stream};

/// The share of samples that are copies at the time of memorisation.
pub(super) const COPIED_SHARE: f64 = 0.5;
/// The held-out error counts as apart from the training error if it is so many times as large.
pub(super) const APART_FACTOR: f64 = 1.5;
/// A network counts as good once its held-out error is at most so many times the smallest that every N reaches.
pub(super) const GOOD_FACTOR: f64 = 1.1;
/// Resampled noise seeds of a time's interval.
pub(super) const RESAMPLES: u64 = 200;

/// Runs that differ in the number of training images only, in its order.
pub(super) struct Sweep<'a> {
    pub runs: Vec<&'a RunResults>,
}

/// The times of one run's training, in steps. `None` without held-out images, or without checkpoints.
#[derive(Clone, Debug)]
pub(super) struct Times {
    /// The held-out error comes down to that which the runs of all N reach, times [`GOOD_FACTOR`].
    pub good: Option<Crossing>,
    /// The judged step of the smallest held-out error.
    pub lowest_held_out: Option<u64>,
    /// The held-out error exceeds [`APART_FACTOR`] training errors.
    pub apart: Option<Crossing>,
    /// [`COPIED_SHARE`] of the samples are copies.
    pub copied: Option<Crossing>,
    /// The same for resampled noise seeds, the same seeds in all runs of a sweep.
    pub copied_resampled: Vec<Option<Crossing>>,
}

/// The sweeps over N of networks that differ in their training seeds only.
pub(super) struct Family<'a> {
    /// The varied settings that all runs share.
    pub words: String,
    pub sweeps: Vec<(Sweep<'a>, Vec<Times>)>,
}

/// Sweeps over N, grouped over training seeds.
pub(super) fn families(runs: &[RunResults]) -> Vec<Family<'_>> {
    let mut families: Vec<Family<'_>> = Vec::new();
    for sweep in sweeps(runs) {
        let times = sweep.times();
        let is_twin = |family: &&mut Family<'_>| {
            let other = &family.sweeps[0].0.runs;
            let twins = |run: &&RunResults| {
                other.iter().any(|other| other.differs_only_in(run, "training.seed"))
            };
            sweep.runs.iter().any(twins)
        };
        match families.iter_mut().find(is_twin) {
            Some(family) => family.sweeps.push((sweep, times)),
            None => {
                let mut arm = sweep.runs[0].arm.clone();
                arm.varied.retain(|(key, _)| !["dataset.n", "training.seed"].contains(key));
                families.push(Family { words: arm.words(), sweeps: vec![(sweep, times)] });
            }
        }
    }
    families
}

/// The sweeps over N among `runs`, in the order of their first runs.
fn sweeps(runs: &[RunResults]) -> Vec<Sweep<'_>> {
    let mut sweeps: Vec<Sweep<'_>> = Vec::new();
    for run in runs.iter().filter(|run| !run.over_training.is_empty()) {
        match sweeps.iter_mut().find(|sweep| sweep.runs[0].differs_only_in(run, "dataset.n")) {
            Some(sweep) => sweep.runs.push(run),
            None => sweeps.push(Sweep { runs: vec![run] }),
        }
    }
    sweeps.iter_mut().for_each(|sweep| sweep.runs.sort_by_key(|run| run.n_training_images()));
    sweeps
}

impl Sweep<'_> {
    /// The times of each run.
    fn times(&self) -> Vec<Times> {
        let smallest = |run: &&RunResults| lowest_held_out(run).map(|(_, error)| error);
        let all: Option<Vec<f64>> = self.runs.iter().map(smallest).collect();
        // The least images allow the largest error.
        let reached = all.map(|all| all.into_iter().fold(0.0, f64::max));
        self.runs.iter().map(|run| times(run, reached)).collect()
    }
}

fn times(run: &RunResults, reached_by_all: Option<f64>) -> Times {
    let points = |value: &dyn Fn(&CheckpointFigures) -> Option<f64>| -> Vec<(f64, f64)> {
        let each = run.over_training.iter();
        each.filter_map(|found| Some((found.step as f64, value(found)?))).collect()
    };
    let held_out = points(&|found| Some(found.held_out?.mse));
    let ratio = points(&|found| Some(found.held_out?.mse / found.training.mse));
    let copies = points(&|found| Some(found.copies[0]));
    let n = run.over_training.iter().map(|found| found.is_copy.len()).min().unwrap_or(0);
    let resampled = |resample: u64| {
        let mut generator = stream(0, Purpose::Bootstrap, resample);
        let chosen: Vec<usize> =
            (0..n).map(|_| generator.random_range(0..n as u64) as usize).collect();
        let share = |found: &CheckpointFigures| {
            chosen.iter().filter(|&&sample| found.is_copy[sample]).count() as f64 / n as f64
        };
        first_at_least(&points(&|found| Some(share(found))), COPIED_SHARE)
    };
    Times {
        good: reached_by_all.and_then(|error| first_at_most(&held_out, GOOD_FACTOR * error)),
        lowest_held_out: lowest_held_out(run).map(|(step, _)| step),
        apart: first_at_least(&ratio, APART_FACTOR),
        copied: first_at_least(&copies, COPIED_SHARE),
        copied_resampled: (0..RESAMPLES).filter(|_| n > 0).map(resampled).collect(),
    }
}

/// The step and value of a run's smallest held-out error.
fn lowest_held_out(run: &RunResults) -> Option<(u64, f64)> {
    let all = run.over_training.iter();
    let errors = all.filter_map(|found| Some((found.step, found.held_out?.mse)));
    errors.min_by(|a, b| a.1.total_cmp(&b.1))
}
