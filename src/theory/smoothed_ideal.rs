//! `smoothed`: the mean of `ideal` over noised copies of the input, the sigma-CFDM of Scarvelis, Borde & Solomon,
//! *Closed-Form Diffusion Models*, arXiv 2310.12395.
//!
//! The paper interpolates as `z = tau phi + (1 - tau) eps` and replaces z by M noised copies in the weighted mean of the
//! training points, which alone is not linear in z; the linear part of the score keeps its z, since noise has mean 0:
//!
//! ```text
//! k(z) = sum_n softmax_n( - || z - tau phi_n ||^2 / (2 (1 - tau)^2) ) phi_n           the closed form, `ideal`
//! x0hat = 1/M sum_m k(z + s eps_m),   eps_m ~ N(0, I)                                 smoothed
//! ```
//!
//! Our `x_t = sqrt(abar) phi + sigma eps` is the paper's z at `tau = sqrt(abar) / (sqrt(abar) + sigma)`, times
//! `sqrt(abar) + sigma`. With the same signal-to-noise ratio `k` is `ideal`, so in the units of `x_t / sqrt(abar)`
//!
//! ```text
//! x0hat = 1/M sum_m ideal( x_t / sqrt(abar) + (s / tau) eps_m ),   1 / tau = 1 + sigma / sqrt(abar)
//! ```
//!
//! s is in the units of the data where noise vanishes (tau = 1). The `eps_m` are the same for all queries and noise levels:
//! the field is a fixed function of `x_t` and t, and an estimate does not depend on its batch.

use super::estimate_of_one_image::Estimate;
use super::machine_spec::Smoothing;
use crate::diffusion::NoiseLevel;
use crate::random::{Purpose, fill_normal, stream};

/// Seed of the copies' noise.
const SEED: u64 = 0;

/// The mean of `ideal` over noised copies of each query. `queries` are `x_t / sqrt(abar)`, `[C, H, W]`; `ideal` returns one
/// estimate for each image that it is given.
///
/// Estimates have no posterior: they are means over several.
pub fn smoothed_estimates(
    queries: &[Vec<f64>],
    smoothing: Smoothing,
    level: NoiseLevel,
    ideal: impl Fn(&[Vec<f64>]) -> Vec<Estimate>,
) -> Vec<Estimate> {
    let x0_only = |x0| Estimate { x0, ..Estimate::default() };
    if smoothing.sigma == 0.0 {
        return ideal(queries).into_iter().map(|estimate| x0_only(estimate.x0)).collect();
    }
    let amplitude = smoothing.sigma * (1.0 + level.sigma() / level.signal());
    let noise: Vec<Vec<f32>> = (0..smoothing.n_copies)
        .map(|copy| {
            let mut noise = vec![0.0; queries.first().map_or(0, Vec::len)];
            fill_normal(&mut stream(SEED, Purpose::SmoothingNoise, copy as u64), &mut noise);
            noise
        })
        .collect();
    let noised = |x: &[f64], noise: &[f32]| -> Vec<f64> {
        x.iter().zip(noise).map(|(x, &eps)| x + amplitude * f64::from(eps)).collect()
    };
    let estimate = |x: &Vec<f64>| {
        let copies: Vec<Vec<f64>> = noise.iter().map(|noise| noised(x, noise)).collect();
        let mut mean = vec![0.0; x.len()];
        for estimate in ideal(&copies) {
            mean.iter_mut().zip(&estimate.x0).for_each(|(mean, x0)| *mean += x0);
        }
        mean.iter_mut().for_each(|mean| *mean /= copies.len() as f64);
        x0_only(mean)
    };
    queries.iter().map(estimate).collect()
}
