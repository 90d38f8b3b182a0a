//! The patch machines, displacement by displacement: window sums instead of patch distances.
//!
//! At one displacement `s = q - p` the k x k distances of *all* pairs (p, p + s) are window sums over one image of
//! squared differences, so a pair costs about `3 C + 6` operations and one exponential for any k:
//!
//! ```text
//! squares[q] = sum_c (x[c, q - s] / sqrt(abar) - phi_n[c, q])^2
//! L[n,q,p]   = -abar / (2 sigma^2) sum_{o in window} squares[q + o]         along lines, then down rows
//! ```
//!
//! With a Gaussian window ([`crate::theory::patch_window`]) both sums are weighted, at a cost that grows with the side.
//!
//! A tile of images is compared at a time, one per vector lane. Rows of squares are summed as they are computed, so that
//! everything but the running posteriors stays in the first-level cache. Only pairs that the pool accepts are visited.
//! [`super::reference`] is the specification.

use std::ops::Range;

use pulp::Simd;

use super::PatchQuery;
use super::posterior::{Grouping, Posterior, Row};
use super::posterior_per_image::{PerImage, PixelEvidence};
use super::tile::{Tile, TileSums, add_tile};
use super::windows::{LineSums, RowSums};
use crate::diffusion::Provenance;
use crate::image::ImageShape;
use crate::simd::{Buffer, Lane, lane::n_lanes};
use crate::theory::patch_pools_ls_els_bbels::{Border, Stretch, Window};

/// One query and its running posteriors.
pub struct BoxSums<'a, T, G> {
    query: PatchQuery<'a, T>,
    /// The rows of the query twice over, `[H, 2 W, C]`, so that any W circular neighbours are one slice.
    x: Vec<T>,
    rows: Vec<Stretch>,
    columns: Vec<Stretch>,
    row_window: Window,
    column_window: Window,
    pub posterior: Posterior<T, G>,
    scratch: Scratch<T>,
}

/// Buffers of one displacement.
struct Scratch<T> {
    /// Squares of a row, extended by what the windows cover beyond its ends.
    line: Buffer<T>,
    line_sums: LineSums<T>,
    row_sums: RowSums<T>,
    /// Sums of the first rows, needed again where windows wrap round.
    again: Buffer<T>,
    /// Patch distances of one row of pairs.
    distances: Buffer<T>,
    parts: Vec<Part>,
}

/// A part of a row of pairs in which no column wraps round.
#[derive(Clone, Copy, Debug)]
struct Part {
    /// The first pair of the row.
    first: usize,
    /// Its training column and its query column.
    q: usize,
    p: usize,
    len: usize,
}

/// The parts of a stretch along an axis of length `width`.
fn parts(stretch: Stretch, width: usize) -> impl Iterator<Item = Part> {
    let Stretch { shift, start, len } = stretch;
    let mut first = 0;
    std::iter::from_fn(move || {
        let q = (start + first) % width;
        let p = (q + width - shift) % width;
        let part = Part { first, q, p, len: (len - first).min(width - q).min(width - p) };
        first += part.len;
        (part.len > 0).then_some(part)
    })
}

impl<'a, T: Lane, G: Grouping<T>> BoxSums<'a, T, G> {
    /// Posteriors without entries yet. `n_entries` is the most that one will have; entropy and provenance are kept if
    /// `diagnostics`.
    pub fn new(query: PatchQuery<'a, T>, n_entries: usize, diagnostics: bool) -> Self {
        let (shape, n_lanes) = (query.shape, n_lanes::<T>());
        let row_window = query.pool.window(query.k, shape.height);
        let column_window = query.pool.window(query.k, shape.width);
        let (n_down, n_along) = (row_window.n_offsets(), column_window.n_offsets());
        let vectors = |n: usize| Buffer::zeros(n * n_lanes);
        let weights = |window| query.window.weights(query.k, window);
        Self {
            x: twice_over(query.x, shape),
            rows: query.pool.stretches(query.k, shape.height),
            columns: query.pool.stretches(query.k, shape.width),
            row_window,
            column_window,
            posterior: Posterior::new(shape, query.logit_scale, n_entries, diagnostics),
            scratch: Scratch {
                line: vectors(shape.width + n_along),
                line_sums: LineSums::new(n_along, weights(column_window), n_lanes),
                row_sums: RowSums::new(n_down, weights(row_window), shape.width, n_lanes),
                again: vectors(n_down * shape.width),
                distances: vectors(shape.width),
                parts: Vec::with_capacity(3),
            },
            query,
        }
    }

