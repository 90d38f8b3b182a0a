//! Passes over a whole dictionary on the CPU, in pieces that run in parallel.
//!
//! Work is cut into (query, chunk of images) pieces for rayon. The cut depends on the dictionary alone and pieces are
//! merged in order, so results do not depend on the batch or on the number of threads, not even by rounding.

use std::ops::Range;

use rayon::prelude::*;

use super::kernels::tile::Tile;
use super::pixels::ImagePixels;
use super::weights::Accumulator;
use crate::simd::Lane;
use crate::simd::lane::n_lanes;

/// Images per piece of work are a multiple of this, a whole number of tiles.
const CHUNK_IMAGES: usize = 32;
/// Pieces per query, at most: each holds its own sums.
const CHUNKS_MAX: usize = 32;

/// Sums over some images to which those over later images can be added.
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
    n_images: usize,
    queries: &[Q],
    piece: impl Fn(&Q, Range<usize>) -> A + Sync,
) -> Vec<A> {
    let n = n_images;
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

/// Calls `take` with the images of `range`, tile by tile.
pub fn each_tile<T: Lane>(
    images: &ImagePixels,
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
