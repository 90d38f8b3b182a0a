//! One figure over several runs: mean, standard deviation and 95% interval.

use std::fmt;
use std::ops::RangeInclusive;

use serde_json::{Value, json};

use crate::analysis::confidence_intervals::{Interval, mean_interval};

/// A figure over at least one run.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    pub mean: f64,
    /// Standard deviation over runs; of one run there is none.
    pub sd: Option<f64>,
    /// The mean's 95% interval over runs (Student's t); of one run there is none.
    pub interval: Option<Interval>,
    pub n: usize,
}

impl Spread {
    /// `None` of no runs.
    pub fn of(values: &[f64]) -> Option<Self> {
        let n = values.len();
        if n == 0 {
            return None;
        }
        let mean = mean(values);
        let sum = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
        let sd = (n > 1).then(|| (sum / (n - 1) as f64).sqrt());
        Some(Self { mean, sd, interval: mean_interval(values).filter(|_| n > 1), n })
    }

    /// The spread of a figure that lies in `range`, such as a correlation or a share: its interval ends there.
    pub fn within(values: &[f64], range: RangeInclusive<f64>) -> Option<Self> {
        let found = Self::of(values)?;
        Some(Self { interval: found.interval.map(|interval| clamped(interval, &range)), ..found })
    }

    pub fn to_json(self) -> Value {
        let interval = self.interval.map(ends);
        json!({ "mean": self.mean, "sd": self.sd, "interval95": interval, "runs": self.n })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_interval(self.mean, self.interval))
    }
}

/// `0.530 [0.410, 0.620]`; without the interval if there is none.
pub fn format_interval(estimate: f64, interval: Option<Interval>) -> String {
    match interval.filter(|found| found.low.is_finite() && found.high.is_finite()) {
        Some(found) => format!("{estimate:.3} [{:.3}, {:.3}]", found.low, found.high),
        None => format!("{estimate:.3}"),
    }
}

/// The part of an interval that lies in `range`. An end that is infinite, and so unknown, stays.
pub fn clamped(interval: Interval, range: &RangeInclusive<f64>) -> Interval {
    let end = |value: f64| match value.is_finite() {
        true => value.clamp(*range.start(), *range.end()),
        false => value,
    };
    Interval { low: end(interval.low), high: end(interval.high), ..interval }
}

/// Lower and upper end.
pub fn ends(interval: Interval) -> [f64; 2] {
    [interval.low, interval.high]
}

/// The mean; NaN of no values.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_a_correlation_ends_at_one() {
        // Mean .9, standard error .05, Student's t of one degree of freedom 12.706.
        let found = Spread::within(&[0.85, 0.95], -1.0..=1.0).unwrap();
        let interval = found.interval.unwrap();
        assert!((interval.low - 0.2647).abs() < 1e-4 && interval.high == 1.0, "{found:?}");
        assert_eq!(found.to_string(), "0.900 [0.265, 1.000]");
        let share = Spread::within(&[0.0, 0.1], 0.0..=1.0).unwrap().interval.unwrap();
        assert!(share.low == 0.0 && share.high < 1.0, "{share:?}");
        let excess = Spread::of(&[0.0, 0.1]).unwrap().interval.unwrap();
        assert!(excess.low < 0.0, "{excess:?}");
        assert!(Spread::within(&[], 0.0..=1.0).is_none());
    }
}
