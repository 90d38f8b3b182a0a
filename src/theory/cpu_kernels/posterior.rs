//! Running posteriors at every query pixel, with one training image per vector lane.
//!
//! Squared distances are turned into weights `2^((reference - distance) scale)`, which are summed; `scale` is
//! `logit_scale / ln 2`, bits per squared distance. The reference may exceed the distance of the nearest entry by up to
//! [`SLACK_BITS`], so that lowering it, which rescales the sums, stays rare.
//!
//! An entry is skipped if its logit lies more than [`pruned_nats`] below the largest one or below the logarithm of the
//! total weight so far. Both only grow, so all skipped entries of a pixel together weigh less than
//! `exp(-T::NEGLIGIBLE_NATS)` of its total weight.
//!
//! The nearest entry is the provenance of a pixel. Where patches tie exactly, as in flat backgrounds, it is one of them,
//! and which one may depend on the vector length of the processor.
//!
//! A [`Grouping`] decides which entries share a posterior: [`super::posterior_over_all_images`] or
//! [`super::posterior_per_image`].

use std::ops::Range;

use pulp::Simd;

use super::tile::Tile;
use crate::image::ImageShape;
use crate::simd::{Buffer, Lane, Real, lane::n_lanes};

/// A weight may reach `2^30` before the reference is lowered.
pub const SLACK_BITS: f64 = 30.0;

// Indices of a pixel's sums; those of the channels follow.
pub const TOTAL: usize = 0;
pub const SPREAD: usize = 1;
pub const OTHERS: usize = 2;

/// How far below the total weight an entry is skipped, in nats, so that all `n_entries` of a pixel together lose less
/// than `exp(-T::NEGLIGIBLE_NATS)` of it: 1.5e-8 in `f32`, 1.6e-18 in `f64`.
pub fn pruned_nats<T: Real>(n_entries: usize) -> f64 {
    T::NEGLIGIBLE_NATS + (n_entries.max(1) as f64).ln()
}

/// Which images share a posterior at a pixel.
pub trait Grouping<T: Lane>: Sized {
    /// Whether each lane has its own posterior, so that distances are kept per pixel and lane instead of per pixel.
    const PER_IMAGE: bool;

    /// The state of images of `shape` without entries.
    fn new(shape: ImageShape, n_lanes: usize) -> Self;

    /// The displacement number of the nearest entry, `[P, lanes]`; empty if it is not tracked per lane.
    fn nearest_entries(&mut self) -> &mut [T];

    /// Takes note of the distances of pair `j` of `row`, one per lane: one of them is less than what was known so far.
    fn note(posterior: &mut Posterior<T, Self>, row: Row, j: usize, distances: &[T]);

    /// See [`Posterior::added`].
    fn added(posterior: &mut Posterior<T, Self>, n: usize);
}

/// Sums of weights at `P` pixels with `C` values each.
#[derive(Debug)]
pub struct Posterior<T, G> {
    pub(super) shape: ImageShape,
    pub(super) n_lanes: usize,
    /// Bits per squared distance.
    pub(super) scale: T,
    /// Nats per squared distance.
    pub(super) logit_scale: f64,
    pub(super) pruned_nats: f64,
    /// An entry is skipped if it is farther than the nearest by more than this squared distance.
    pub(super) width: T,
    /// How much less than the reference a squared distance may be.
    pub(super) slack: T,
    /// Whether entropy and provenance are computed.
    diagnostics: bool,
    // Squared distances, `[P]` or, per image, `[P, lanes]`.
    pub(super) nearest: Buffer<T>,
    pub(super) cutoff: Buffer<T>,
    pub(super) reference: Buffer<T>,
    /// Per pixel the sum of weights, of weights times bits (with diagnostics) and of weights times the values of each
    /// channel, `[P, 2 + C, lanes]`: adjacent, because they are used together.
    pub(super) sums: Buffer<T>,
    pub(super) grouping: G,
    /// 0, 1, 2, ... in the lanes of a vector.
    lane_numbers: Buffer<T>,
    /// Pairs of a row that are not skipped.
    hits: Vec<u32>,
}

/// A row of (query pixel, training pixel) pairs at one displacement, the same for all images of a tile.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Query pixel of the first pair; its training pixel follows.
    pub query_pixel: usize,
    pub training_row: usize,
    pub training_column: usize,
    /// Number of the displacement.
    pub displacement: usize,
    /// Number of the first image of the tile.
    pub first_image: usize,
    /// Images in the tile; further lanes do not count.
    pub n_images: usize,
}