    #[inline(always)]
    fn scan_channels<S: Simd, const C: usize>(&mut self, simd: S, tile: &Tile<T>) {
        let width = self.query.shape.width;
        for column in 0..self.columns.len() {
            self.scratch.parts.clear();
            self.scratch.parts.extend(parts(self.columns[column], width));
            for row in 0..self.rows.len() {
                self.displacement::<S, C>(simd, tile, row, column);
            }
            self.posterior.added(self.rows.len());
        }
    }

    /// The training columns that the windows of a stretch cover (all of them where windows wrap round), and how many
    /// values of a line come before them.
    #[inline(always)]
    fn columns_seen(&self, along: Stretch) -> (Range<usize>, usize) {
        let window = self.column_window;
        let first = along.start.saturating_sub(window.before);
        let last = (along.start + along.len + window.after).min(self.query.shape.width);
        (first..last, window.before + first - along.start)
    }

    /// Adds all pairs at one displacement.
    #[inline(always)]
    fn displacement<S: Simd, const C: usize>(
        &mut self,
        simd: S,
        tile: &Tile<T>,
        row: usize,
        column: usize,
    ) {
        let ImageShape { channels, height, width } = self.query.shape;
        let (down, along) = (self.rows[row], self.columns[column]);
        let wraps = self.query.pool.border() == Border::Wrap;
        let (n_down, n_along) = (self.row_window.n_offsets(), self.column_window.n_offsets());
        let (training, front) = self.columns_seen(along);
        let (first, last) = (training.start, training.end);
        let seen = front..front + training.len();
        let x_first = (first + width - along.shift) % width;

        let displacement = row * self.columns.len() + column;
        let posterior = &mut self.posterior;
        let Scratch { line, line_sums, row_sums, again, distances, parts } = &mut self.scratch;
        let line = &mut T::vectors_mut::<S>(line)[..along.len + n_along - 1];
        let again = T::vectors_mut::<S>(again);
        let zero = T::splat(simd, T::ZERO);
        line[..front].fill(zero);
        line[seen.end..].fill(zero);
        row_sums.start(along.len);
        for e in 0..down.len + n_down - 1 {
            // Rows are numbered from the first window's first row.
            let q_row = (down.start + e).checked_sub(self.row_window.before);
            match q_row {
                Some(q_row) if q_row < height => {
                    let p_row = (q_row + height - down.shift) % height;
                    let x = &self.x[(p_row * 2 * width + x_first) * channels..];
                    let pixels = q_row * width + first..q_row * width + last;
                    let phi = T::vectors::<S>(tile.pixels(pixels, channels));
                    squares::<S, T, C>(simd, x, phi, channels, &mut line[seen.clone()]);
                    if wraps {
                        let n = line.len() - seen.end;
                        line.copy_within(..n, seen.end);
                    }
                    let out = row_sums.next_row::<S>();
                    line_sums.sum(simd, line, out);
                    if wraps && e + 1 < n_down {
                        again[e * along.len..(e + 1) * along.len].copy_from_slice(out);
                    }
                }
                Some(q_row) if wraps => {
                    let e = q_row - height;
                    let sums = &again[e * along.len..(e + 1) * along.len];
                    row_sums.next_row::<S>().copy_from_slice(sums);
                }
                _ => row_sums.next_row::<S>().fill(zero),
            }
            let distances = &mut T::vectors_mut::<S>(distances)[..along.len];
            if !row_sums.push(simd, distances) {
                continue;
            }
            let q_row = (down.start + e + 1 - n_down) % height;
            let p_row = (q_row + height - down.shift) % height;
            for part in &parts[..] {
                let training_pixel = q_row * width + part.q;
                let pairs = Row {
                    query_pixel: p_row * width + part.p,
                    training_row: q_row,
                    training_column: part.q,
                    displacement,
                    ..Row::of_tile(tile)
                };
                let values = tile.pixels(training_pixel..training_pixel + part.len, channels);
                let distances = &distances[part.first..part.first + part.len];
                posterior.add_row::<S, C>(simd, pairs, distances, T::vectors::<S>(values));
            }
        }
    }
}

