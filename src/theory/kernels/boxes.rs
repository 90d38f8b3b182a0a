//! The patch machines by displacement: box sums instead of patch distances.
//!
//! For one image and one displacement `s = q - p` the k x k distances of *all* pixels p are a box
//! filter of one difference image, so a pair (p, q) costs about `3 C + 2 log2 k` operations and one
//! exponential, whatever k:
//!
//! ```text
//! squares[p]  = sum_c (x[c, p] / sqrt(abar) - phi_n[c, p + s])^2
//! L[n,p+s,p]  = -abar / (2 sigma^2) sum_{o in window} squares[p + o]       rows, then columns
//! ```
//!
//! Window sums are added up directly (small k) or by doubling (1, 2, 4, ... terms), never by
//! subtracting what leaves the window: all terms are positive, so no digit cancels. All H displacements of one column shift form
//! a block: their logits first, then the block's maxima, then weights against the higher of the
//! block's and the running maximum, then one flush to the `f64` sums. An entry more than
//! `pruned_nats` below its pixel's maximum may be skipped (whole runs of 32 pixels at a time); see
//! [`pruned_nats`] for the bound.
//!
//! Plain safe loops that the compiler vectorises. [`super::reference`] is the specification.

use pulp::{Arch, Simd, WithSimd};

use super::{PatchQuery, Real};
use crate::diffusion::Provenance;
use crate::theory::patches::{Border, Window};
use crate::theory::weights::Accumulator;

/// Pixels that are weighed, or skipped, together.
const RUN: usize = 32;

/// How far below the maximum an entry may be skipped, in nats, so that all `n_entries` of a pixel
/// together lose less than `exp(-T::PRUNED_NATS)` of its weight: 1.5e-8 in `f32`, 1.6e-18 in `f64`.
pub fn pruned_nats<T: Real>(n_entries: usize) -> f64 {
    T::PRUNED_NATS + (n_entries.max(1) as f64).ln()
}

/// The widest window that is summed term by term; doubling needs more passes below it.
const DIRECT_MAX: usize = 9;

/// One query, ready to be compared with image after image.
pub struct BoxSums<'a, T> {
    query: PatchQuery<'a, T>,
    pruned_nats: f64,
    /// Whether entropy and provenance are wanted.
    posterior: bool,
    rows: Vec<(usize, Vec<T>)>,
    columns: Vec<(usize, Vec<T>)>,
    row_window: Window,
    column_window: Window,
    /// The image rolled left by the column shift, rows twice over: `[C, 2 H, W]`.
    rolled: Vec<T>,
    /// Per accepted row shift: `[P]`.
    logits: Vec<T>,
    max: Vec<T>,
    floor: Vec<T>,
    total: Vec<T>,
    spread: Vec<T>,
    /// `[C, P]`.
    sums: Vec<T>,
    scratch: Scratch<T>,
}

/// Buffers of the two window sums.
struct Scratch<T> {
    /// Squares with the border above and below: `[H + window - 1, W]`.
    tall: Vec<T>,
    /// Column sums with the border left and right: `[H, W + window - 1]`.
    wide: Vec<T>,
    summed: Vec<T>,
    ping: Vec<T>,
    pong: Vec<T>,
}

impl<'a, T: Real> BoxSums<'a, T> {
    pub fn new(query: PatchQuery<'a, T>, pruned_nats: f64, posterior: bool) -> Self {
        let (height, width) = (query.shape.height, query.shape.width);
        let n_pixels = query.shape.n_pixels();
        let row_window = query.pool.window(query.k, height);
        let column_window = query.pool.window(query.k, width);
        let rows = query.pool.displacements(query.k, height);
        let tall = (height + row_window.n_offsets() - 1) * width;
        let wide = height * (width + column_window.n_offsets() - 1);
        let zeros = |n| vec![T::ZERO; n];
        Self {
            pruned_nats,
            posterior,
            logits: zeros(rows.len() * n_pixels),
            rows,
            columns: query.pool.displacements(query.k, width),
            row_window,
            column_window,
            rolled: zeros(2 * query.shape.n_values()),
            max: zeros(n_pixels),
            floor: zeros(n_pixels),
            total: zeros(n_pixels),
            spread: zeros(n_pixels),
            sums: zeros(query.shape.n_values()),
            scratch: Scratch {
                tall: zeros(tall),
                wide: zeros(wide),
                summed: zeros(tall.max(wide)),
                ping: zeros(tall.max(wide)),
                pong: zeros(tall.max(wide)),
            },
            query,
        }
    }

