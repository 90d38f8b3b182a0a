//! The functions of [`crate::theory::cpu_posteriors`] for patches, over the distinct patches of one image after the other.

use std::ops::Range;

use rayon::prelude::*;

use super::image_sums::GroupSums;
use super::image_table::ImageTables;
use crate::simd::Lane;
use crate::theory::cpu_kernels::PatchQuery;
use crate::theory::image_evidence::Evidence;
use crate::theory::parallel_passes_over_dictionary::merged;
use crate::theory::posterior_weights::Accumulator;
use crate::theory::training_pixels::ImagePixels;

/// As [`crate::theory::cpu_posteriors::patch_posteriors`].
pub fn patch_posteriors<T: Lane>(
    tables: &ImageTables,
    images: &ImagePixels,
    queries: &[PatchQuery<'_, T>],
) -> Vec<Accumulator> {
    merged(Accumulator::merge, images.len(), queries, |query, range| {
        let (n_channels, n_pixels) = (query.shape.channels, query.shape.n_pixels());
        let mut groups = group_sums(tables, query, images.len());
        for n in range {
            let values = images.values(n..n + 1);
            for (group, table) in groups.iter_mut().zip(&tables.images[n]) {
                group.add(table, &values, n);
            }
        }
        let mut all = Accumulator::new(n_channels, n_pixels);
        for (p, found) in groups.iter().flat_map(GroupSums::posteriors) {
            all.max[p] = found.reference;
            all.total[p] = found.total();
            all.spread[p] = found.spread();
            for c in 0..n_channels {
                all.sums[c * n_pixels + p] = found.value(c);
            }
            all.raise(p, found.nearest);
            all.best[p] = found.best;
        }
        all
    })
}

/// As [`crate::theory::cpu_posteriors::evidence`].
pub fn evidence<T: Lane>(
    tables: &ImageTables,
    images: &ImagePixels,
    range: Range<usize>,
    query: PatchQuery<'_, T>,
    log_pool: &[f64],
) -> Evidence {
    let (n_channels, n_pixels) = (query.shape.channels, query.shape.n_pixels());
    let mut all = Evidence::zeros(range.clone(), n_channels, n_pixels);
    let log_evidence = all.log_evidence.par_chunks_mut(n_pixels);
    let estimates = all.estimates.par_chunks_mut(n_pixels * n_channels);
    let inner_entropy = all.inner_entropy.par_chunks_mut(n_pixels);
    let inner_best = all.inner_best.par_chunks_mut(n_pixels);
    let chunks = log_evidence.zip(estimates).zip(inner_entropy.zip(inner_best)).zip(range);
    chunks.for_each_init(
        || group_sums(tables, &query, 1),
        |groups, (((log_evidence, estimates), (inner_entropy, inner_best)), n)| {
            let values = images.values(n..n + 1);
            for (group, table) in groups.iter_mut().zip(&tables.images[n]) {
                group.forget();
                group.add(table, &values, n);
                for (p, found) in group.posteriors() {
                    let (total, log_total) = (found.total(), found.total().ln());
                    for c in 0..n_channels {
                        estimates[c * n_pixels + p] = found.value(c) / total;
                    }
                    let log_sum = found.reference + log_total;
                    log_evidence[p] = log_sum - log_pool[p];
                    inner_entropy[p] = (log_total - found.spread() / total).max(0.0);
                    inner_best[p] = (found.best, found.nearest - log_sum);
                }
            }
        },
    );
    all
}

fn group_sums<'a, T: Lane>(
    tables: &'a ImageTables,
    query: &PatchQuery<'_, T>,
    n_images: usize,
) -> Vec<GroupSums<'a, T>> {
    tables.groups.iter().map(|group| GroupSums::new(group, query, n_images)).collect()
}
