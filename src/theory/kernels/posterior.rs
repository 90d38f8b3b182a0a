//! Running posteriors of every query pixel, one lane a training image.
//!
//! Distances come in and weights `2^((reference - distance) scale)` are summed, where `scale` turns a
//! squared distance into bits, `precision / ln 2`. The reference may lag behind the nearest entry by up to
//! [`SLACK_BITS`], so that raising it - which rescales the sums - stays rare.
//!
//! An entry is skipped if its logit lies more than [`pruned_nats`] below the largest, or below the logarithm
//! of all weight so far. Both only grow, so all skipped entries of a pixel together are lighter than
//! `exp(-T::NEGLIGIBLE_NATS)` of its whole weight.
//!
//! The nearest entry is the provenance of a pixel. Where patches tie exactly - flat backgrounds do - it is one
//! of them, and which one may differ between machines with vectors of different lengths.
//!
//! `APART` keeps a posterior per image and pixel (the evidence of the attention machine); otherwise
//! lanes are added up and a pixel's nearest entry of all images sets the limit.

use std::ops::Range;

use pulp::Simd;

use crate::diffusion::Provenance;
use crate::image::ImageShape;
use crate::simd::Real;
use crate::simd::{Buffer, Lane};
use crate::theory::weights::Accumulator;

/// A weight may reach `2^30` before the reference is raised.
pub const SLACK_BITS: f64 = 30.0;
/// Entries of a pixel and lane after which its sums are moved to doubles, and its limit brought up to date.
const FLUSH_AFTER: usize = if cfg!(test) { 16 } else { 256 };

// Which sum is which; the channels' follow.
const TOTAL: usize = 0;
const SPREAD: usize = 1;
const OTHERS: usize = 2;

/// How far below the whole weight an entry may be skipped, in nats, so that all `n_entries` of a pixel
/// together lose less than `exp(-T::NEGLIGIBLE_NATS)` of it: 1.5e-8 in `f32`, 1.6e-18 in `f64`.
pub fn pruned_nats<T: Real>(n_entries: usize) -> f64 {
    T::NEGLIGIBLE_NATS + (n_entries.max(1) as f64).ln()
}

/// Sums of weights for `n_pixels` pixels with `n_channels` values each.
#[derive(Debug)]
pub struct Posterior<T, const APART: bool> {
    shape: ImageShape,
    n_lanes: usize,
    /// Bits per squared distance.
    scale: T,
    precision: f64,
    pruned_nats: f64,
    /// Beyond the nearest by this much, an entry is skipped.
    width: T,
    /// How far the reference may lag, as a distance.
    slack: T,
    /// Whether entropy and provenance are wanted.
    diagnostics: bool,
    // Distances, `[P]` or, apart, `[P, lanes]`.
    nearest: Buffer<T>,
    cutoff: Buffer<T>,
    reference: Buffer<T>,
    /// Per pixel the sum of weights, of weights times bits (with diagnostics) and of weights times each
    /// channel's values, `[P, 2 + C, lanes]`: together, because they are needed together.
    sums: Buffer<T>,
    /// Entries of a pixel and lane that `sums` hold, at most; not apart only.
    n_unflushed: usize,
    /// Number of the nearest entry's displacement, `[P, lanes]`; apart only.
    nearest_entry: Buffer<T>,
    /// The lanes' sums so far; not apart only.
    all: Accumulator,
    /// 0, 1, 2, ... in the lanes of a vector.
    lane_numbers: Buffer<T>,
    /// Pairs of a row that are not skipped.
    hits: Vec<u32>,
}

/// A row of pairs at one displacement, the same for all images of a tile.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The first pair's.
    pub query_pixel: usize,
    pub training_row: usize,
    pub training_column: usize,
    /// Numbers the displacement, for [`Posterior::image`].
    pub displacement: usize,
    /// Of the tile.
    pub first_image: usize,
    /// Lanes that count.
    pub n_images: usize,
}

/// What one image says about one pixel.
#[derive(Clone, Copy, Debug)]
pub struct Evidence {
    /// `logsumexp` of its logits.
    pub log_sum: f64,
    pub entropy_nats: f64,
    /// Displacement of its nearest patch.
    pub displacement: usize,
    /// The logarithm of that patch's weight within the image.
    pub log_weight: f64,
}