    /// Adds every accepted patch of `image` (`[C, H, W]`, number `index`) to `all`.
    pub fn add_image(&mut self, image: &[T], index: usize, all: &mut Accumulator) {
        Arch::new().dispatch(AddImage { sums: self, image, index, all });
    }

    #[inline(always)]
    fn add_image_here(&mut self, image: &[T], index: usize, all: &mut Accumulator) {
        for column in 0..self.columns.len() {
            self.roll(image, self.columns[column].0);
            for row in 0..self.rows.len() {
                self.fill_logits(row, column);
            }
            self.find_maxima();
            if self.posterior {
                self.find_best(index, column, all);
            }
            self.raise(all);
            self.weigh();
            self.flush(all);
        }
    }

    #[inline(always)]
    fn roll(&mut self, image: &[T], shift: usize) {
        let (height, width) = (self.query.shape.height, self.query.shape.width);
        let area = height * width;
        for (plane, rolled) in image.chunks_exact(area).zip(self.rolled.chunks_exact_mut(2 * area))
        {
            for (row, out) in plane.chunks_exact(width).zip(rolled.chunks_exact_mut(width)) {
                out[..width - shift].copy_from_slice(&row[shift..]);
                out[width - shift..].copy_from_slice(&row[..shift]);
            }
            rolled.copy_within(..area, area);
        }
    }

    /// The logits of every pixel at one displacement.
    #[inline(always)]
    fn fill_logits(&mut self, row: usize, column: usize) {
        let (height, width) = (self.query.shape.height, self.query.shape.width);
        let area = height * width;
        let (shift, row_penalty) = (self.rows[row].0, &self.rows[row].1);
        let Scratch { tall, wide, summed, ping, pong } = &mut self.scratch;

        let above = self.row_window.before * width;
        let squares = &mut tall[above..above + area];
        let from = shift * width;
        fill_squares(squares, self.query.x, |c| &self.rolled[2 * c * area + from..][..area]);
        let wraps = self.query.pool.border() == Border::Wrap;
        if wraps {
            wrap_around(tall, above, area, self.row_window.after * width);
        }
        window_sums(tall, self.row_window.n_offsets(), width, ping, pong, summed);

        let Window { before, after } = self.column_window;
        let stride = width + before + after;
        for (line, sums) in wide.chunks_exact_mut(stride).zip(summed.chunks_exact(width)) {
            line[before..before + width].copy_from_slice(sums);
            if wraps {
                wrap_around(line, before, width, after);
            }
        }
        window_sums(wide, self.column_window.n_offsets(), 1, ping, pong, summed);

        let scale = T::from_f64(-self.query.precision);
        let penalties = &self.columns[column].1;
        let logits = &mut self.logits[row * area..(row + 1) * area];
        for (r, out) in logits.chunks_exact_mut(width).enumerate() {
            let sums = &summed[r * stride..r * stride + width];
            for ((out, &sum), &penalty) in out.iter_mut().zip(sums).zip(penalties) {
                *out = scale * sum + (penalty + row_penalty[r]);
            }
        }
    }

    #[inline(always)]
    fn find_maxima(&mut self) {
        let area = self.max.len();
        self.max.copy_from_slice(&self.logits[..area]);
        for logits in self.logits.chunks_exact(area).skip(1) {
            for (max, &logit) in self.max.iter_mut().zip(logits) {
                *max = if logit > *max { logit } else { *max };
            }
        }
    }

