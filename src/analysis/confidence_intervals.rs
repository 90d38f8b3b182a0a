//! Summaries over seeds: quartiles, rates with Wilson intervals, means with intervals.
//!
//! Non-finite values are left out, never averaged in.

use std::fmt;

use statrs::distribution::{Binomial, ContinuousCDF, DiscreteCDF, StudentsT};

/// The 97.5th percentile of the standard normal: two-sided 95%.
const Z: f64 = 1.959_963_984_540_054;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quartiles {
    pub low: f64,
    pub median: f64,
    pub high: f64,
}

/// An estimate with its 95% interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    pub estimate: f64,
    pub low: f64,
    pub high: f64,
}

/// `0.530 [0.410, 0.620]`.
impl fmt::Display for Quartiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} [{:.3}, {:.3}]", self.median, self.low, self.high)
    }
}

/// `0.66 [0.60, 0.72]`.
impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} [{:.2}, {:.2}]", self.estimate, self.low, self.high)
    }
}

/// Quartiles, interpolated linearly between order statistics (numpy's default).
pub fn quartiles(values: &[f64]) -> Option<Quartiles> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let at = |share: f64| {
        let place = share * last as f64;
        let below = place.floor() as usize;
        let above = (below + 1).min(last);
        sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
    };
    Some(Quartiles { low: at(0.25), median: at(0.5), high: at(0.75) })
}

/// A median with its distribution-free 95% interval between order statistics (Conover, Practical Nonparametric Statistics,
/// section 3.2): the ranks come from the binomial distribution of the number of values below the median. The interval of
/// fewer than six values is unbounded; without values the result is `None`.
pub fn median_interval(values: &[f64]) -> Option<Interval> {
    let estimate = quartiles(values)?.median;
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    // The number of values to leave out at each end: the most for which so few below the median have a chance of 2.5%.
    let below = Binomial::new(0.5, n as u64).ok()?;
    let n_out = (0..n as u64 / 2).take_while(|rank| below.cdf(*rank) <= 0.025).count();
    let (low, high) = match n_out.checked_sub(1) {
        Some(rank) => (sorted[rank], sorted[n - 1 - rank]),
        None => (f64::NEG_INFINITY, f64::INFINITY),
    };
    Some(Interval { estimate, low, high })
}

/// A rate with Wilson's 95% interval, which stays within [0, 1] and has a positive width even at 0 and `n`
/// successes. Without trials the interval is [0, 1].
///
/// # Panics
///
/// If `successes` exceeds `n`.
pub fn wilson(successes: usize, n: usize) -> Interval {
    assert!(successes <= n, "{successes} successes in {n} trials");
    if n == 0 {
        return Interval { estimate: 0.0, low: 0.0, high: 1.0 };
    }
    let (n, p) = (n as f64, successes as f64 / n as f64);
    let scale = 1.0 + Z * Z / n;
    let centre = (p + Z * Z / (2.0 * n)) / scale;
    let half = Z / scale * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    // Rounding must not push the estimate out of its interval at rates of 0 and 1.
    Interval {
        estimate: p,
        low: (centre - half).clamp(0.0, p),
        high: (centre + half).clamp(p, 1.0),
    }
}

/// A mean with its 95% interval by Student's t. The interval of a single value is unbounded; without values the result is
/// `None`.
pub fn mean_interval(values: &[f64]) -> Option<Interval> {
    let finite: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    let n = finite.len() as f64;
    if finite.is_empty() {
        return None;
    }
    let mean = finite.iter().sum::<f64>() / n;
    if finite.len() == 1 {
        return Some(Interval { estimate: mean, low: f64::NEG_INFINITY, high: f64::INFINITY });
    }
    let variance = finite.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let half = student_t(finite.len() - 1) * (variance / n).sqrt();
    Some(Interval { estimate: mean, low: mean - half, high: mean + half })
}

/// The 97.5th percentile of Student's t distribution: the half width, in standard errors, of a two-sided 95% interval of a
/// mean of `degrees_of_freedom + 1` values.
///
/// # Panics
///
/// If there are no degrees of freedom.
pub fn student_t(degrees_of_freedom: usize) -> f64 {
    assert!(degrees_of_freedom > 0, "an interval needs two values");
    match StudentsT::new(0.0, 1.0, degrees_of_freedom as f64) {
        Ok(distribution) => distribution.inverse_cdf(0.975),
        // Refused only for a scale or degrees of freedom that are not positive.
        Err(_) => f64::INFINITY,
    }
}

