//! The mean of paired differences between networks, with the error that training seeds and noise seeds leave.
//!
//! Two runs that differ in one setting and share a training seed give one difference `d_s` of some figure. Its samples
//! start from the same noise seeds whatever the training seed, so the error of the noise seeds does not shrink with the
//! number of networks:
//!
//! ```text
//! d_s  = mu + u_s + v            u_s: training seed s of S;  v: the noise seeds, common to all networks
//! se^2 = b + w                   b = var(d_1 .. d_S) / S;  w = mean over s of the squared error of d_s over noise seeds
//! df   = se^4 / (b^2 / (S - 1) + w^2 / nu)       Satterthwaite 1946;  nu: degrees of freedom of w
//! ```
//!
//! If v is not common to all networks, part of w is in b already, and the interval is wider than it needs to be. With one
//! training seed `b` is unknown and left out: the interval is of these two networks only.

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

use super::confidence_intervals::Interval;

/// More degrees of freedom than this count as infinitely many.
const DEGREES_MAX: f64 = 1e7;

/// One difference of a figure between two networks, or between a machine and a network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    pub value: f64,
    /// Standard error over noise seeds or judged samples; infinite if it is unknown.
    pub noise_error: f64,
    /// Of `noise_error`; infinite if it comes from the interval of a rate.
    pub noise_degrees: f64,
}

/// The mean difference over training seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeanDifference {
    pub mean: f64,
    pub standard_error: f64,
    pub degrees_of_freedom: f64,
    /// Number of differences.
    pub n: usize,
}

impl Difference {
    /// The difference of two independent rates or of a rate and a constant; standard errors from their 95% intervals.
    pub fn of_rates(a: Interval, b: Interval) -> Self {
        let error =
            |rate: Interval| (rate.high - rate.low) / (2.0 * quantile(0.975, f64::INFINITY));
        Self {
            value: a.estimate - b.estimate,
            noise_error: error(a).hypot(error(b)),
            noise_degrees: f64::INFINITY,
        }
    }

    /// The mean of `a - b` over the noise seeds where both are defined; `None` if there is none.
    pub fn over_noise_seeds(a: &[Option<f64>], b: &[Option<f64>]) -> Option<Self> {
        let pairs = a.iter().zip(b).filter_map(|(a, b)| Some((*a)? - (*b)?));
        let each: Vec<f64> = pairs.filter(|difference| difference.is_finite()).collect();
        let (value, squared_error) = mean_and_squared_error(&each)?;
        let n = each.len() as f64;
        Some(Self {
            value,
            noise_error: squared_error.map_or(f64::INFINITY, f64::sqrt),
            noise_degrees: (n - 1.0).max(1.0),
        })
    }
}

impl MeanDifference {
    /// The mean of differences, one per training seed; `None` without any.
    pub fn of(differences: &[Difference]) -> Option<Self> {
        let values: Vec<f64> = differences.iter().map(|each| each.value).collect();
        let (mean, squared_error) = mean_and_squared_error(&values)?;
        let n = values.len();
        let over_training = squared_error.unwrap_or(0.0);
        let squares = differences.iter().map(|each| each.noise_error.powi(2));
        let over_noise = squares.sum::<f64>() / n as f64;
        let noise_degrees =
            differences.iter().map(|each| each.noise_degrees).fold(f64::INFINITY, f64::min);
        let squared = over_training + over_noise;
        let training_term = match n {
            1 => 0.0,
            _ => over_training.powi(2) / (n - 1) as f64,
        };
        let terms = training_term + over_noise.powi(2) / noise_degrees;
        // Nothing varies, or the error is unknown: any number of degrees gives the same interval.
        let exact = terms == 0.0 || !squared.is_finite();
        Some(Self {
            mean,
            standard_error: squared.sqrt(),
            degrees_of_freedom: if exact { f64::INFINITY } else { squared.powi(2) / terms },
            n,
        })
    }

    /// The two-sided interval that covers the true mean with probability `confidence`.
    pub fn interval(&self, confidence: f64) -> Interval {
        let half = match self.standard_error {
            0.0 => 0.0,
            error => quantile(0.5 + confidence / 2.0, self.degrees_of_freedom) * error,
        };
        Interval { estimate: self.mean, low: self.mean - half, high: self.mean + half }
    }

    /// One-sided p value of the hypothesis that the true mean is at most `bound`: small if it lies above.
    pub fn p_of_at_most(&self, bound: f64) -> f64 {
        tail((self.mean - bound) / self.standard_error, self.degrees_of_freedom)
    }

    /// One-sided p value of the hypothesis that the true mean is at least `bound`: small if it lies below.
    pub fn p_of_at_least(&self, bound: f64) -> f64 {
        tail((bound - self.mean) / self.standard_error, self.degrees_of_freedom)
    }
}