    /// Notes the entry of every pixel whose maximum this block is about to raise.
    #[inline(always)]
    fn find_best(&self, image: usize, column: usize, all: &mut Accumulator) {
        let (height, width) = (self.query.shape.height, self.query.shape.width);
        let area = self.max.len();
        for (p, &max) in self.max.iter().enumerate() {
            if !(is_entry(max) && max.to_f64() > all.max[p]) {
                continue;
            }
            let at_best = |row: &usize| self.logits[row * area + p] == max;
            if let Some(row) = (0..self.rows.len()).find(at_best) {
                all.best[p] = Provenance {
                    image: image as u32,
                    row: ((p / width + self.rows[row].0) % height) as u16,
                    column: ((p % width + self.columns[column].0) % width) as u16,
                };
            }
        }
    }

    /// Raises `all` to the block's maxima; from here `max` is the reference of the weights.
    #[inline(always)]
    fn raise(&mut self, all: &mut Accumulator) {
        let below = T::from_f64(self.pruned_nats);
        for (p, max) in self.max.iter_mut().enumerate() {
            if is_entry(*max) {
                all.raise(p, max.to_f64());
            }
            // A pixel without any entry yet has logits of `NEVER` only: weights 0 against 0.
            let reference = all.max[p];
            *max = if reference.is_finite() { T::from_f64(reference) } else { T::ZERO };
            self.floor[p] = *max - below;
        }
    }

