//! Passes over a whole dictionary on the CPU, in pieces that run in parallel.
//!
//! Work is cut into (query, chunk of images) pieces for rayon. The cut depends on the dictionary alone and pieces are
//! merged in order, so results do not depend on the batch or on the number of threads, not even by rounding.

use std::ops::Range;

use rayon::prelude::*;

use super::cpu_kernels::tile::{Tile, TileSums, add_tile};
use super::training_pixels::ImagePixels;
use crate::simd::{Lane, lane::n_lanes};

/// Images per piece of work are a multiple of this, a whole number of tiles.
const CHUNK_IMAGES: usize = 32;
/// Pieces per query, at most: each holds its own sums.
const CHUNKS_MAX: usize = 32;

/// Runs `piece` on every (query, chunk of images) and merges the chunks of each query, in order, with `merge`.
pub fn merged<Q: Sync, A: Clone + Send>(
    merge: impl Fn(&mut A, &A),
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
    let of_query = |parts: &[A]| {
        let mut all = parts[0].clone();
        parts[1..].iter().for_each(|part| merge(&mut all, part));
        all
    };
    pieces.chunks(n_chunks).map(of_query).collect()
}

/// Adds the images of `range` to `sums`, tile by tile.
pub fn add_images<T: Lane>(images: &ImagePixels, range: Range<usize>, sums: &mut impl TileSums<T>) {
    let mut tile = Tile::new(images.shape());
    for first in range.clone().step_by(n_lanes::<T>()) {
        images.fill_tile(first..range.end, &mut tile);
        add_tile(sums, &tile);
    }
}