impl<T: Lane, G: Grouping<T>> TileSums<T> for BoxSums<'_, T, G> {
    #[inline(always)]
    fn add<S: Simd>(&mut self, simd: S, tile: &Tile<T>) {
        match self.query.shape.channels {
            1 => self.scan_channels::<S, 1>(simd, tile),
            3 => self.scan_channels::<S, 3>(simd, tile),
            _ => self.scan_channels::<S, 0>(simd, tile),
        }
    }
}

impl<'a, T: Lane> BoxSums<'a, T, PerImage<T>> {
    /// One posterior per image of a tile and pixel.
    pub fn per_image(query: PatchQuery<'a, T>) -> Self {
        Self::new(query, query.shape.n_pixels(), true)
    }

    /// Computes the posteriors of the tile's images; see [`BoxSums::evidence`].
    pub fn weigh_tile(&mut self, tile: &Tile<T>) {
        self.posterior.forget();
        add_tile(self, tile);
    }

    /// The evidence of image `lane` of the last tile at `pixel`, and the place of its nearest patch; the estimate within
    /// the image goes to `mean`, channel by channel.
    pub fn evidence(
        &self,
        tile: &Tile<T>,
        lane: usize,
        pixel: usize,
        mean: impl FnMut(f64),
    ) -> (PixelEvidence, Provenance) {
        let ImageShape { height, width, .. } = self.query.shape;
        let evidence = self.posterior.image(lane, pixel, mean);
        let row = self.rows[evidence.displacement / self.columns.len()].shift;
        let column = self.columns[evidence.displacement % self.columns.len()].shift;
        let place = Provenance {
            image: (tile.first + lane) as u32,
            row: ((pixel / width + row) % height) as u16,
            column: ((pixel % width + column) % width) as u16,
        };
        (evidence, place)
    }
}

/// `out[q] = sum_c (x[q, c] - phi[q, c])^2`; `C` is the number of channels, or 0 for `n_channels`.
#[inline(always)]
pub fn squares<S: Simd, T: Lane, const C: usize>(
    simd: S,
    x: &[T],
    phi: &[T::Vector<S>],
    n_channels: usize,
    out: &mut [T::Vector<S>],
) {
    let n_channels = if C == 0 { n_channels } else { C };
    let pixels = x.chunks_exact(n_channels).zip(phi.chunks_exact(n_channels));
    for (out, (x, phi)) in out.iter_mut().zip(pixels) {
        let mut sum = T::splat(simd, T::ZERO);
        for c in 0..n_channels {
            let difference = T::minus(simd, T::splat(simd, x[c]), phi[c]);
            sum = if c == 0 {
                T::times(simd, difference, difference)
            } else {
                T::mul_add(simd, difference, difference, sum)
            };
        }
        *out = sum;
    }
}

/// Reorders `[C, H, W]` to `[H, 2 W, C]`, each row twice over.
pub fn twice_over<T: Copy>(x: &[T], shape: ImageShape) -> Vec<T> {
    let ImageShape { channels, height, width } = shape;
    let mut out = Vec::with_capacity(2 * x.len());
    for row in 0..height {
        for column in 0..2 * width {
            let at = row * width + column % width;
            out.extend((0..channels).map(|c| x[c * height * width + at]));
        }
    }
    out
}

#[cfg(test)]
#[path = "box_sums_tests.rs"]
mod tests;