impl<T: Lane, const APART: bool> Posterior<T, APART> {
    /// For logits `-precision * distance`, over `n_entries` entries a posterior.
    pub fn new(
        shape: ImageShape,
        n_lanes: usize,
        precision: f64,
        n_entries: usize,
        diagnostics: bool,
    ) -> Self {
        let (n_channels, n_pixels) = (shape.channels, shape.n_pixels());
        let zeros = |n| Buffer::zeros(n * n_lanes);
        let limits = || Buffer::zeros(if APART { n_pixels * n_lanes } else { n_pixels });
        let mut posterior = Self {
            shape,
            n_lanes,
            scale: T::from_f64(precision * std::f64::consts::LOG2_E),
            precision,
            pruned_nats: pruned_nats::<T>(n_entries),
            width: T::from_f64(pruned_nats::<T>(n_entries) / precision),
            slack: T::from_f64(SLACK_BITS * std::f64::consts::LN_2 / precision),
            diagnostics,
            nearest: limits(),
            cutoff: limits(),
            reference: limits(),
            sums: zeros(n_pixels * (n_channels + OTHERS)),
            n_unflushed: 0,
            nearest_entry: zeros(if APART { n_pixels } else { 0 }),
            all: Accumulator::new(n_channels, n_pixels),
            lane_numbers: Buffer::zeros(n_lanes),
            hits: vec![0; shape.width],
        };
        for (lane, number) in posterior.lane_numbers.iter_mut().enumerate() {
            *number = T::from_f64(lane as f64);
        }
        posterior.forget();
        posterior
    }

    /// Back to no entries at all.
    pub fn forget(&mut self) {
        for distances in [&mut self.nearest, &mut self.cutoff, &mut self.reference] {
            // No entry yet.
            distances.fill(T::INFINITY);
        }
        self.sums.fill(T::ZERO);
    }

    /// Adds a row of pairs: `distances` one vector a pair, `values` the training pixels', `[pairs, C]`.
    /// `C` is the number of channels, or 0 for any.
    #[inline(always)]
    pub fn add_row<S: Simd, const C: usize>(
        &mut self,
        simd: S,
        row: Row,
        distances: &[T::Vector<S>],
        values: &[T::Vector<S>],
    ) {
        let n = distances.len();
        let mut n_hits = 0;
        {
            let cutoff = &self.cutoff[self.limits(row.query_pixel, n)];
            let hits = &mut self.hits[..n];
            for (j, &distance) in distances.iter().enumerate() {
                hits[n_hits] = j as u32;
                n_hits += usize::from(T::any_within(simd, distance, Self::limit(simd, cutoff, j)));
            }
        }
        let mut done = 0;
        while done < n_hits {
            done += self.add_hits::<S, C>(simd, row, done..n_hits, distances, values);
            if done < n_hits {
                // This pair is nearer than the reference allows, or than any before it.
                let j = self.hits[done] as usize;
                let lanes = [distances[j]];
                let lanes: &[T] = pulp::bytemuck::cast_slice(&lanes);
                if APART {
                    self.raise_lanes(row.query_pixel + j, lanes);
                } else {
                    self.note_nearest(row, j, &lanes[..row.n_images]);
                }
            }
        }
    }

    /// Distance beyond which entries of `pixel` are skipped (in each lane).
    #[inline(always)]
    pub fn cutoff<S: Simd>(&self, simd: S, pixel: usize) -> T::Vector<S> {
        Self::limit(simd, &self.cutoff, pixel)
    }

    /// Where the limits of `n` pixels are.
    #[inline(always)]
    fn limits(&self, first: usize, n: usize) -> Range<usize> {
        let each = if APART { self.n_lanes } else { 1 };
        first * each..(first + n) * each
    }

    #[inline(always)]
    fn limit<S: Simd>(simd: S, limits: &[T], pixel: usize) -> T::Vector<S> {
        if APART { T::vectors::<S>(limits)[pixel] } else { T::splat(simd, limits[pixel]) }
    }

