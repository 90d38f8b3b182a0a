//! Predicted time of sums over distinct patches and over all of them, in operations on vectors, per query.
//!
//! Fitted to `mosaic bench theory` on one core with AVX-512; only the ratio matters.

use crate::image::ImageShape;
use crate::simd::lane::n_lanes;
use crate::theory::patch_pools_ls_els_bbels::Pool;

/// What the time to sum over a table depends on: of all images, or of one.
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
const PATCHES_MAX: usize = 32_768;
/// Bytes of the distances of all strips of a table, at most. Patches read them at random: with 64 MNIST digits, 24 MB for
/// patches of side 3 and 37 MB for side 5, sums over the distinct patches took 1.2 and 4 times as long as window sums.
const STRIP_BYTES_MAX: usize = 4 << 20;
/// Entries of a table, at most: 12 bytes each.
const ENTRIES_MAX: usize = 16 << 20;
/// Operations per distinct patch and vector of query pixels, besides one for each row of the patch.
const PER_PATCH: f64 = 8.0;
/// Operations per pair of patches, besides three per channel ([`crate::theory::cpu_kernels::box_sums`]).
const PER_PAIR: f64 = 6.0;

/// The time of sums over the distinct patches of one table; infinite if there are too many.
pub fn of_distinct(shape: ImageShape, sizes: &TableSizes) -> f64 {
    let n_places = (sizes.n_rows + sizes.height - 1) * sizes.n_columns;
    if sizes.n_patches > PATCHES_MAX
        || sizes.n_entries > ENTRIES_MAX
        || sizes.n_strips * n_places * size_of::<f32>() > STRIP_BYTES_MAX
    {
        return f64::INFINITY;
    }
    let vectors = |n: usize| n.div_ceil(n_lanes::<f32>()) as f64;
    let strips = sizes.n_strips as f64 * (sizes.width * shape.channels) as f64 * vectors(n_places);
    let patches = sizes.n_patches as f64
        * (sizes.height as f64 + PER_PATCH)
        * vectors(sizes.n_rows * sizes.n_columns);
    strips + patches
}

/// Operations per distinct strip or patch of an image, and vector of places or queries: reading it, comparing it with the
/// cutoffs, adding it.
const PER_ITEM: f64 = 5.0;
/// Operations per value of such a strip or row of such a patch, and vector.
const PER_PART: f64 = 0.4;
/// Operations per group of an image.
const PER_GROUP: f64 = 500.0;

/// The time of sums over the distinct patches of one image and group of query pixels.
pub fn of_image(shape: ImageShape, sizes: &TableSizes) -> f64 {
    let vectors = |n: usize| n.div_ceil(n_lanes::<f32>()) as f64;
    let strips = sizes.n_strips as f64
        * (PER_ITEM + PER_PART * (sizes.width * shape.channels) as f64)
        * vectors((sizes.n_rows + sizes.height - 1) * sizes.n_columns);
    let patches = sizes.n_patches as f64
        * (PER_ITEM + PER_PART * sizes.height as f64)
        * vectors(sizes.n_rows * sizes.n_columns);
    PER_GROUP + strips + patches
}

/// The time of sums over all patches of `n_images`, by window sums.
pub fn of_boxes(shape: ImageShape, n_images: usize, pool: Pool, k: usize) -> f64 {
    let pairs = |len| -> usize { pool.stretches(k, len).iter().map(|stretch| stretch.len).sum() };
    let n_pairs = (pairs(shape.height) * pairs(shape.width) * n_images) as f64;
    n_pairs * (3.0 * shape.channels as f64 + PER_PAIR) / n_lanes::<f32>() as f64
}
