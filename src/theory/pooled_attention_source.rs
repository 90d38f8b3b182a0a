//! `pooled`: the likelihood of the mean clean estimate of an image given each training image (our derivation).
//!
//! Uniform attention gives each pixel the mean over the image of the values of all pixels. With values `z(r)`, the
//! estimates of the machine without attention, that is one colour, `s(x_t) = 1/P sum_r z(r)`, whose likelihood given
//! training image n is
//!
//! ```text
//! s(x_t) given n  ~  Normal( a + B s_n, V ),   s_n = 1/P sum_r phi_n(r)
//! ```
//!
//! a, B and V depend on the noise level and the patches. They need no network: training images are noised, their pooled
//! estimates are regressed on their pooled clean values, and V is the covariance of the residuals. The log likelihood
//! replaces the votes of attended patches. Images of similar colour then have similar weights, so that pixels share the
//! *colour* and not, as with votes, the identity of one training image.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use faer::Mat;
use faer::prelude::Solve;

use super::cpu_kernels::PatchQuery;
use super::patch_pools_ls_els_bbels::Pool;
use super::posterior_weights::Accumulator;
use super::training_pixels::ImagePixels;
use crate::random::{Purpose, fill_normal, stream};
use crate::simd::Lane;

/// The likelihood is fitted to at least this many noised images, made of at most this many training images.
const N_FITTED: usize = 64;
/// Noised images that are estimated at a time; each takes memory.
const TOGETHER: usize = 16;
/// Added to the diagonals, in squared pixel values, so that a data set of one colour can be solved.
const RIDGE: f64 = 1e-10;

/// The likelihood of a pooled estimate given each training image, at one noise level and patch side.
#[derive(Debug)]
pub struct PooledModel {
    /// `a + B s_n`, `[N, C]`.
    means: Vec<f64>,
    /// `V^-1`, `[C, C]`.
    inverse_covariance: Vec<f64>,
    n_channels: usize,
}

/// The models of one dictionary, by patches and noise level.
#[derive(Debug, Default)]
pub struct PooledCache(Mutex<HashMap<Key, Arc<PooledModel>>>);

/// Patches and the bits of the noise level.
type Key = (Pool, usize, Option<u64>, u64);

