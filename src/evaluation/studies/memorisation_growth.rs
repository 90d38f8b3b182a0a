//! How the times of training grow with the number N of training images.

use super::memorisation_times::{Family, RESAMPLES, Sweep, Times};
use crate::analysis::paired_differences::{Difference, MeanDifference};
use crate::analysis::training_time_scales::{Crossing, exponent};

/// One of the times of a training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Time {
    Copied,
    Good,
    Apart,
}

impl Time {
    /// What happens then.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Copied => "half of the samples are copies",
            Self::Good => "the held-out error is near what all N reach",
            Self::Apart => "the held-out error is 1.5 training errors",
        }
    }

    fn of(self, times: &Times) -> Option<Crossing> {
        match self {
            Self::Copied => times.copied,
            Self::Good => times.good,
            Self::Apart => times.apart,
        }
    }
}

/// How a time grows with N in one family: as `N^power`.
pub(super) struct Growth {
    pub time: Time,
    pub family: String,
    /// The power of each training seed where it is known.
    pub powers: Vec<Difference>,
    /// Runs that reach the time between two judged steps, of all.
    pub n_seen: usize,
    pub n_runs: usize,
}

impl Growth {
    pub(super) fn of(time: Time, family: &Family<'_>) -> Self {
        let n_runs = family.sweeps.iter().map(|(_, times)| times.len()).sum();
        let mut found =
            Self { time, family: family.words.clone(), powers: Vec::new(), n_seen: 0, n_runs };
        // The error of noise seeds is part of the spread over training seeds where it is not known by itself.
        let unknown = if family.sweeps.len() > 1 { 0.0 } else { f64::INFINITY };
        for (sweep, times) in &family.sweeps {
            let each: Vec<Option<Crossing>> = times.iter().map(|times| time.of(times)).collect();
            let Some((power, n)) = power_of(sweep, &each) else { continue };
            let bootstrap = match time {
                Time::Copied => bootstrap_error_of_copies(sweep, times),
                Time::Good | Time::Apart => None,
            };
            found.n_seen += n;
            found.powers.push(Difference {
                value: power,
                noise_error: bootstrap.unwrap_or(unknown),
                noise_degrees: f64::INFINITY,
            });
        }
        found
    }

    /// The mean power over training seeds; `None` if it is known for none.
    pub(super) fn over_seeds(&self) -> Option<MeanDifference> {
        MeanDifference::of(&self.powers)
    }
}

/// The power of N in proportion to which a time grows over a sweep, by the runs that reach it between two judged steps, and
/// the number of those. `None` if fewer than two do.
///
/// A run that does not reach it within its training is left out. As it is one that takes long, and mostly one of many
/// images, this makes the power smaller, not larger.
fn power_of(sweep: &Sweep<'_>, times: &[Option<Crossing>]) -> Option<(f64, usize)> {
    let each = sweep.runs.iter().zip(times);
    let seen =
        each.filter_map(|(run, time)| Some((run.n_training_images() as f64, (*time)?.step()?)));
    let points: Vec<(f64, f64)> = seen.collect();
    Some((exponent(&points)?, points.len()))
}

/// The standard deviation over resampled noise seeds of the growth of the time of copies; `None` if it is unknown.
fn bootstrap_error_of_copies(sweep: &Sweep<'_>, times: &[Times]) -> Option<f64> {
    let resampled = |resample: usize| -> Option<f64> {
        let times: Vec<Option<Crossing>> =
            times.iter().map(|times| *times.copied_resampled.get(resample)?).collect();
        power_of(sweep, &times).map(|(power, _)| power)
    };
    let all: Vec<f64> = (0..RESAMPLES as usize).filter_map(resampled).collect();
    let n = all.len() as f64;
    let mean = all.iter().sum::<f64>() / n;
    let squares: f64 = all.iter().map(|power| (power - mean).powi(2)).sum();
    (all.len() > 1).then(|| (squares / (n - 1.0)).sqrt())
}
