//! Posteriors over a dictionary on the CPU; [`super::gpu::posteriors`] has the same functions on GPUs.
//!
//! Queries are `x_t / sqrt(abar)`, `[C, H, W]`; `logit_scale` is `abar / (2 sigma^2)`.

use std::ops::Range;

use rayon::prelude::*;

use super::cpu_kernels::{
    PatchQuery, box_sums::BoxSums, posterior_over_all_images::AllImages, tile::Tile,
};
use super::es_by_fourier_transform::{is_accurate, posteriors_over_shifts};
use super::estimate_of_one_image::Estimate;
use super::ideal_and_es::{WholeSums, expand};
use super::image_evidence::Evidence;
use super::ls_wiener::{MaskedSums, Masks, by_pixel};
use super::parallel_passes_over_dictionary::{add_images, merged};
use super::posterior_weights::Accumulator;
use super::pspc::{Composite, CropPosteriors, Mosaic, entropies, normalisers};
use super::training_pixels::ImagePixels;
use crate::simd::{Lane, lane::n_lanes};

/// The posterior at each pixel of each query over patches; entropy and provenance only if `with_posterior`.
pub fn patch_posteriors<T: Lane>(
    images: &ImagePixels,
    queries: &[PatchQuery<'_, T>],
    with_posterior: bool,
) -> Vec<Accumulator> {
    let n_entries = images.len() * images.shape().n_pixels();
    merged(Accumulator::merge, images.len(), queries, |query, range| {
        let mut boxes = BoxSums::<T, AllImages>::new(*query, n_entries, with_posterior);
        add_images(images, range, &mut boxes);
        boxes.posterior.finish()
    })
}

/// Estimates from whole images, in every circular shift if `shifts`.
pub fn whole_images(
    images: &ImagePixels,
    queries: &[Vec<f64>],
    shifts: bool,
    logit_scale: f64,
) -> Vec<Estimate> {
    let shape = images.shape();
    let largest = if shifts { images.largest() } else { f64::INFINITY };
    let (expanded, direct): (Vec<usize>, Vec<usize>) =
        (0..queries.len()).partition(|&i| is_accurate(&queries[i], largest, logit_scale));
    let pick = |which: &[usize]| which.iter().map(|&i| &queries[i]).collect::<Vec<_>>();
    let by_transform = posteriors_over_shifts(images, &pick(&expanded), logit_scale);
    let one_by_one = sums_of_squares(images, &pick(&direct), shifts, logit_scale);
    let mut sums: Vec<(usize, Accumulator)> =
        expanded.into_iter().zip(by_transform).chain(direct.into_iter().zip(one_by_one)).collect();
    sums.sort_by_key(|(i, _)| *i);
    sums.iter().map(|(_, sums)| expand(sums, shape)).collect()
}

/// The posteriors of [`whole_images`] from squares of differences, entry by entry.
fn sums_of_squares(
    images: &ImagePixels,
    queries: &[&Vec<f64>],
    shifts: bool,
    logit_scale: f64,
) -> Vec<Accumulator> {
    let shape = images.shape();
    let n_entries = images.len() * if shifts { shape.n_pixels() } else { 1 };
    merged(Accumulator::merge, images.len(), queries, |x, range| {
        let mut sums = WholeSums::new(shape, x, logit_scale, shifts, n_entries);
        if shifts {
            add_images(images, range, &mut sums);
        } else {
            let mut tile = Tile::new(shape);
            for first in range.clone().step_by(n_lanes::<f64>()) {
                sums.add_images(images, first..range.end, &mut tile);
            }
        }
        sums.finish()
    })
}

/// Estimates from images seen through `masks`; see [`super::ls_wiener`].
pub fn masked(
    images: &ImagePixels,
    queries: &[Vec<f64>],
    masks: &Masks,
    logit_scale: f64,
) -> Vec<Estimate> {
    let (shape, n) = (images.shape(), images.len());
    let sums = merged(Accumulator::merge, n, queries, |x, range| {
        let mut sums = MaskedSums::new(shape, masks, x, logit_scale, n);
        add_images(images, range, &mut sums);
        sums.posterior.finish()
    });
    sums.iter().map(|sums| by_pixel(sums, shape)).collect()
}

/// Estimates from overlapping `k x k` crops; see [`super::pspc`].
pub fn composites(
    images: &ImagePixels,
    queries: &[Vec<f64>],
    k: usize,
    logit_scale: f64,
) -> Vec<Estimate> {
    let (shape, n) = (images.shape(), images.len());
    let crops = merged(Accumulator::merge, n, queries, |x, range| {
        let mut pass = CropPosteriors::new(shape, k, x, logit_scale, n);
        add_images(images, range, &mut pass);
        pass.posterior.finish()
    });
    let normalised = crops.iter().map(|crops| normalisers(crops, logit_scale));
    let queries: Vec<(&Vec<f64>, Vec<f64>)> = queries.iter().zip(normalised).collect();
    let mosaics = merged(Mosaic::merge, n, &queries, |(x, normalisers), range| {
        let mut pass = Composite::new(shape, k, x, logit_scale, normalisers);
        add_images(images, range, &mut pass);
        pass.finish()
    });
    let columns = shape.width + 1 - k;
    let estimate = |(crops, mosaic): (&Accumulator, &Mosaic)| Estimate {
        x0: mosaic.mean(),
        entropy_nats: entropies(|row, column| crops.entropy(row * columns + column), shape, k),
        provenance: mosaic.provenance(shape.width),
        attention: None,
    };
    crops.iter().zip(&mosaics).map(estimate).collect()
}

/// Evidence of some images; `log_pool` is `ln |pool(p)|`, `[P]`.
pub fn evidence<T: Lane>(
    images: &ImagePixels,
    range: Range<usize>,
    query: PatchQuery<'_, T>,
    log_pool: &[f64],
) -> Evidence {
    let n_lanes = n_lanes::<T>();
    let (n_channels, n_pixels) = (query.shape.channels, query.shape.n_pixels());
    let mut all = Evidence::zeros(range.clone(), n_channels, n_pixels);
    // The images of a tile fill a chunk of each.
    let each = n_lanes * n_pixels;
    let log_evidence = all.log_evidence.par_chunks_mut(each);
    let estimates = all.estimates.par_chunks_mut(each * n_channels);
    let inner_entropy = all.inner_entropy.par_chunks_mut(each);
    let inner_best = all.inner_best.par_chunks_mut(each);
    let chunks = log_evidence.zip(estimates).zip(inner_entropy.zip(inner_best)).enumerate();
    chunks.for_each_init(
        || (BoxSums::per_image(query), Tile::new(query.shape)),
        |(boxes, tile), (at, ((log_evidence, estimates), (inner_entropy, inner_best)))| {
            images.fill_tile(range.start + at * n_lanes..range.end, tile);
            boxes.weigh_tile(tile);
            for lane in 0..tile.n_images() {
                let means = &mut estimates[lane * n_channels * n_pixels..];
                for (p, log_pool) in log_pool.iter().enumerate() {
                    let mut channel = p;
                    let (found, place) = boxes.evidence(tile, lane, p, |mean| {
                        means[channel] = mean;
                        channel += n_pixels;
                    });
                    let at = lane * n_pixels + p;
                    log_evidence[at] = found.log_sum - log_pool;
                    inner_entropy[at] = found.entropy_nats;
                    inner_best[at] = (place, found.log_weight);
                }
            }
        },
    );
    all
}