/// The 95% jackknife interval of a statistic of `n` items: `estimate` is of all, `without[i]` of all but item i (Efron &
/// Stein 1981). Infinite if fewer than three items can be left out.
pub fn jackknife_interval(estimate: f64, without: &[f64]) -> Interval {
    let n = without.len() as f64;
    if without.len() < 3 {
        return Interval { estimate, low: f64::NEG_INFINITY, high: f64::INFINITY };
    }
    let mean = without.iter().sum::<f64>() / n;
    let squares: f64 = without.iter().map(|v| (v - mean).powi(2)).sum();
    let half = student_t(without.len() - 1) * ((n - 1.0) / n * squares).sqrt();
    Interval { estimate, low: estimate - half, high: estimate + half }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_have_wide_intervals() {
        // Tables of Student's t: 12.706 for one degree of freedom, 4.303 for two, 1.960 for very many.
        for (degrees, expected) in [(1, 12.706), (2, 4.303), (4, 2.776), (1_000_000, 1.960)] {
            assert!((student_t(degrees) - expected).abs() < 5e-4, "{degrees}");
        }
        let found = mean_interval(&[1.0, 2.0, 3.0]).unwrap();
        assert!((found.high - found.estimate - 4.303 / 3.0_f64.sqrt()).abs() < 1e-3, "{found:?}");
    }

    #[test]
    fn the_jackknife_of_a_mean_is_the_interval_of_the_mean() {
        let values = [0.3, 1.7, 0.9, 2.2];
        let without: Vec<f64> =
            (0..4).map(|i| (values.iter().sum::<f64>() - values[i]) / 3.0).collect();
        let (a, b) = (jackknife_interval(1.275, &without), mean_interval(&values).unwrap());
        assert!((a.low - b.low).abs() < 1e-12 && (a.high - b.high).abs() < 1e-12, "{a:?} {b:?}");
    }

    #[test]
    fn the_interval_of_a_median_lies_between_order_statistics() {
        // Tables of the sign test: ranks 1 and 6 of 6, 2 and 9 of 10, 6 and 15 of 20, 40 and 61 of 100.
        for (n, low, high) in [(6, 1.0, 6.0), (10, 2.0, 9.0), (20, 6.0, 15.0), (100, 40.0, 61.0)] {
            let values: Vec<f64> = (1..=n).rev().map(f64::from).collect();
            let found = median_interval(&values).unwrap();
            assert_eq!((found.low, found.high), (low, high), "{n}");
            assert_eq!(found.estimate, f64::from(n + 1) / 2.0);
        }
        assert_eq!(median_interval(&[1.0; 5]).unwrap().low, f64::NEG_INFINITY);
        assert_eq!(median_interval(&[f64::NAN]), None);
    }

    #[test]
    fn quartiles_interpolate_and_ignore_nan() {
        let q = quartiles(&[4.0, f64::NAN, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!((q.low, q.median, q.high), (1.75, 2.5, 3.25));
        assert_eq!(quartiles(&[f64::NAN]), None);
    }

    #[test]
    fn wilson_matches_the_published_example() {
        // Newcombe 1998, table I: 81 of 263 gives 0.2553 to 0.3662.
        let i = wilson(81, 263);
        assert!((i.low - 0.2553).abs() < 5e-5 && (i.high - 0.3662).abs() < 5e-5, "{i:?}");
        assert!(wilson(0, 10).high > 0.2 && wilson(10, 10).low < 0.8);
        assert_eq!((wilson(0, 10).low, wilson(10, 10).high), (0.0, 1.0));
    }

    #[test]
    fn the_mean_interval_shrinks_with_the_root_of_n() {
        let few = mean_interval(&[0.0, 1.0].repeat(50)).unwrap();
        let many = mean_interval(&[0.0, 1.0].repeat(5000)).unwrap();
        let ratio = (few.high - few.low) / (many.high - many.low);
        // Besides the root, Student's t is 1.2% above the normal quantile at 99 degrees, and s^2 has n - 1 in it.
        assert!((ratio - 10.0).abs() < 0.2, "{ratio}");
        assert_eq!(mean_interval(&[]), None);
    }
}
