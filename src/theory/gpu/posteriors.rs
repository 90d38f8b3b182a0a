//! Posteriors over a dictionary on GPUs; [`crate::theory::cpu_posteriors`] has the same functions on the CPU.
//!
//! Queries are rounded to single precision, in which GPUs compute. Every function returns `None` where GPUs cannot:
//! images too large for the kernels, or GPUs that failed, which [`GpuPlacement`] has reported.

use std::ops::Range;

use rayon::prelude::*;

use super::evidence::{Mask, Votes};
use super::sums_over_gpus::GpuPlacement;
use crate::diffusion::Provenance;
use crate::simd::Lane;
use crate::theory::cpu_kernels::PatchQuery;
use crate::theory::estimate_of_one_image::Estimate;
use crate::theory::image_evidence::{Evidence, ImageMixture};
use crate::theory::ls_wiener::{Masks, by_pixel};
use crate::theory::patch_pools_ls_els_bbels::Pool;
use crate::theory::patch_window::PatchWindow;
use crate::theory::posterior_weights::Accumulator;
use crate::theory::pspc::entropies;
use crate::theory::training_pixels::ImagePixels;

fn singles(x: &[f64]) -> Vec<f32> {
    x.iter().map(|&value| value as f32).collect()
}

/// The posterior at each pixel of each query over patches; entropy and provenance only if `with_posterior`.
pub fn patch_posteriors<T: Lane>(
    gpus: &GpuPlacement,
    images: &ImagePixels,
    queries: &[PatchQuery<'_, T>],
    with_posterior: bool,
) -> Option<Vec<Accumulator>> {
    let singles: Vec<Vec<f32>> = queries.iter().map(PatchQuery::singles).collect();
    let queries: Vec<PatchQuery<'_, f32>> =
        queries.iter().zip(&singles).map(|(query, x)| query.with_values(x)).collect();
    gpus.posteriors(images, &queries, !with_posterior)
}

/// Estimates from whole images, in every circular shift if `shifts`: those of patches that cover the image, at the same
/// place or anywhere.
pub fn whole_images(
    gpus: &GpuPlacement,
    images: &ImagePixels,
    queries: &[Vec<f64>],
    shifts: bool,
    (logit_scale, with_posterior): (f64, bool),
) -> Option<Vec<Estimate>> {
    let shape = images.shape();
    let pool = if shifts { Pool::Wrap } else { Pool::SamePlace };
    let k = 2 * shape.height.max(shape.width) - 1;
    let queries: Vec<PatchQuery<'_, f64>> = queries
        .iter()
        .map(|x| PatchQuery { shape, pool, k, window: PatchWindow::Square, x, logit_scale })
        .collect();
    let sums = patch_posteriors(gpus, images, &queries, with_posterior)?;
    Some(sums.iter().map(Estimate::from_pixels).collect())
}

/// Estimates from images seen through `masks`; see [`crate::theory::ls_wiener`].
pub fn masked(
    gpus: &GpuPlacement,
    images: &ImagePixels,
    queries: &[Vec<f64>],
    masks: &Masks,
    logit_scale: f64,
) -> Option<Vec<Estimate>> {
    let (shape, pool) = (images.shape(), Pool::SamePlace);
    let mask = Mask { bits: masks.bits(), logit_scale: logit_scale as f32 };
    let of_query = |x: &Vec<f64>| {
        let x = singles(x);
        let query =
            PatchQuery { shape, pool, k: 1, window: PatchWindow::Square, x: &x[..], logit_scale };
        Some(by_pixel(&gpus.masked(images, query, mask)?, shape))
    };
    queries.iter().map(of_query).collect()
}

/// Estimates from overlapping `k x k` crops; see [`crate::theory::pspc`]. A crop is the patch of `ls` around its
/// centre, so the evidence of images at crop centres is their evidence for the crops.
pub fn composites(
    gpus: &GpuPlacement,
    images: &ImagePixels,
    queries: &[Vec<f64>],
    k: usize,
    logit_scale: f64,
) -> Option<Vec<Estimate>> {
    let (shape, half) = (images.shape(), k / 2);
    let of_query = |x: &Vec<f64>| {
        let (pool, x) = (Pool::SamePlace, singles(x));
        let query =
            PatchQuery { shape, pool, k, window: PatchWindow::Square, x: &x[..], logit_scale };
        let crops = gpus.mixed(images, query, Votes::Nothing, 0.0)?.mixture;
        let log_sums: Vec<f32> = (0..shape.n_pixels()).map(|p| crops.log_sum(p) as f32).collect();
        let mosaic = gpus.crops(images, query, &log_sums)?;
        let mut x0 = mosaic.mixture.mean();
        x0.truncate(shape.n_values());
        let entropy = |y, x| crops.entropy((y + half) * shape.width + x + half);
        let entropy_nats = entropies(entropy, shape, k);
        let provenance = mosaic.top.iter().map(|(place, _)| *place).collect();
        Some(Estimate { x0, entropy_nats, provenance, attention: None })
    };
    queries.iter().map(of_query).collect()
}

/// Evidence of some images; `log_pool` is `ln |pool(p)|`, `[P]`.
pub fn evidence<T: Lane>(
    gpus: &GpuPlacement,
    images: &ImagePixels,
    range: Range<usize>,
    query: PatchQuery<'_, T>,
    log_pool: &[f64],
) -> Option<Evidence> {
    let found = gpus.evidence(images, range.clone(), query.with_values(&query.singles()))?;
    let (n_channels, n_pixels, width) =
        (query.shape.channels, query.shape.n_pixels(), query.shape.width);
    let best = |(at, (&place, &log_weight)): (usize, (&i32, &f32))| {
        let (row, column) = (place as usize / width, place as usize % width);
        let image = (range.start + at / n_pixels) as u32;
        let place = Provenance { image, row: row as u16, column: column as u16 };
        (place, f64::from(log_weight))
    };
    let doubles = |values: &[f32]| values.par_iter().map(|&value| f64::from(value)).collect();
    let log_sums = found.log_sums.par_iter().enumerate();
    let places = found.places.par_iter().zip(&found.log_weights).enumerate();
    Some(Evidence {
        first: range.start,
        n_channels,
        n_pixels,
        log_evidence: log_sums.map(|(at, &sum)| f64::from(sum) - log_pool[at % n_pixels]).collect(),
        estimates: doubles(&found.estimates),
        inner_entropy: doubles(&found.entropies),
        inner_best: places.map(best).collect(),
    })
}

/// All images mixed by their evidence alone; log-sum-exps are of [`Evidence::log_evidence`].
pub fn local_mixture<T: Lane>(
    gpus: &GpuPlacement,
    images: &ImagePixels,
    query: PatchQuery<'_, T>,
    log_pool: &[f64],
) -> Option<Accumulator> {
    let mut found = patch_posteriors(gpus, images, &[query], false)?.pop()?;
    found.max.iter_mut().zip(log_pool).for_each(|(max, log_pool)| *max -= log_pool);
    Some(found)
}

/// All images mixed by `softmax_n(E[n,p] + lambda votes)`.
pub fn mixed<T: Lane>(
    gpus: &GpuPlacement,
    images: &ImagePixels,
    query: PatchQuery<'_, T>,
    votes: Votes<'_>,
    lambda: f64,
) -> Option<ImageMixture> {
    // GPUs leave out the size of the pool, which is the same for every image and so changes no weight.
    gpus.mixed(images, query.with_values(&query.singles()), votes, lambda as f32)
}

/// `sum_n P(n|p) P(n|r)`, `[P, P]`, with `P(n|p) = exp(E[n,p] - log_sums[p])`.
pub fn co_origin<T: Lane>(
    gpus: &GpuPlacement,
    images: &ImagePixels,
    query: PatchQuery<'_, T>,
    log_sums: &[f64],
    log_pool: &[f64],
) -> Option<Vec<f64>> {
    // GPUs leave out the size of the pool.
    let pairs = log_sums.iter().zip(log_pool);
    let log_sums: Vec<f32> = pairs.map(|(sum, pool)| (sum + pool) as f32).collect();
    gpus.co_origin(images, query.with_values(&query.singles()), &log_sums)
}