impl Row {
    /// Pairs of the images of `tile` from query pixel 0 and training pixel 0 on, at displacement 0.
    pub fn of_tile<T: Lane>(tile: &Tile<T>) -> Self {
        Self {
            query_pixel: 0,
            training_row: 0,
            training_column: 0,
            displacement: 0,
            first_image: tile.first,
            n_images: tile.n_images(),
        }
    }
}

impl<T: Lane, G: Grouping<T>> Posterior<T, G> {
    /// Posteriors of logits `-logit_scale * distance` without entries; `n_entries` is the most that one will have.
    pub fn new(shape: ImageShape, logit_scale: f64, n_entries: usize, diagnostics: bool) -> Self {
        let n_lanes = n_lanes::<T>();
        let (n_channels, n_pixels) = (shape.channels, shape.n_pixels());
        let zeros = |n| Buffer::zeros(n * n_lanes);
        let limits = || Buffer::zeros(if G::PER_IMAGE { n_pixels * n_lanes } else { n_pixels });
        let mut posterior = Self {
            shape,
            n_lanes,
            scale: T::from_f64(logit_scale * std::f64::consts::LOG2_E),
            logit_scale,
            pruned_nats: pruned_nats::<T>(n_entries),
            width: T::from_f64(pruned_nats::<T>(n_entries) / logit_scale),
            slack: T::from_f64(SLACK_BITS * std::f64::consts::LN_2 / logit_scale),
            diagnostics,
            nearest: limits(),
            cutoff: limits(),
            reference: limits(),
            sums: zeros(n_pixels * (n_channels + OTHERS)),
            grouping: G::new(shape, n_lanes),
            lane_numbers: Buffer::zeros(n_lanes),
            hits: vec![0; shape.width],
        };
        for (lane, number) in posterior.lane_numbers.iter_mut().enumerate() {
            *number = T::from_f64(lane as f64);
        }
        posterior.forget();
        posterior
    }

    /// Removes all entries.
    pub fn forget(&mut self) {
        for distances in [&mut self.nearest, &mut self.cutoff, &mut self.reference] {
            distances.fill(T::INFINITY);
        }
        self.sums.fill(T::ZERO);
    }

    /// Adds a row of pairs: `distances` is one vector per pair, `values` those of the training pixels, `[pairs, C]`.
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
                // This pair is nearer than the reference allows, or than all before it.
                let j = self.hits[done] as usize;
                let lanes = [distances[j]];
                let lanes: &[T] = pulp::bytemuck::cast_slice(&lanes);
                G::note(self, row, j, lanes);
            }
        }
    }

    /// The squared distance beyond which entries of `pixel` are skipped, in each lane.
    #[inline(always)]
    pub fn cutoff<S: Simd>(&self, simd: S, pixel: usize) -> T::Vector<S> {
        Self::limit(simd, &self.cutoff, pixel)
    }

    /// Where the distances kept of `n` pixels are.
    #[inline(always)]
    fn limits(&self, first: usize, n: usize) -> Range<usize> {
        let each = if G::PER_IMAGE { self.n_lanes } else { 1 };
        first * each..(first + n) * each
    }

    #[inline(always)]
    fn limit<S: Simd>(simd: S, limits: &[T], pixel: usize) -> T::Vector<S> {
        if G::PER_IMAGE { T::vectors::<S>(limits)[pixel] } else { T::splat(simd, limits[pixel]) }
    }

    /// Adds hits up to one that must be noted first, and returns how many it added.
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
        let entries =
            if G::PER_IMAGE { first * self.n_lanes..(first + n) * self.n_lanes } else { 0..0 };
        let nearest_entry = T::vectors_mut::<S>(&mut self.grouping.nearest_entries()[entries]);
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
            // Per image, `nearest` is updated below and only the reference needs noting.
            let noted = if G::PER_IMAGE {
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
            if is_partial && !G::PER_IMAGE {
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
            if G::PER_IMAGE {
                let nearest = &mut T::vectors_mut::<S>(nearest)[j];
                let entry = &mut nearest_entry[j];
                *entry = T::select_lt(simd, distance, *nearest, number, *entry);
                *nearest = T::min(simd, *nearest, distance);
                T::vectors_mut::<S>(cutoff)[j] = T::plus(simd, *nearest, width);
            }
        }
        added
    }

    /// To be called once every pixel and lane may have got up to `n` more entries, so that sums are moved to doubles in
    /// time.
    #[inline(always)]
    pub fn added(&mut self, n: usize) {
        G::added(self, n);
    }

    /// Where the lanes of a sum of `pixel` start.
    pub(super) fn sum_at(&self, pixel: usize, which: usize) -> usize {
        (pixel * (self.shape.channels + OTHERS) + which) * self.n_lanes
    }
}
