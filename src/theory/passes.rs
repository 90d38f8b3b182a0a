//! Passes over a whole dictionary, in pieces.
//!
//! Work is cut into (query, chunk of images) pieces for rayon. The cut depends on the dictionary alone
//! and pieces are merged in order, so what is found does not depend on the batch it was asked in, nor
//! on the number of threads: not even by rounding.

use std::ops::Range;

use rayon::prelude::*;

use super::gpu::placement::GpuPlacement;
use super::images::TrainingImages;
use super::kernels::PatchQuery;
use super::kernels::boxes::BoxSums;
use super::kernels::tile::Tile;
use super::weights::Accumulator;
use crate::simd::Lane;
use crate::simd::lane::n_lanes;

/// Images per piece of work are a multiple of this, a whole number of tiles; and pieces per query, at most
/// (each holds its own sums).
const CHUNK_IMAGES: usize = 32;
const CHUNKS_MAX: usize = 32;

/// What is found over some images and can take in what is found over later ones.
pub trait Merge: Clone + Send {
    fn merge(&mut self, other: &Self);
}

impl Merge for Accumulator {
    fn merge(&mut self, other: &Self) {
        self.merge(other);
    }
}

/// Runs `piece` on every (query, chunk of images) and merges the chunks of each query.
pub fn merged<Q: Sync, A: Merge>(
    images: &TrainingImages,
    queries: &[Q],
    piece: impl Fn(&Q, Range<usize>) -> A + Sync,
) -> Vec<A> {
    let n = images.len();
    let per_chunk = CHUNK_IMAGES.max(n.div_ceil(CHUNKS_MAX).next_multiple_of(CHUNK_IMAGES));
    let n_chunks = n.div_ceil(per_chunk);
    let pieces: Vec<A> = (0..queries.len() * n_chunks)
        .into_par_iter()
        .map(|at| {
            let (query, first) = (at / n_chunks, at % n_chunks * per_chunk);
            piece(&queries[query], first..(first + per_chunk).min(n))
        })
        .collect();
    let merge = |parts: &[A]| {
        let mut all = parts[0].clone();
        parts[1..].iter().for_each(|part| all.merge(part));
        all
    };
    pieces.chunks(n_chunks).map(merge).collect()
}

/// Hands over the images of `range` tile by tile.
pub fn each_tile<T: Lane>(
    images: &TrainingImages,
    range: Range<usize>,
    mut take: impl FnMut(&Tile<T>),
) {
    let n_lanes = n_lanes::<T>();
    let mut tile = Tile::new(images.shape(), n_lanes);
    for first in range.clone().step_by(n_lanes) {
        images.fill_tile(first..range.end, &mut tile);
        take(&tile);
    }
}

/// The posteriors of patches over all images, on the dictionary's GPUs if it has any and `T` is single precision, in
/// which they compute; entropy and provenance only if `with_posterior`.
pub fn patch_posteriors<T: Lane>(
    images: &TrainingImages,
    queries: &[PatchQuery<'_, T>],
    with_posterior: bool,
) -> Vec<Accumulator> {
    let gpus = images.gpu_placement_in::<T>();
    let found = gpus.and_then(|gpus| posteriors_on(gpus, images, queries, with_posterior));
    found.unwrap_or_else(|| {
        let n_entries = images.len() * images.shape().n_pixels();
        merged(images, queries, |query, range| {
            let mut boxes =
                BoxSums::<T, false>::new(*query, n_lanes::<T>(), n_entries, with_posterior);
            each_tile(images, range, |tile| boxes.add_tile(tile));
            boxes.finish()
        })
    })
}

/// The same from GPUs, rounded to single precision; none where they cannot.
pub fn posteriors_on<T: Lane>(
    gpus: &GpuPlacement,
    images: &TrainingImages,
    queries: &[PatchQuery<'_, T>],
    with_posterior: bool,
) -> Option<Vec<Accumulator>> {
    let singles: Vec<Vec<f32>> = queries.iter().map(PatchQuery::singles).collect();
    let queries: Vec<PatchQuery<'_, f32>> =
        queries.iter().zip(&singles).map(|(query, x)| query.of(x)).collect();
    gpus.posteriors(images, &queries, !with_posterior)
}