    #[inline(always)]
    fn weigh(&mut self) {
        let area = self.max.len();
        let width = self.query.shape.width;
        for sums in [&mut self.total, &mut self.spread, &mut self.sums] {
            sums.fill(T::ZERO);
        }
        for (logits, (shift, _)) in self.logits.chunks_exact(area).zip(&self.rows) {
            for start in (0..area).step_by(RUN) {
                let run = start..(start + RUN).min(area);
                let mut weights = [T::ZERO; RUN];
                let weights = &mut weights[..run.len()];
                let (logits, max) = (&logits[run.clone()], &self.max[run.clone()]);
                if !any_above(logits, &self.floor[run.clone()]) {
                    continue;
                }
                add_weights(weights, logits, max, &mut self.total[run.clone()]);
                if self.posterior {
                    add_spread(weights, logits, max, &mut self.spread[run.clone()]);
                }
                for (c, sums) in self.sums.chunks_exact_mut(area).enumerate() {
                    let from = 2 * c * area + shift * width + start;
                    let values = &self.rolled[from..from + run.len()];
                    for ((sum, &w), &v) in sums[run.clone()].iter_mut().zip(&*weights).zip(values) {
                        *sum += w * v;
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn flush(&self, all: &mut Accumulator) {
        let add = |to: &mut [f64], from: &[T]| {
            to.iter_mut().zip(from).for_each(|(to, from)| *to += from.to_f64());
        };
        add(&mut all.total, &self.total);
        add(&mut all.spread, &self.spread);
        add(&mut all.sums, &self.sums);
    }
}

/// One call of [`BoxSums::add_image`], compiled once per instruction set and chosen at run time. Nothing
/// is contracted into fused multiply-adds, so the bits do not depend on the machine. A closure would not
/// do: its shim is compiled for the base instruction set.
struct AddImage<'b, 'a, T> {
    sums: &'b mut BoxSums<'a, T>,
    image: &'b [T],
    index: usize,
    all: &'b mut Accumulator,
}

impl<T: Real> WithSimd for AddImage<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.sums.add_image_here(self.image, self.index, self.all);
    }
}

/// Whether a maximum belongs to an accepted entry, and not to penalties alone.
#[inline(always)]
fn is_entry<T: Real>(max: T) -> bool {
    max.to_f64() > 0.5 * T::NEVER.to_f64()
}

/// `squares[p] = sum_c (x[c, p] - y(c)[p])^2`; colour images in one pass over memory.
#[inline(always)]
fn fill_squares<'y, T: Real>(squares: &mut [T], x: &[T], y: impl Fn(usize) -> &'y [T]) {
    let area = squares.len();
    let square = |a: T, b: T| (a - b) * (a - b);
    if x.len() == 3 * area {
        let (red, rest) = x.split_at(area);
        let (green, blue) = rest.split_at(area);
        let (y_red, y_green, y_blue) = (&y(0)[..area], &y(1)[..area], &y(2)[..area]);
        // Equal lengths, spelled out: the bounds checks go and the loop becomes vector code.
        let (green, blue) = (&green[..area], &blue[..area]);
        for p in 0..area {
            squares[p] = square(red[p], y_red[p])
                + square(green[p], y_green[p])
                + square(blue[p], y_blue[p]);
        }
        return;
    }
    squares.fill(T::ZERO);
    for (c, x) in x.chunks_exact(area).enumerate() {
        for ((sum, &x), &y) in squares.iter_mut().zip(x).zip(y(c)) {
            *sum += square(x, y);
        }
    }
}

#[inline(always)]
fn any_above<T: Real>(logits: &[T], floor: &[T]) -> bool {
    logits.iter().zip(floor).fold(false, |any, (logit, floor)| any | (logit > floor))
}

#[inline(always)]
fn add_weights<T: Real>(weights: &mut [T], logits: &[T], max: &[T], total: &mut [T]) {
    for (((w, &logit), &max), total) in weights.iter_mut().zip(logits).zip(max).zip(total) {
        *w = (logit - max).exp_negative();
        *total += *w;
    }
}

#[inline(always)]
fn add_spread<T: Real>(weights: &[T], logits: &[T], max: &[T], spread: &mut [T]) {
    for (((&w, &logit), &max), spread) in weights.iter().zip(logits).zip(max).zip(spread) {
        *spread += w * (logit - max);
    }
}

/// Fills the `before` values ahead of `len` and the `after` values behind with the other end.
#[inline(always)]
fn wrap_around<T: Copy>(line: &mut [T], before: usize, len: usize, after: usize) {
    line.copy_within(len..len + before, 0);
    line.copy_within(before..before + after, before + len);
}

/// `out[i] = sum_{j < k} source[i + j * stride]` for every i where that fits; the rest of `out`
/// is left undefined. Small windows are added up directly, in one pass over memory.
#[inline(always)]
fn window_sums<T: Real>(
    source: &[T],
    k: usize,
    stride: usize,
    ping: &mut [T],
    pong: &mut [T],
    out: &mut [T],
) {
    if k <= DIRECT_MAX && !k.is_multiple_of(2) {
        direct_sums(source, k, stride, out);
    } else {
        doubled_sums(source, k, stride, ping, pong, out);
    }
}

#[inline(always)]
fn direct_sums<T: Real>(source: &[T], k: usize, stride: usize, out: &mut [T]) {
    let n_out = source.len() - (k - 1) * stride;
    let term = |j: usize| &source[j * stride..j * stride + n_out];
    let out = &mut out[..n_out];
    if k == 1 {
        out.copy_from_slice(source);
        return;
    }
    for (((out, &a), &b), &c) in out.iter_mut().zip(term(0)).zip(term(1)).zip(term(2)) {
        *out = a + b + c;
    }
    for j in (3..k).step_by(2) {
        for ((out, &a), &b) in out.iter_mut().zip(term(j)).zip(term(j + 1)) {
            *out += a + b;
        }
    }
}

/// As [`window_sums`], by doubling: `2 log2 k` passes at most.
#[inline(always)]
fn doubled_sums<'b, T: Real>(
    source: &[T],
    k: usize,
    stride: usize,
    mut power: &'b mut [T],
    mut next: &'b mut [T],
    out: &mut [T],
) {
    let n_out = source.len() - (k - 1) * stride;
    power[..source.len()].copy_from_slice(source);
    // `power[i]` sums `width` terms; `covered` terms of the window are in `out` already.
    let (mut width, mut covered, mut n_power) = (1, 0, source.len());
    loop {
        if k & width != 0 {
            let terms = &power[covered * stride..covered * stride + n_out];
            if covered == 0 {
                out[..n_out].copy_from_slice(terms);
            } else {
                out[..n_out].iter_mut().zip(terms).for_each(|(out, &term)| *out += term);
            }
            covered += width;
        }
        if covered == k {
            return;
        }
        let step = width * stride;
        n_power -= step;
        let (low, high) = (&power[..n_power], &power[step..step + n_power]);
        for ((next, &low), &high) in next.iter_mut().zip(low).zip(high) {
            *next = low + high;
        }
        std::mem::swap(&mut power, &mut next);
        width *= 2;
    }
}

#[cfg(test)]
#[path = "boxes_tests.rs"]
mod tests;
