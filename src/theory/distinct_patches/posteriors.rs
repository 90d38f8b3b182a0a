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
                group.weigh(distances, &table.all, n_compared)
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
        let weigh = |at: usize| -> Vec<LaneSums> {
            let distances = group.distances(at);
            let sums = |n| group.weigh(&distances, table.image(n).0, n_compared);
            range.clone().map(sums).collect()
        };
        for first in (0..group.n_vectors()).step_by(VECTORS_AT_ONCE) {
            let vectors = first..(first + VECTORS_AT_ONCE).min(group.n_vectors());
            let found: Vec<Vec<LaneSums>> = vectors.into_par_iter().map(weigh).collect();
            for (at, images) in (first..).zip(&found) {
                add_vector(table, &query, (at, images), log_pool, &mut all);
            }
        }
    }
    all
}

/// Writes the sums of every image for vector `at` of query pixels of `table`.
fn add_vector<T: Lane>(
    table: &GroupTable,
    query: &PatchQuery<'_, T>,
    (at, images): (usize, &[LaneSums]),
    log_pool: &[f64],
    all: &mut Evidence,
) {
    let (n_channels, n_pixels) = (query.shape.channels, query.shape.n_pixels());
    for (lane, p) in table.query_pixels(at, n_lanes::<T>(), query.shape.width) {
        for (n, sums) in images.iter().enumerate() {
            let image = all.first + n;
            let (at, total) = (n * n_pixels + p, sums.total(lane));
            for c in 0..n_channels {
                all.estimates[(n * n_channels + c) * n_pixels + p] = sums.sum(lane, c) / total;
            }
            let log_total = total.ln();
            all.log_evidence[at] =
                -query.logit_scale * sums.nearest[lane] + log_total - log_pool[p];
            all.inner_entropy[at] = (log_total - sums.spread(lane) / total).max(0.0);
            let (row, column) = table.image(image).1[sums.best[lane]];
            all.inner_best[at] = (Provenance { image: image as u32, row, column }, -log_total);
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
