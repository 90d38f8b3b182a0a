//! The noise level at which something is decided: where a figure of many samples, known at some times t, crosses a level,
//! with an interval over samples.

use rand::RngExt;

use super::confidence_intervals::Interval;
use super::training_time_scales::{Crossing, first_at_least, first_at_most};
use crate::random::{Purpose, stream};

const RESAMPLES: u64 = 400;
/// Resamples in which the crossing must be seen for the interval to be known.
const SEEN_MIN: f64 = 0.95;
/// Samples below which resampling says nothing.
const SAMPLES_MIN: usize = 10;

/// How a figure runs with t, and which level is looked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Crossed {
    /// It grows with t: the first t at which it is midway between its values at the smallest and the largest t.
    RisingMidway,
    /// It falls with t, likewise.
    FallingMidway,
    /// It falls with t: the first t at which it is at most this.
    FallingTo(f64),
}

/// The figure of every sample at one t.
#[derive(Clone, Debug)]
pub struct AtTime {
    pub t: f64,
    /// One value per sample, in the order of samples at every t; not a number where it is undefined.
    pub values: Vec<f64>,
}

/// The t at which the mean over samples crosses the level, with the 95% percentile interval over resampled samples; `None`
/// if it does not cross it between two of the times. The interval is all of [0, 1] if it is not known.
pub fn critical_time(curve: &[AtTime], crossed: Crossed, seed: u64) -> Option<Interval> {
    let n = curve.first()?.values.len();
    let all: Vec<usize> = (0..n).collect();
    let estimate = crossing(curve, crossed, &all)?;
    let mut found = Vec::new();
    for resample in 0..RESAMPLES {
        let mut random = stream(seed, Purpose::Bootstrap, resample);
        let some: Vec<usize> = (0..n).map(|_| random.random_range(0..n)).collect();
        found.extend(crossing(curve, crossed, &some));
    }
    found.sort_by(f64::total_cmp);
    let at = |share: f64| found[((found.len() - 1) as f64 * share).round() as usize];
    let is_known = n >= SAMPLES_MIN && found.len() as f64 >= SEEN_MIN * RESAMPLES as f64;
    let (low, high) = if is_known { (at(0.025), at(0.975)) } else { (0.0, 1.0) };
    Some(Interval { estimate, low, high })
}

/// The crossing of the mean over these samples.
fn crossing(curve: &[AtTime], crossed: Crossed, samples: &[usize]) -> Option<f64> {
    let points: Vec<(f64, f64)> = curve
        .iter()
        .map(|at| {
            let known: Vec<f64> =
                samples.iter().map(|&i| at.values[i]).filter(|v| v.is_finite()).collect();
            (at.t, known.iter().sum::<f64>() / known.len() as f64)
        })
        .filter(|(_, mean)| mean.is_finite())
        .collect();
    let midway = || Some(f64::midpoint(points.first()?.1, points.last()?.1));
    let is_rising = points.last()?.1 > points.first()?.1;
    let found = match crossed {
        Crossed::RisingMidway if is_rising => first_at_least(&points, midway()?),
        Crossed::FallingMidway if !is_rising => first_at_most(&points, midway()?),
        Crossed::FallingTo(level) => first_at_most(&points, level),
        Crossed::RisingMidway | Crossed::FallingMidway => None,
    };
    found.and_then(Crossing::step)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sample i is 1 below t_i and 0 above it.
    fn steps(times: &[f64], decided: &[f64]) -> Vec<AtTime> {
        let value = |t: f64| decided.iter().map(|&d| f64::from(u8::from(t < d))).collect();
        times.iter().map(|&t| AtTime { t, values: value(t) }).collect()
    }

    #[test]
    fn the_time_is_where_half_of_the_samples_are_decided() {
        let times: Vec<f64> = (0..=10).map(|i| f64::from(i) / 10.0).collect();
        let decided: Vec<f64> = (0..200).map(|i| 0.45 + 0.3 * f64::from(i) / 200.0).collect();
        let curve = steps(&times, &decided);
        for crossed in [Crossed::FallingMidway, Crossed::FallingTo(0.5)] {
            let found = critical_time(&curve, crossed, 1).unwrap();
            assert!((found.estimate - 0.6).abs() < 0.02, "{found:?}");
            assert!(found.low < found.estimate && found.estimate < found.high, "{found:?}");
            assert!(found.high - found.low < 0.06, "{found:?}");
        }
        assert_eq!(critical_time(&curve, Crossed::RisingMidway, 1), None);
        let rising: Vec<AtTime> = curve
            .iter()
            .map(|at| AtTime { t: at.t, values: at.values.iter().map(|v| 1.0 - v).collect() })
            .collect();
        let found = critical_time(&rising, Crossed::RisingMidway, 1).unwrap();
        assert!((found.estimate - 0.6).abs() < 0.02, "{found:?}");
    }

    #[test]
    fn what_never_crosses_has_no_time_and_what_rarely_does_no_interval() {
        let times = [0.0, 0.5, 1.0];
        assert_eq!(critical_time(&steps(&times, &[2.0; 10]), Crossed::FallingTo(0.5), 1), None);
        assert_eq!(critical_time(&[], Crossed::FallingTo(0.5), 1), None);
        // Half of the resamples stay above the level.
        let decided: Vec<f64> = (0..20).map(|i| if i < 10 { 0.2 } else { 2.0 }).collect();
        let found = critical_time(&steps(&times, &decided), Crossed::FallingTo(0.5), 1).unwrap();
        assert_eq!((found.low, found.high), (0.0, 1.0));
    }

    #[test]
    fn undefined_values_are_left_out() {
        let mut curve = steps(&[0.0, 0.5, 1.0], &[0.7; 12]);
        curve.iter_mut().for_each(|at| at.values.push(f64::NAN));
        let found = critical_time(&curve, Crossed::FallingTo(0.5), 1).unwrap();
        assert!((found.estimate - 0.75).abs() < 1e-9);
    }
}