    /// Adds hits up to one that must be noted first; says how many it added.
    #[inline(always)]
    fn add_hits<S: Simd, const C: usize>(
        &mut self,
        simd: S,
        row: Row,
        which: Range<usize>,
        distances: &[T::Vector<S>],
        values: &[T::Vector<S>],
    ) -> usize {
        let (n, first) = (distances.len(), row.query_pixel);
        let n_channels = if C == 0 { self.shape.channels } else { C };
        let each = n_channels + OTHERS;
        let limits = self.limits(first, n);
        // Slices of this row in registers: nothing is looked up again after each store.
        let reference = &self.reference[limits.clone()];
        let nearest = &mut self.nearest[limits.clone()];
        let cutoff = &mut self.cutoff[limits];
        let entries = if APART { first * self.n_lanes..(first + n) * self.n_lanes } else { 0..0 };
        let nearest_entry = T::vectors_mut::<S>(&mut self.nearest_entry[entries]);
        let number = T::splat(simd, T::from_f64(row.displacement as f64));
        let (width, slack) = (T::splat(simd, self.width), T::splat(simd, self.slack));
        let sums = &mut T::vectors_mut::<S>(&mut self.sums)[first * each..(first + n) * each];
        let values = &values[..n * n_channels];
        let (zero, scale) = (T::splat(simd, T::ZERO), T::splat(simd, self.scale));
        let diagnostics = self.diagnostics;
        let is_partial = row.n_images < self.n_lanes;
        let lane_number = T::vectors::<S>(&self.lane_numbers)[0];
        let n_images = T::splat(simd, T::from_f64(row.n_images as f64));
        let mut added = 0;
        for &j in &self.hits[which] {
            let j = j as usize;
            let distance = distances[j];
            // Apart, the nearest are kept up below and only the reference needs noting.
            let noted = if APART {
                T::minus(simd, Self::limit(simd, reference, j), slack)
            } else {
                Self::limit(simd, nearest, j)
            };
            if T::any_less(simd, distance, noted) {
                return added;
            }
            added += 1;
            let behind = T::minus(simd, Self::limit(simd, reference, j), distance);
            let bits = T::times(simd, behind, scale);
            let mut weights = T::exp2(simd, bits);
            if is_partial && !APART {
                weights = T::select_lt(simd, lane_number, n_images, weights, zero);
            }
            let sums = &mut sums[j * each..(j + 1) * each];
            let values = &values[j * n_channels..(j + 1) * n_channels];
            sums[TOTAL] = T::plus(simd, sums[TOTAL], weights);
            if diagnostics {
                sums[SPREAD] = T::mul_add(simd, weights, bits, sums[SPREAD]);
            }
            for (sum, &value) in sums[OTHERS..].iter_mut().zip(values) {
                *sum = T::mul_add(simd, weights, value, *sum);
            }
            if APART {
                let nearest = &mut T::vectors_mut::<S>(nearest)[j];
                let entry = &mut nearest_entry[j];
                *entry = T::select_lt(simd, distance, *nearest, number, *entry);
                *nearest = T::min(simd, *nearest, distance);
                T::vectors_mut::<S>(cutoff)[j] = T::plus(simd, *nearest, width);
            }
        }
        added
    }

    /// A pixel's nearest entry of all is among these.
    #[cold]
    #[inline(never)]
    fn note_nearest(&mut self, row: Row, j: usize, distances: &[T]) {
        let p = row.query_pixel + j;
        let mut nearest = self.nearest[p];
        for (lane, &distance) in distances.iter().enumerate() {
            if distance < nearest {
                nearest = distance;
                self.all.best[p] = Provenance {
                    image: (row.first_image + lane) as u32,
                    row: row.training_row as u16,
                    column: (row.training_column + j) as u16,
                };
            }
        }
        self.nearest[p] = nearest;
        self.lower_cutoff(p, nearest + self.width);
        if nearest < self.reference[p] - self.slack {
            self.flush_pixel(p);
            self.reference[p] = nearest;
            self.all.raise(p, -self.precision * nearest.to_f64());
        }
    }

