//! Predicted time of sums over distinct patches and over all of them, in operations on vectors, per query.
//!
//! Fitted to `mosaic bench theory` on one core with AVX-512; only the ratio matters.

use crate::image::ImageShape;
use crate::simd::lane::n_lanes;
use crate::theory::patch_pools_ls_els_bbels::Pool;

/// What the time to sum over a table depends on.
#[derive(Clone, Copy, Debug)]
pub struct TableSizes {
    pub n_strips: usize,
    pub n_patches: usize,
    /// Patches of each image, summed over images.
    pub n_entries: usize,
    /// Sides of a patch.
    pub height: usize,
    pub width: usize,
    /// Sides of the rectangle of query pixels.
    pub n_rows: usize,
    pub n_columns: usize,
}

/// Distinct patches of a table, at most: the distances of one vector of queries, 64 bytes a patch, stay in the cache.
/// (With 500,000 patches of MNIST, sums over distinct patches took twice the time of window sums.)
const PATCHES_MAX: usize = 32_768;
/// Entries of a table, at most: 12 bytes each.
const ENTRIES_MAX: usize = 16 << 20;
/// Operations per distinct patch and vector of query pixels, besides one for each row of the patch.
const PER_PATCH: f64 = 8.0;
/// Operations per pair of patches, besides three per channel ([`crate::theory::kernels::box_sums`]).
const PER_PAIR: f64 = 6.0;

/// The time of sums over the distinct patches of one table; infinite if there are too many.
pub fn of_distinct(shape: ImageShape, sizes: &TableSizes) -> f64 {
    if sizes.n_patches > PATCHES_MAX || sizes.n_entries > ENTRIES_MAX {
        return f64::INFINITY;
    }
    let vectors = |n: usize| n.div_ceil(n_lanes::<f32>()) as f64;
    let strips = sizes.n_strips as f64
        * (sizes.width * shape.channels) as f64
        * vectors((sizes.n_rows + sizes.height - 1) * sizes.n_columns);
    let patches = sizes.n_patches as f64
        * (sizes.height as f64 + PER_PATCH)
        * vectors(sizes.n_rows * sizes.n_columns);
    strips + patches
}

/// The time of sums over all patches of `n_images`, by window sums.
pub fn of_boxes(shape: ImageShape, n_images: usize, pool: Pool, k: usize) -> f64 {
    let pairs = |len| -> usize { pool.stretches(k, len).iter().map(|stretch| stretch.len).sum() };
    let n_pairs = (pairs(shape.height) * pairs(shape.width) * n_images) as f64;
    n_pairs * (3.0 * shape.channels as f64 + PER_PAIR) / n_lanes::<f32>() as f64
}
