//! The specification of the patch machines: direct loops over the definition (docs/theory.md section 2).
//!
//! For each query pixel p, each image n and each accepted place q,
//!
//! ```text
//! L[n,q,p] = -abar / (2 sigma^2) sum_{c,o} w(o) (x[c, p+o] / sqrt(abar) - phi_n[c, q+o])^2
//! ```
//!
//! with the weights w of the query's window ([`crate::theory::patch_window`]), summed in `f64` as squares of differences (expanding into norms would cancel digits). No blocking, pruning or reuse:
//! every faster path must agree with this one. Costs `N P^2 k^2 C` operations.

use super::PatchQuery;
use crate::diffusion::Provenance;
use crate::simd::Real;
use crate::theory::patch_pools_ls_els_bbels::{Border, Window};
use crate::theory::posterior_weights::Accumulator;

/// Adds images `first..first + n` (`images` holds just those, `[n, C, H, W]`) to `all`.
pub fn accumulate<T: Real>(
    query: &PatchQuery<'_, T>,
    images: &[T],
    first: usize,
    all: &mut Accumulator,
) {
    let (height, width) = (query.shape.height, query.shape.width);
    let n_pixels = query.shape.n_pixels();
    for (n, image) in images.chunks_exact(query.shape.n_values()).enumerate() {
        for (pr, pc, qr, qc) in places(height, width) {
            let s = ((qr + height - pr) % height, (qc + width - pc) % width);
            let rows = query.pool.accepts(query.k, height, pr, s.0);
            if !rows || !query.pool.accepts(query.k, width, pc, s.1) {
                continue;
            }
            let logit = -query.logit_scale * squared_distance(query, image, (pr, pc), (qr, qc));
            let place = Provenance { image: (first + n) as u32, row: qr as u16, column: qc as u16 };
            let value = |c: usize| image[c * n_pixels + qr * width + qc].to_f64();
            all.add(pr * width + pc, logit, place, value);
        }
    }
}

/// Every pair of a query pixel and a training place.
fn places(height: usize, width: usize) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    let pixels = move || (0..height).flat_map(move |row| (0..width).map(move |col| (row, col)));
    pixels().flat_map(move |p| pixels().map(move |q| (p.0, p.1, q.0, q.1)))
}

/// Squared distance, pixels weighted by the window, between the patch of the query at `p` and that of `image`, `[C, H, W]`, at `q`; places are row and
/// column.
pub fn squared_distance<T: Real>(
    query: &PatchQuery<'_, T>,
    image: &[T],
    p: (usize, usize),
    q: (usize, usize),
) -> f64 {
    let (height, width) = (query.shape.height, query.shape.width);
    let border = query.pool.border();
    let along = |len, p, q| {
        let window = query.pool.window(query.k, len);
        offsets(window, query.window.weights(query.k, window), border, len, p, q)
    };
    let (rows, columns) = (along(height, p.0, q.0), along(width, p.1, q.1));
    let mut sum = 0.0;
    for c in 0..query.shape.channels {
        for &(xr, yr, row_weight) in &rows {
            for &(xc, yc, column_weight) in &columns {
                let x = query.x[(c * height + xr) * width + xc].to_f64();
                let y = image[(c * height + yr) * width + yc].to_f64();
                sum += row_weight * column_weight * (x - y) * (x - y);
            }
        }
    }
    sum
}

/// The pairs of places along an axis that are compared for patches at `p` and `q`, with their weights.
fn offsets(
    window: Window,
    weights: Option<Vec<f64>>,
    border: Border,
    len: usize,
    p: usize,
    q: usize,
) -> Vec<(usize, usize, f64)> {
    // Indices are shifted by `before` so that they stay unsigned.
    (0..window.n_offsets())
        .filter(|o| match border {
            Border::Wrap => true,
            // `accepts` grants that q overlaps the border as p does.
            Border::Cut => (window.before..window.before + len).contains(&(p + o)),
        })
        .map(|o| {
            let wrap = |place: usize| (place + o + len - window.before) % len;
            (wrap(p), wrap(q), weights.as_ref().map_or(1.0, |weights| weights[o]))
        })
        .collect()
}
