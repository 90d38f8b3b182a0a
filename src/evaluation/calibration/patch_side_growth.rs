//! How much the patches that fit a network best grow with the noise, with the error of that growth over noise seeds.

use rand::RngExt;

use super::setting_errors::Errors;
use crate::random::{Purpose, stream};

/// Patch sides are odd.
const SIDE_SPACING: f64 = 2.0;
/// Draws of noise seeds, with replacement.
const N_RESAMPLES: u64 = 200;

/// Mean patch sides in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PatchSideGrowth {
    /// Above t = 0.5.
    pub noisy: f64,
    /// Up to t = 0.5.
    pub clean: f64,
    /// Standard error of `noisy - clean` that is left by rounding sides to odd numbers.
    pub rounding_error: f64,
}

impl PatchSideGrowth {
    /// Of patch sides by t, `(t, side)`; `None` without steps below and above t = 0.5.
    pub fn of(sides: &[(f64, f64)]) -> Option<Self> {
        let (clean, noisy): (Vec<_>, Vec<_>) = sides.iter().partition(|(t, _)| *t <= 0.5);
        let mean = |kept: &[(f64, f64)]| kept.iter().map(|s| s.1).sum::<f64>() / kept.len() as f64;
        // A rounded value is off by a uniform error, whose variance is the squared spacing / 12.
        let variance = |kept: &[(f64, f64)]| SIDE_SPACING.powi(2) / 12.0 / kept.len() as f64;
        (!clean.is_empty() && !noisy.is_empty()).then(|| Self {
            noisy: mean(&noisy),
            clean: mean(&clean),
            rounding_error: (variance(&clean) + variance(&noisy)).sqrt(),
        })
    }

    /// Mean side above t = 0.5 minus that up to there.
    pub fn growth(&self) -> f64 {
        self.noisy - self.clean
    }
}

/// Standard error over noise seeds of the growth of the best patch sides at each step (cleanest first, at `times`): the standard
/// deviation over resampled noise seeds (bootstrap, Efron 1979), the same at all steps. `None` for fewer than two noise
/// seeds, or without steps below and above t = 0.5.
pub fn bootstrap_error(steps: &[Errors], times: &[f64]) -> Option<f64> {
    let n_seeds = steps.first()?.n_seeds();
    if n_seeds < 2 {
        return None;
    }
    let growth = |resample: u64| {
        let mut generator = stream(0, Purpose::Bootstrap, resample);
        let seeds: Vec<usize> =
            (0..n_seeds).map(|_| generator.random_range(0..n_seeds as u64) as usize).collect();
        let side = |(&t, step): (&f64, &Errors)| (t, step.best_over(&seeds).k as f64);
        let sides: Vec<(f64, f64)> = times.iter().zip(steps).map(side).collect();
        PatchSideGrowth::of(&sides).map(|found| found.growth())
    };
    let each: Vec<f64> = (0..N_RESAMPLES).map(growth).collect::<Option<_>>()?;
    let mean = each.iter().sum::<f64>() / N_RESAMPLES as f64;
    let squares: f64 = each.iter().map(|value| (value - mean).powi(2)).sum();
    Some((squares / (N_RESAMPLES - 1) as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::super::machine_schedule::StepSettings;
    use super::*;

    #[test]
    fn growth_is_the_difference_of_mean_sides_with_the_error_of_rounding() {
        let sides: Vec<(f64, f64)> =
            (1..=20).map(|i| (f64::from(i) / 20.0, if i > 10 { 7.0 } else { 3.0 })).collect();
        let found = PatchSideGrowth::of(&sides).unwrap();
        assert_eq!((found.noisy, found.clean, found.growth()), (7.0, 3.0, 4.0));
        // Two variances of 2^2 / 12 / 10.
        assert!((found.rounding_error - (2.0_f64 / 30.0).sqrt()).abs() < 1e-12);
        assert!(PatchSideGrowth::of(&[(0.7, 5.0)]).is_none());
    }

    /// Two steps with the sides 3 and 5; `squared` is `[side][seed]` of the noisy one.
    fn steps(squared: [Vec<f64>; 2]) -> [Errors; 2] {
        let n = squared[0].len();
        let step = |squared: [Vec<f64>; 2]| Errors {
            settings: [3, 5].map(|k| StepSettings { k, lambda: 0.0, gamma: 0.0, tau: 0.0 }).into(),
            squared: squared.into(),
            cosine: vec![vec![0.0; n]; 2],
            variance: vec![1.0; n],
        };
        [step([vec![0.1; n], vec![0.9; n]]), step(squared)]
    }

    #[test]
    fn seeds_that_agree_leave_no_error_and_seeds_that_differ_do() {
        let n = 16;
        assert_eq!(bootstrap_error(&steps([vec![0.9; n], vec![0.1; n]]), &[0.5, 1.0]), Some(0.0));
        // Half of the seeds are for either side, so a resample is for side 5 with a chance of .40: ties go to side 3. A
        // growth of 0 or 2 then has a standard deviation of .98.
        let split: Vec<f64> = (0..n).map(|seed| f64::from(seed as u8 % 2)).collect();
        let against: Vec<f64> = split.iter().map(|squared| 1.0 - squared).collect();
        let found = bootstrap_error(&steps([split, against]), &[0.5, 1.0]).unwrap();
        assert!((found - 0.98).abs() < 0.05, "sides of 3 and 5, each half of the time: {found}");
        assert_eq!(bootstrap_error(&steps([vec![0.9], vec![0.1]]), &[0.5, 1.0]), None);
    }
}
