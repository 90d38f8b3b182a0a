//! The functions of [`crate::theory::cpu_posteriors`] for patches, over distinct patches.

use std::ops::Range;

use rayon::prelude::*;

use super::patch_table::{DistinctPatches, GroupTable};
use super::patch_weights::{GroupQuery, LaneSums};
use crate::diffusion::Provenance;
use crate::simd::{Lane, lane::n_lanes};
use crate::theory::cpu_kernels::PatchQuery;
use crate::theory::image_evidence::Evidence;
use crate::theory::posterior_weights::Accumulator;

/// Vectors of query pixels whose sums for every image are held before they are written. A result is as large as the sums
/// of all vectors, so holding those would double the memory of a portion.
const VECTORS_AT_ONCE: usize = 64;

/// As [`crate::theory::cpu_posteriors::patch_posteriors`].
pub fn patch_posteriors<T: Lane>(
    patches: &DistinctPatches,
    queries: &[PatchQuery<'_, T>],
) -> Vec<Accumulator> {
    let n_lanes = n_lanes::<T>();
    let posterior = |query: &PatchQuery<'_, T>| {
        let mut all = Accumulator::new(query.shape.channels, query.shape.n_pixels());
        for table in &patches.groups {
            let n_compared = table.n_compared(patches.n_images);
            let found = each_vector(table, query, |group, distances| {
                let mut sums = group.no_sums();
                group.weigh(distances, &table.all, n_compared, &mut sums);
                sums
            });
            for (at, sums) in found.iter().enumerate() {
                for (lane, p) in table.query_pixels(at, n_lanes, query.shape.width) {
                    all.max[p] = -query.logit_scale * sums.nearest[lane];
                    all.total[p] = sums.total(lane);
                    all.spread[p] = sums.spread(lane);
                    for c in 0..query.shape.channels {
                        all.sums[c * query.shape.n_pixels() + p] = sums.sum(lane, c);
                    }
                    all.best[p] = table.first_places[sums.best[lane]];
                }
            }
        }
        all
    };
    queries.par_iter().map(posterior).collect()
}

/// As [`crate::theory::cpu_posteriors::evidence`].
pub fn evidence<T: Lane>(
    patches: &DistinctPatches,
    range: Range<usize>,
    query: PatchQuery<'_, T>,
    log_pool: &[f64],
) -> Evidence {
    let (n_channels, n_pixels) = (query.shape.channels, query.shape.n_pixels());
    let mut all = Evidence::zeros(range.clone(), n_channels, n_pixels);
    for table in &patches.groups {
        let n_compared = table.n_compared(1);
        let group = GroupQuery::new(table, &query);
        let weigh = |at: usize| {
            let distances = group.distances(at);
            let mut found = VectorEvidence::new(n_lanes::<T>(), range.len(), n_channels);
            let mut sums = group.no_sums();
            for n in range.clone() {
                let (entries, places) = table.image(n);
                group.weigh(&distances, entries, n_compared, &mut sums);
                found.push(n, &sums, places, query.logit_scale);
            }
            found
        };
        for first in (0..group.n_vectors()).step_by(VECTORS_AT_ONCE) {
            let vectors = first..(first + VECTORS_AT_ONCE).min(group.n_vectors());
            let found: Vec<VectorEvidence> = vectors.into_par_iter().map(weigh).collect();
            for (at, found) in (first..).zip(&found) {
                found.write(table.query_pixels(at, n_lanes::<T>(), query.shape.width), &mut all);
            }
        }
    }
    let rows = all.log_evidence.chunks_exact_mut(n_pixels);
    rows.for_each(|row| row.iter_mut().zip(log_pool).for_each(|(e, log_pool)| *e -= log_pool));
    all
}

/// The evidence of every image at the query pixels of one vector.
struct VectorEvidence {
    n_lanes: usize,
    n_channels: usize,
    /// `[N, lanes]`, without the size of the pool.
    log_evidence: Vec<f64>,
    /// `[N, C, lanes]`.
    estimates: Vec<f64>,
    /// `[N, lanes]`.
    inner_entropy: Vec<f64>,
    inner_best: Vec<(Provenance, f64)>,
}

impl VectorEvidence {
    /// No evidence; there will be that of `n_images`.
    fn new(n_lanes: usize, n_images: usize, n_channels: usize) -> Self {
        let n = n_images * n_lanes;
        Self {
            n_lanes,
            n_channels,
            log_evidence: Vec::with_capacity(n),
            estimates: Vec::with_capacity(n * n_channels),
            inner_entropy: Vec::with_capacity(n),
            inner_best: Vec::with_capacity(n),
        }
    }

    /// Adds image `image` with these sums, whose patches are at `places`.
    fn push(&mut self, image: usize, sums: &LaneSums, places: &[(u16, u16)], logit_scale: f64) {
        for lane in 0..self.n_lanes {
            let total = sums.total(lane);
            let log_total = total.ln();
            self.log_evidence.push(-logit_scale * sums.nearest[lane] + log_total);
            self.inner_entropy.push((log_total - sums.spread(lane) / total).max(0.0));
            let (row, column) = places[sums.best[lane]];
            self.inner_best.push((Provenance { image: image as u32, row, column }, -log_total));
        }
        for c in 0..self.n_channels {
            self.estimates.extend((0..self.n_lanes).map(|l| sums.sum(l, c) / sums.total(l)));
        }
    }

    /// Writes the lanes of these query pixels, `(lane, pixel)`.
    fn write(&self, pixels: impl Iterator<Item = (usize, usize)>, all: &mut Evidence) {
        let (n_lanes, n_pixels) = (self.n_lanes, all.n_pixels);
        let pixels: Vec<(usize, usize)> = pixels.collect();
        let put = |from: &[f64], to: &mut [f64]| {
            for (from, to) in from.chunks_exact(n_lanes).zip(to.chunks_exact_mut(n_pixels)) {
                pixels.iter().for_each(|&(lane, p)| to[p] = from[lane]);
            }
        };
        put(&self.log_evidence, &mut all.log_evidence);
        put(&self.estimates, &mut all.estimates);
        put(&self.inner_entropy, &mut all.inner_entropy);
        let rows = all.inner_best.chunks_exact_mut(n_pixels);
        for (from, to) in self.inner_best.chunks_exact(n_lanes).zip(rows) {
            pixels.iter().for_each(|&(lane, p)| to[p] = from[lane]);
        }
    }
}

/// The result of `weigh` for every vector of query pixels of `table`, given the distances of all patches from them.
fn each_vector<T: Lane, R: Send>(
    table: &GroupTable,
    query: &PatchQuery<'_, T>,
    weigh: impl Fn(&GroupQuery<'_, T>, &[T]) -> R + Sync,
) -> Vec<R> {
    let group = GroupQuery::new(table, query);
    (0..group.n_vectors()).into_par_iter().map(|at| weigh(&group, &group.distances(at))).collect()
}