impl PooledCache {
    /// The model for the patches and noise level of `query`, made by `fit` on first use.
    ///
    /// `fit` runs without the lock: it computes in parallel, and a thread that waits for its pieces may run a job that
    /// asks for a model.
    pub fn get<T>(
        &self,
        query: &PatchQuery<'_, T>,
        fit: impl FnOnce() -> PooledModel,
    ) -> Arc<PooledModel> {
        let key = (query.pool, query.k, query.window.key(), query.logit_scale.to_bits());
        if let Some(found) = self.lock().get(&key) {
            return found.clone();
        }
        let made = Arc::new(fit());
        self.lock().entry(key).or_insert(made).clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Arc<PooledModel>>> {
        // Nothing can panic while it is held.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl PooledModel {
    /// Fits the likelihood for the patches and noise level of `query`, whatever its image. `estimates` returns the
    /// posteriors of the machine without attention.
    pub fn fit<T: Lane>(
        images: &ImagePixels,
        query: &PatchQuery<'_, T>,
        estimates: impl Fn(&[PatchQuery<'_, T>]) -> Vec<Accumulator>,
    ) -> Self {
        let shape = query.shape;
        let (n_channels, n_pixels, n_values) = (shape.channels, shape.n_pixels(), shape.n_values());
        let n = images.len();
        let clean: Vec<f64> =
            (0..n).flat_map(|image| pool(&images.values(image..image + 1), n_pixels)).collect();
        // `x_t / sqrt(abar) = phi + noise`, with a variance of sigma^2 / abar.
        let sigma = (1.0 / (2.0 * query.logit_scale)).sqrt();
        let n_used = n.min(N_FITTED);
        let n_rows = n_used * N_FITTED.div_ceil(n_used);
        let image_of = |row: usize| row % n_used * n / n_used;
        let noised = |row: usize| -> Vec<T> {
            let mut noise = vec![0.0_f32; n_values];
            fill_normal(&mut stream(0, Purpose::PooledNoise, row as u64), &mut noise);
            let values = images.values(image_of(row)..image_of(row) + 1);
            let noised = values.iter().zip(&noise).map(|(v, e)| v + sigma * f64::from(*e));
            noised.map(T::from_f64).collect()
        };
        let mut design = Mat::<f64>::zeros(n_rows, n_channels + 1);
        let mut found = Mat::<f64>::zeros(n_rows, n_channels);
        for first in (0..n_rows).step_by(TOGETHER) {
            let rows = first..(first + TOGETHER).min(n_rows);
            let noised: Vec<Vec<T>> = rows.clone().map(noised).collect();
            let queries: Vec<PatchQuery<'_, T>> =
                noised.iter().map(|x| query.with_values(x)).collect();
            for (row, estimate) in rows.zip(&estimates(&queries)) {
                let pooled = pool(&estimate.mean(), n_pixels);
                for c in 0..n_channels {
                    design[(row, c)] = clean[image_of(row) * n_channels + c];
                    found[(row, c)] = pooled[c];
                }
                design[(row, n_channels)] = 1.0;
            }
        }
        let mut square = design.transpose() * &design;
        (0..=n_channels).for_each(|i| square[(i, i)] += RIDGE);
        let slopes = square.partial_piv_lu().solve(design.transpose() * &found);
        let rest = &found - &design * &slopes;
        let mut covariance = rest.transpose() * &rest;
        let freedom = n_rows.saturating_sub(n_channels + 1).max(1) as f64;
        for i in 0..n_channels {
            (0..n_channels).for_each(|j| covariance[(i, j)] /= freedom);
            covariance[(i, i)] += RIDGE;
        }
        let inverse =
            covariance.partial_piv_lu().solve(Mat::<f64>::identity(n_channels, n_channels));
        let mean = |n: usize, c: usize| {
            let clean = &clean[n * n_channels..(n + 1) * n_channels];
            let linear = clean.iter().enumerate().map(|(i, v)| v * slopes[(i, c)]);
            linear.sum::<f64>() + slopes[(n_channels, c)]
        };
        let each = (0..n).flat_map(|n| (0..n_channels).map(move |c| (n, c)));
        let square = (0..n_channels).flat_map(|i| (0..n_channels).map(move |j| (i, j)));
        Self {
            means: each.map(|(n, c)| mean(n, c)).collect(),
            inverse_covariance: square.map(|(i, j)| inverse[(i, j)]).collect(),
            n_channels,
        }
    }

    /// The log likelihood of a pooled estimate, `[C]`, given each training image, `[N]`, up to a common constant.
    pub fn log_likelihoods(&self, pooled: &[f64]) -> Vec<f64> {
        let each = self.means.chunks_exact(self.n_channels);
        each.map(|mean| {
            let gap: Vec<f64> = pooled.iter().zip(mean).map(|(s, mean)| s - mean).collect();
            let rows = self.inverse_covariance.chunks_exact(self.n_channels).zip(&gap);
            let square = rows.map(|(row, gap_i)| {
                gap_i * row.iter().zip(&gap).map(|(p, gap_j)| p * gap_j).sum::<f64>()
            });
            -0.5 * square.sum::<f64>()
        })
        .collect()
    }
}

/// Means over pixels of `[C, P]`.
pub(super) fn pool(values: &[f64], n_pixels: usize) -> Vec<f64> {
    let planes = values.chunks_exact(n_pixels);
    planes.map(|plane| plane.iter().sum::<f64>() / n_pixels as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::ImageShape;
    use crate::theory::cpu_posteriors::patch_posteriors;
    use crate::theory::patch_window::PatchWindow;
    use crate::theory::training_pixels::Storage;

    fn fit(images: &ImagePixels, query: &PatchQuery<'_, f64>) -> PooledModel {
        PooledModel::fit(images, query, |queries| patch_posteriors(images, queries, false))
    }

    /// Images of one value each, which hardly any noise hides.
    fn model(values: &[f64], logit_scale: f64) -> PooledModel {
        let shape = ImageShape::new(1, 3, 3);
        let all: Vec<f64> = values.iter().flat_map(|v| [*v; 9]).collect();
        let images = ImagePixels::new(shape, Storage::Values(all)).unwrap();
        let x = [0.0_f64; 9];
        let query = PatchQuery {
            shape,
            pool: Pool::Wrap,
            k: 3,
            window: PatchWindow::Square,
            x: &x[..],
            logit_scale,
        };
        fit(&images, &query)
    }

    #[test]
    fn with_little_noise_the_pooled_estimate_tells_images_apart() {
        let found = model(&[-0.9, -0.2, 0.4, 0.8], 500.0).log_likelihoods(&[0.4]);
        let best = (0..4).max_by(|a, b| found[*a].total_cmp(&found[*b]));
        assert_eq!(best, Some(2), "{found:?}");
        assert!(found[2] > -1.0 && found[3] < -50.0, "{found:?}");
    }

    #[test]
    fn under_pure_noise_it_says_next_to_nothing() {
        let found = model(&[-0.9, -0.2, 0.4, 0.8], 1e-6).log_likelihoods(&[0.025]);
        let (low, high) =
            found.iter().fold((0.0_f64, f64::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
        assert!(high - low < 1.0, "{found:?}");
    }

    #[test]
    fn images_of_one_colour_weigh_alike() {
        let found = model(&[0.3, 0.3, 0.3], 5.0).log_likelihoods(&[0.1]);
        assert!(found.iter().all(|v| (v - found[0]).abs() < 1e-6), "{found:?}");
    }

    #[test]
    fn a_model_is_fitted_once_for_its_level() {
        let shape = ImageShape::new(1, 3, 3);
        let images = ImagePixels::new(shape, Storage::Values(vec![0.5; 18])).unwrap();
        let x = [0.0_f64; 9];
        let cache = PooledCache::default();
        let at = |logit_scale| {
            let query = PatchQuery {
                shape,
                pool: Pool::Wrap,
                k: 3,
                window: PatchWindow::Square,
                x: &x[..],
                logit_scale,
            };
            cache.get(&query, || fit(&images, &query))
        };
        assert!(Arc::ptr_eq(&at(1.0), &at(1.0)) && !Arc::ptr_eq(&at(1.0), &at(2.0)));
    }
}
