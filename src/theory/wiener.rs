//! The Gaussian machine: the Wiener filter of the mean and covariance of the data (Wang & Vastola, arXiv 2412.09726;
//! Lukoianov et al., arXiv 2509.09672).
//!
//! ```text
//! x0hat = mu + sqrt(abar) S (abar S + sigma^2 I)^-1 (x_t - sqrt(abar) mu)
//!       = mu + U diag( sqrt(abar) v / (abar v + sigma^2) ) U^T (x_t - sqrt(abar) mu),   S = U diag(v) U^T
//! ```
//!
//! S is the population covariance (divided by N). It is decomposed once for all noise levels. With fewer images than
//! values the N x N Gram matrix is decomposed instead, whose eigenvectors `g` give `U = X^T g / sqrt(N v)`. Always in
//! `f64`; there is no posterior over patches.

use std::ops::Range;

use faer::{Mat, Side};

use super::error::TheoryError;
use super::training_images::TrainingImages;
use crate::diffusion::NoiseLevel;

/// Directions whose variance is below this share of the largest are rounding errors and left out.
const RELATIVE_RANK: f64 = 1e-13;

/// Images whose contributions to the covariance are computed at a time.
const BLOCK: usize = 1024;

/// Mean and covariance of a dictionary, decomposed.
#[derive(Debug)]
pub struct Wiener {
    mean: Vec<f64>,
    /// Eigenvalues, largest last.
    variances: Vec<f64>,
    /// Eigenvectors, one per row of `n_values`.
    directions: Vec<f64>,
}

impl Wiener {
    /// The mean and the decomposed covariance of `images`.
    ///
    /// # Errors
    ///
    /// If the eigenvalues do not converge.
    pub fn new(images: &TrainingImages) -> Result<Self, TheoryError> {
        let (n, d) = (images.len(), images.shape().n_values());
        let blocks = || (0..n).step_by(BLOCK).map(|first| first..(first + BLOCK).min(n));
        let mut mean = vec![0.0; d];
        for block in blocks() {
            for image in images.values(block).chunks_exact(d) {
                mean.iter_mut().zip(image).for_each(|(mean, v)| *mean += v / n as f64);
            }
        }
        let centred = |block: Range<usize>| {
            let (rows, values) = (block.len(), images.values(block));
            Mat::from_fn(rows, d, |i, j| values[i * d + j] - mean[j])
        };
        let scale = faer::Scale(1.0 / n as f64);
        let dual = n < d;
        let all = if dual { centred(0..n) } else { Mat::new() };
        let square = if dual {
            scale * (&all * all.transpose())
        } else {
            let mut sum = Mat::zeros(d, d);
            for block in blocks().map(centred) {
                sum += block.transpose() * &block;
            }
            scale * sum
        };
        let eigen = square
            .self_adjoint_eigen(Side::Lower)
            .map_err(|problem| TheoryError::Eigen { problem: format!("{problem:?}") })?;
        let eigenvalues: Vec<f64> = eigen.S().column_vector().iter().copied().collect();
        let largest = eigenvalues.iter().copied().fold(0.0, f64::max);
        let kept: Vec<usize> =
            (0..eigenvalues.len()).filter(|&i| eigenvalues[i] > RELATIVE_RANK * largest).collect();
        let vectors = if dual { all.transpose() * eigen.U() } else { eigen.U().to_owned() };
        let mut directions = Vec::with_capacity(kept.len() * d);
        for &i in &kept {
            let length = if dual { (n as f64 * eigenvalues[i]).sqrt() } else { 1.0 };
            directions.extend((0..d).map(|j| vectors[(j, i)] / length));
        }
        let variances = kept.iter().map(|&i| eigenvalues[i]).collect();
        Ok(Self { mean, variances, directions })
    }

    /// Values of an image.
    pub fn n_values(&self) -> usize {
        self.mean.len()
    }

    /// Eigenvalues of the covariance, largest last.
    pub fn variances(&self) -> &[f64] {
        &self.variances
    }

    /// Eigenvectors, one per row of [`Wiener::n_values`].
    pub fn directions(&self) -> &[f64] {
        &self.directions
    }

    /// The posterior mean of one noisy image `x_t`, both `[C, H, W]`.
    pub fn denoise(&self, x: &[f64], level: NoiseLevel) -> Vec<f64> {
        let (signal, noise) = (level.signal(), level.variance());
        let rest: Vec<f64> = x.iter().zip(&self.mean).map(|(x, mean)| x - signal * mean).collect();
        let mut x0 = self.mean.clone();
        for (direction, variance) in self.directions.chunks_exact(x.len()).zip(&self.variances) {
            let along: f64 = direction.iter().zip(&rest).map(|(u, r)| u * r).sum();
            let gain = along * signal * variance / (level.abar * variance + noise);
            x0.iter_mut().zip(direction).for_each(|(x0, u)| *x0 += gain * u);
        }
        x0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::Schedule;
    use crate::image::ImageShape;
    use crate::random::noise_seeds;

    fn random_images(n: usize, shape: ImageShape) -> TrainingImages {
        TrainingImages::from_values(shape, noise_seeds(5, 0, n, shape).into_values()).unwrap()
    }

    #[test]
    fn the_filter_solves_its_linear_system() {
        // Check (abar S + sigma^2 I) y = x - sqrt(abar) mu and x0 = mu + sqrt(abar) S y without
        // using eigenvectors: y = (x - sqrt(abar) x0) / sigma^2 follows from both.
        let shape = ImageShape::new(1, 2, 3);
        let level = Schedule::Cosine.level(0.6);
        for n in [1, 3, 40] {
            let images = random_images(n, shape);
            let x = noise_seeds(6, 0, 1, shape).into_values();
            let wiener = Wiener::new(&images).unwrap();
            let x0 = wiener.denoise(&x, level);
            let y: Vec<f64> =
                (0..6).map(|j| (x[j] - level.signal() * x0[j]) / level.variance()).collect();
            let mut expected = wiener.mean.clone();
            for image in images.values(0..n).chunks_exact(6) {
                let along: f64 = (0..6).map(|j| (image[j] - wiener.mean[j]) * y[j]).sum();
                for j in 0..6 {
                    let centred = image[j] - wiener.mean[j];
                    expected[j] += level.signal() * along * centred / n as f64;
                }
            }
            for (a, b) in x0.iter().zip(&expected) {
                assert!((a - b).abs() < 1e-10, "{n} images: {a} {b}");
            }
        }
    }

    #[test]
    fn only_the_mean_is_left_in_pure_noise() {
        let shape = ImageShape::new(1, 2, 3);
        let wiener = Wiener::new(&random_images(40, shape)).unwrap();
        let x = noise_seeds(6, 0, 1, shape).into_values();
        let x0 = wiener.denoise(&x, NoiseLevel { t: 1.0, abar: 1e-24 });
        assert!(x0.iter().zip(&wiener.mean).all(|(a, b)| (a - b).abs() < 1e-9));
    }
}