/// The mean and its squared standard error, which is unknown for a single value; `None` without values.
fn mean_and_squared_error(values: &[f64]) -> Option<(f64, Option<f64>)> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let squared_error = (values.len() > 1).then(|| squares / (n - 1.0) / n);
    (!values.is_empty()).then_some((mean, squared_error))
}

/// The quantile of Student's t distribution at `share`, of the normal distribution for infinitely many degrees.
fn quantile(share: f64, degrees: f64) -> f64 {
    match StudentsT::new(0.0, 1.0, degrees) {
        Ok(distribution) if degrees < DEGREES_MAX => distribution.inverse_cdf(share),
        _ => Normal::standard().inverse_cdf(share),
    }
}

/// Probability that a value of Student's t distribution exceeds `t`; 1 if `t` is 0 / 0.
fn tail(t: f64, degrees: f64) -> f64 {
    match StudentsT::new(0.0, 1.0, degrees) {
        _ if t.is_nan() => 1.0,
        Ok(distribution) if degrees < DEGREES_MAX => distribution.sf(t),
        _ => Normal::standard().sf(t),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::confidence_intervals::{mean_interval, wilson};

    fn exact(value: f64) -> Difference {
        Difference { value, noise_error: 0.0, noise_degrees: f64::INFINITY }
    }

    #[test]
    fn without_noise_error_it_is_the_t_interval_over_training_seeds() {
        let values = [0.31, 0.45, 0.38];
        let found = MeanDifference::of(&values.map(exact)).unwrap();
        let (a, b) = (found.interval(0.95), mean_interval(&values).unwrap());
        assert!((a.low - b.low).abs() < 1e-9 && (a.high - b.high).abs() < 1e-9, "{a:?} {b:?}");
        // With two degrees of freedom, the tail beyond t is 1/2 - t / (2 sqrt(2 + t^2)); here t = 9.40256.
        assert!((found.p_of_at_most(0.0) - 0.005_561_403).abs() < 1e-8, "{found:?}");
        assert!((found.p_of_at_most(0.0) + found.p_of_at_least(0.0) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn an_interval_excludes_what_its_p_value_refuses() {
        for values in [[0.1, 0.2, 0.6], [0.02, -0.3, 0.11], [0.4, 0.41, 0.37]] {
            let found = MeanDifference::of(
                &values.map(|value| Difference { noise_error: 0.04, ..exact(value) }),
            );
            let found = found.unwrap();
            let low = found.interval(0.95).low;
            assert!((found.p_of_at_most(low) - 0.025).abs() < 1e-6, "{values:?}");
            let high = found.interval(0.9).high;
            assert!((found.p_of_at_least(high) - 0.05).abs() < 1e-6, "{values:?}");
        }
    }

    #[test]
    fn equal_networks_keep_the_error_of_their_noise_seeds() {
        let (rate, none) = (wilson(60, 100), wilson(40, 100));
        let one = MeanDifference::of(&[Difference::of_rates(rate, none)]).unwrap();
        let three = MeanDifference::of(&[Difference::of_rates(rate, none); 3]).unwrap();
        assert_eq!((one.mean, one.n, three.n), (rate.estimate - none.estimate, 1, 3));
        assert!((one.standard_error - three.standard_error).abs() < 1e-12);
        // sqrt(2 * .6 * .4 / 100) = .0693; Wilson's interval is a little narrower here.
        assert!((one.standard_error - 0.0693).abs() < 2e-3, "{one:?}");
    }

    #[test]
    fn noise_seeds_without_a_figure_are_left_out_and_one_alone_decides_nothing() {
        let found = Difference::over_noise_seeds(
            &[Some(0.5), None, Some(0.9), Some(0.4)],
            &[Some(0.3), Some(0.1), Some(0.5), None],
        );
        let found = found.unwrap();
        assert!((found.value - 0.3).abs() < 1e-12 && (found.noise_error - 0.1).abs() < 1e-12);
        let single = Difference::over_noise_seeds(&[Some(0.5)], &[Some(0.3)]).unwrap();
        let single = MeanDifference::of(&[single]).unwrap();
        assert_eq!((single.p_of_at_most(0.0), single.interval(0.95).low), (0.5, f64::NEG_INFINITY));
        assert_eq!(Difference::over_noise_seeds(&[None], &[Some(0.3)]), None);
        assert_eq!(MeanDifference::of(&[]), None);
    }

    #[test]
    fn figures_that_are_the_same_everywhere_differ_by_nothing_for_certain() {
        let same = MeanDifference::of(&[exact(0.0); 3]).unwrap();
        assert_eq!((same.p_of_at_most(0.0), same.p_of_at_least(0.0)), (1.0, 1.0));
        assert_eq!((same.p_of_at_most(-0.05), same.p_of_at_least(0.05)), (0.0, 0.0));
        assert_eq!((same.interval(0.95).low, same.interval(0.95).high), (0.0, 0.0));
    }
}
