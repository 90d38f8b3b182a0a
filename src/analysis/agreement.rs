//! Agreement of network and theory on one noise seed: r, r^2 and R^2 of two images; R^2 of many images together; and the
//! share of seeds won.
//!
//! ```text
//! r   = cov(a, b) / (sd(a) sd(b))                     over all values of one image
//! R^2 = 1 - sum (target - prediction)^2 / sum (target - mean(target))^2
//! ```
//!
//! `r^2` is invariant to contrast and offset; `R^2` is not and may be negative. Papers report either, so each
//! has its own name here.

use super::confidence_intervals::{Interval, wilson};

/// Measures of agreement between a prediction and its target.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Agreement {
    /// Pearson's correlation; `None` if either image is constant or not finite.
    pub r: Option<f64>,
    /// `r * r`.
    pub r_squared: Option<f64>,
    /// The coefficient of determination `R^2`; `None` if the target is constant.
    pub cod: Option<f64>,
}

/// Compares a prediction (a machine's image) with its target (the network's).
///
/// # Panics
///
/// If the images differ in length.
pub fn agreement(prediction: &[f64], target: &[f64]) -> Agreement {
    assert_eq!(prediction.len(), target.len(), "agreement needs equally long images");
    let n = target.len() as f64;
    let mean = |v: &[f64]| v.iter().sum::<f64>() / n;
    let (mean_p, mean_t) = (mean(prediction), mean(target));
    let (mut pp, mut tt, mut pt, mut residual) = (0.0, 0.0, 0.0, 0.0);
    for (p, t) in prediction.iter().zip(target) {
        let (dp, dt) = (p - mean_p, t - mean_t);
        pp += dp * dp;
        tt += dt * dt;
        pt += dp * dt;
        residual += (t - p) * (t - p);
    }
    // Rounding errors alone give a constant image a non-zero sum of squares.
    let varies = |sum: f64, mean: f64| sum > n * (1e-12 * (1.0 + mean.abs())).powi(2);
    let finite = |v: f64| v.is_finite().then_some(v);
    let target_varies = varies(tt, mean_t);
    let r = (target_varies && varies(pp, mean_p))
        .then(|| pt / (pp.sqrt() * tt.sqrt()))
        .and_then(finite)
        .map(|r| r.clamp(-1.0, 1.0));
    let cod = target_varies.then(|| 1.0 - residual / tt).and_then(finite);
    Agreement { r, r_squared: r.map(|r| r * r), cod }
}

/// The mean squared error per value; `None` if it is not finite or there are no values.
///
/// # Panics
///
/// If the images differ in length.
pub fn mean_squared_error(prediction: &[f64], target: &[f64]) -> Option<f64> {
    assert_eq!(prediction.len(), target.len(), "an error needs equally long images");
    let squares: f64 = prediction.iter().zip(target).map(|(p, t)| (t - p).powi(2)).sum();
    let mean = squares / target.len() as f64;
    mean.is_finite().then_some(mean)
}

/// `R^2` of many images together, such as estimates at all steps from all noise seeds: by the ratio of sums.
///
/// ```text
/// R^2 = 1 - sum over images |target - prediction|^2 / sum over images |target - mean(target)|^2
/// ```
///
/// A mean of the images' own `R^2` would be decided by those with hardly any deviation to explain: at pure noise a network
/// estimates nearly the same flat image from every noise seed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PooledRSquared {
    squared_error: f64,
    squared_deviation: f64,
}

impl PooledRSquared {
    /// Adds one image and its prediction; images with values that are not finite are left out.
    ///
    /// # Panics
    ///
    /// If the images differ in length.
    pub fn add(&mut self, prediction: &[f64], target: &[f64]) {
        assert_eq!(prediction.len(), target.len(), "agreement needs equally long images");
        let mean = target.iter().sum::<f64>() / target.len() as f64;
        let error: f64 = prediction.iter().zip(target).map(|(p, t)| (t - p).powi(2)).sum();
        let deviation: f64 = target.iter().map(|t| (t - mean).powi(2)).sum();
        if error.is_finite() && deviation.is_finite() {
            self.squared_error += error;
            self.squared_deviation += deviation;
        }
    }

    /// Adds all images of `other`.
    pub fn append(&mut self, other: Self) {
        self.squared_error += other.squared_error;
        self.squared_deviation += other.squared_deviation;
    }

    /// `R^2` of all images; `None` if they have no deviation.
    pub fn value(self) -> Option<f64> {
        let value = 1.0 - self.squared_error / self.squared_deviation;
        value.is_finite().then_some(value)
    }
}

/// Share of seeds won by `a` against `b`: of those where both values of r are defined, the share where that of `a` is
/// the larger one, with Wilson's 95% interval; `None` without any.
pub fn share_won(a: &[Option<f64>], b: &[Option<f64>]) -> Option<Interval> {
    let pairs: Vec<(f64, f64)> =
        a.iter().zip(b).filter_map(|(a, b)| Some(((*a)?, (*b)?))).collect();
    let n = pairs.iter().filter(|(a, b)| a > b).count();
    (!pairs.is_empty()).then(|| wilson(n, pairs.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identical_images_agree_fully() {
        let a = agreement(&[0.1, -0.4, 0.9], &[0.1, -0.4, 0.9]);
        assert!((a.r.unwrap() - 1.0).abs() < 1e-12 && a.cod == Some(1.0));
    }

    #[test]
    fn contrast_costs_r2_of_determination_but_not_of_correlation() {
        let target = [1.0, -1.0, 1.0, -1.0];
        let a = agreement(&[0.5, -0.5, 0.5, -0.5], &target);
        assert!((a.r_squared.unwrap() - 1.0).abs() < 1e-12);
        assert!((a.cod.unwrap() - 0.75).abs() < 1e-12);
        assert!(agreement(&[-1.0, 1.0, -1.0, 1.0], &target).cod.unwrap() < -2.9);
    }

    #[test]
    fn a_flat_image_hardly_counts_in_the_pooled_r_squared() {
        let (target, flat) = ([1.0, -1.0, 1.0, -1.0], [0.001, -0.001, 0.001, -0.001]);
        let mut pooled = PooledRSquared::default();
        assert_eq!(pooled.value(), None);
        pooled.add(&[0.5, -0.5, 0.5, -0.5], &target);
        assert_eq!(pooled.value(), agreement(&[0.5, -0.5, 0.5, -0.5], &target).cod);
        let mut other = PooledRSquared::default();
        other.add(&[0.1; 4], &flat);
        assert!(other.value().unwrap() < -9000.0);
        other.add(&[f64::NAN; 4], &target);
        pooled.append(other);
        // (1 + .04) squared error of 4 squared deviation.
        assert!((pooled.value().unwrap() - 0.74).abs() < 1e-4, "{pooled:?}");
    }

    #[test]
    fn constant_and_broken_images_have_no_agreement() {
        let varied = [0.0, 1.0, 0.5];
        assert_eq!(agreement(&varied, &[0.3; 3]), Agreement::default());
        let flat = agreement(&[0.3; 3], &varied);
        assert!(flat.r.is_none() && flat.cod.is_some());
        assert_eq!(agreement(&varied, &[0.0, f64::NAN, 1.0]), Agreement::default());
        assert_eq!(agreement(&[], &[]), Agreement::default());
    }
}