    /// Lanes that are nearer than their reference by more than the slack get a new one.
    #[cold]
    #[inline(never)]
    fn raise_lanes(&mut self, p: usize, distances: &[T]) {
        for (lane, &distance) in distances.iter().enumerate() {
            let at = p * self.n_lanes + lane;
            let old = self.reference[at];
            if distance < old - self.slack {
                self.reference[at] = distance;
                if old == T::INFINITY {
                    continue;
                }
                let bits = ((distance - old) * self.scale).to_f64();
                let factor = T::from_f64(bits.exp2());
                let total = self.sums[self.sum_at(p, TOTAL) + lane];
                let spread = self.sum_at(p, SPREAD) + lane;
                self.sums[spread] += total * T::from_f64(bits);
                for which in 0..self.shape.channels + OTHERS {
                    let at = self.sum_at(p, which) + lane;
                    self.sums[at] = factor * self.sums[at];
                }
            }
        }
    }

    /// What image `lane` of the tile says about `pixel`, and its weighted mean there into `mean`; apart
    /// only.
    pub fn image(&self, lane: usize, pixel: usize, mean: impl FnMut(f64)) -> Evidence {
        let at = pixel * self.n_lanes + lane;
        let sum = |which| self.sums[self.sum_at(pixel, which) + lane].to_f64();
        let total = sum(TOTAL);
        (0..self.shape.channels).map(|c| sum(OTHERS + c) / total).for_each(mean);
        let reference = -self.precision * self.reference[at].to_f64();
        let spread = sum(SPREAD) * std::f64::consts::LN_2;
        let log_sum = reference + total.ln();
        Evidence {
            log_sum,
            entropy_nats: (total.ln() - spread / total).max(0.0),
            displacement: self.nearest_entry[at].to_f64() as usize,
            log_weight: -self.precision * self.nearest[at].to_f64() - log_sum,
        }
    }
}

impl<T: Lane> Posterior<T, false> {
    /// The sums over all entries.
    pub fn finish(mut self) -> Accumulator {
        self.flush();
        for (p, nearest) in self.nearest.iter().enumerate() {
            self.all.raise(p, -self.precision * nearest.to_f64());
        }
        self.all
    }
}

impl<T: Lane, const APART: bool> Posterior<T, APART> {
    /// To be told that every pixel and lane has got up to `n` entries more, so that sums are moved on in
    /// time. Posteriors apart need none of this: they start again with every tile.
    #[inline(always)]
    pub fn added(&mut self, n: usize) {
        if APART {
            return;
        }
        self.n_unflushed += n;
        if self.n_unflushed >= FLUSH_AFTER {
            self.flush();
        }
    }

    /// Moves the lanes' sums on into doubles, where they cannot lose what is small.
    #[inline(never)]
    fn flush(&mut self) {
        (0..self.shape.n_pixels()).for_each(|p| self.flush_pixel(p));
        self.n_unflushed = 0;
    }

    fn flush_pixel(&mut self, p: usize) {
        let first = self.sum_at(p, 0);
        let mut sum = |which: usize| {
            let at = first + which * self.n_lanes;
            let lanes = &mut self.sums[at..at + self.n_lanes];
            let sum: f64 = lanes.iter().map(|v| v.to_f64()).sum();
            lanes.fill(T::ZERO);
            sum
        };
        let (total, spread) = (sum(TOTAL), sum(SPREAD));
        for c in 0..self.shape.channels {
            self.all.sums[c * self.shape.n_pixels() + p] += sum(OTHERS + c);
        }
        self.all.total[p] += total;
        // What there is by now outweighs the nearest entry alone, so the limit comes nearer.
        let log_total = self.all.max[p] + self.all.total[p].ln();
        let limit = T::from_f64((self.pruned_nats - log_total) / self.precision);
        // Rounding must not push what ties with the nearest out.
        self.lower_cutoff(p, if limit < self.nearest[p] { self.nearest[p] } else { limit });
        self.all.spread[p] += std::f64::consts::LN_2 * spread;
    }

    fn lower_cutoff(&mut self, p: usize, limit: T) {
        if !APART && limit < self.cutoff[p] {
            self.cutoff[p] = limit;
        }
    }

    /// Where the lanes of a pixel's sum are.
    fn sum_at(&self, pixel: usize, which: usize) -> usize {
        (pixel * (self.shape.channels + OTHERS) + which) * self.n_lanes
    }
}
