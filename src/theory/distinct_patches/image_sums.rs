//! The inner loops over the distinct patches of one image after the other: running posteriors of the query pixels of a
//! group, one query per vector lane.
//!
//! ```text
//! one patch at a time: distances from all queries ([`super::strip_distances`])
//!                          skip what is beyond each query's cutoff --> count 2^bits --> running sums
//! ```
//!
//! As in [`crate::theory::cpu_kernels::posterior`], a weight is `2^((reference - distance) scale)`, and the reference of a query
//! is lowered, which rescales its sums, only when a weight would exceed `2^30`.

use pulp::{Arch, Simd, WithSimd};

use super::image_table::{Group, ImageTable};
use super::strip_distances::{StripDistances, VECTORS};
use crate::diffusion::Provenance;
use crate::image::ImageShape;
use crate::simd::{Buffer, Lane, lane::n_lanes};
use crate::theory::cpu_kernels::PatchQuery;
use crate::theory::cpu_kernels::posterior::{OTHERS, SLACK_BITS, SPREAD, TOTAL, pruned_nats};

/// Running posteriors of the query pixels of one group.
pub struct GroupSums<'a, T> {
    group: &'a Group,
    shape: ImageShape,
    logit_scale: f64,
    /// Bits per squared distance.
    scale: T,
    /// An entry is skipped if it is farther than the nearest by more than this squared distance.
    width: T,
    /// How much less than the reference a squared distance may be.
    slack: T,
    rows: StripDistances<'a, T>,
    // Squared distances per query, `[Q]`, in whole vectors.
    distances: Buffer<T>,
    nearest: Buffer<T>,
    cutoff: Buffer<T>,
    reference: Buffer<T>,
    /// The nearest patch of the last image, if it is nearer than all before it, otherwise -1, `[Q]`.
    nearest_patch: Buffer<T>,
    /// Sums of the last image per vector of queries: of weights, of weights times bits, and of weights times the values
    /// of each channel, `[vectors, 2 + C, lanes]`.
    sums: Buffer<T>,
    /// The same over the images before.
    totals: Vec<f64>,
    best: Vec<Provenance>,
    hits: Vec<u32>,
}

/// The posterior of one query.
#[derive(Clone, Copy, Debug)]
pub struct QueryPosterior<'a> {
    /// The logit to which sums are relative, and that of the nearest patch.
    pub reference: f64,
    pub nearest: f64,
    pub best: Provenance,
    totals: &'a [f64],
    lane: usize,
    n_lanes: usize,
}

impl QueryPosterior<'_> {
    fn sum(&self, which: usize) -> f64 {
        self.totals[which * self.n_lanes + self.lane]
    }

    /// Sum of weights.
    pub fn total(&self) -> f64 {
        self.sum(TOTAL)
    }

    /// Sum of weights times nats.
    pub fn spread(&self) -> f64 {
        self.sum(SPREAD) * std::f64::consts::LN_2
    }

    /// Sum of weights times the values of channel `c`.
    pub fn value(&self, c: usize) -> f64 {
        self.sum(OTHERS + c)
    }
}

impl<'a, T: Lane> GroupSums<'a, T> {
    /// Posteriors without entries; each will have those of `n_images`.
    pub fn new(group: &'a Group, query: &PatchQuery<'_, T>, n_images: usize) -> Self {
        let n_lanes = n_lanes::<T>();
        let n_queries = group.n_queries().next_multiple_of(n_lanes);
        let per_vector = (OTHERS + query.shape.channels) * n_lanes;
        let n_vectors = n_queries / n_lanes;
        let nats = pruned_nats::<T>(n_images * group.n_places());
        let per_query = || Buffer::zeros(n_queries);
        let mut all = Self {
            group,
            shape: query.shape,
            logit_scale: query.logit_scale,
            scale: T::from_f64(query.logit_scale * std::f64::consts::LOG2_E),
            width: T::from_f64(nats / query.logit_scale),
            slack: T::from_f64(SLACK_BITS * std::f64::consts::LN_2 / query.logit_scale),
            rows: StripDistances::new(group, query),
            distances: per_query(),
            nearest: per_query(),
            cutoff: per_query(),
            reference: per_query(),
            nearest_patch: per_query(),
            sums: Buffer::zeros(n_vectors * per_vector),
            totals: vec![0.0; n_vectors * per_vector],
            best: vec![Provenance::default(); n_queries],
            hits: vec![0; n_vectors],
        };
        all.forget();
        all
    }

    /// Removes all entries.
    pub fn forget(&mut self) {
        let n_queries = self.group.n_queries();
        for distances in [&mut self.nearest, &mut self.cutoff, &mut self.reference] {
            distances[..n_queries].fill(T::INFINITY);
        }
        // Nothing is ever near a lane without a query.
        self.cutoff[n_queries..].fill(T::from_f64(f64::NEG_INFINITY));
        self.nearest[n_queries..].fill(T::from_f64(f64::NEG_INFINITY));
        self.sums.fill(T::ZERO);
        self.totals.fill(0.0);
    }

    /// Adds the patches of image `n` of `values`, `[C, H, W]`.
    pub fn add(&mut self, table: &ImageTable, values: &[f64], n: usize) {
        Arch::new().dispatch(AddImage { all: self, table, values });
        for (best, patch) in self.best.iter_mut().zip(&self.nearest_patch[..]) {
            let patch = patch.to_f64();
            if patch >= 0.0 {
                let (row, column) = self.group.place(table.patches[patch as usize].0.into());
                *best = Provenance { image: n as u32, row: row as u16, column: column as u16 };
            }
        }
    }

    /// The posterior of each query pixel.
    pub fn posteriors(&self) -> impl Iterator<Item = (usize, QueryPosterior<'_>)> {
        let n_lanes = n_lanes::<T>();
        let per_vector = (OTHERS + self.shape.channels) * n_lanes;
        (0..self.group.n_queries()).map(move |query| {
            let first = query / n_lanes * per_vector;
            let posterior = QueryPosterior {
                reference: -self.logit_scale * self.reference[query].to_f64(),
                nearest: -self.logit_scale * self.nearest[query].to_f64(),
                best: self.best[query],
                totals: &self.totals[first..first + per_vector],
                lane: query % n_lanes,
                n_lanes,
            };
            (self.group.query_pixel(query, self.shape), posterior)
        })
    }

    /// Lowers the references of the lanes of vector `at` whose `distances` are less by more than the slack.
    #[cold]
    #[inline(never)]
    fn lower_reference(&mut self, at: usize, distances: &[T]) {
        let n_lanes = distances.len();
        let n_sums = OTHERS + self.shape.channels;
        for (lane, &distance) in distances.iter().enumerate() {
            let query = at * n_lanes + lane;
            let old = self.reference[query];
            if query >= self.group.n_queries() || distance >= old - self.slack {
                continue;
            }
            self.reference[query] = distance;
            if old == T::INFINITY {
                continue;
            }
            let bits = ((distance - old) * self.scale).to_f64();
            let factor = bits.exp2();
            let place = |which: usize| (at * n_sums + which) * n_lanes + lane;
            let (total, spread) = (place(TOTAL), place(SPREAD));
            let sum = self.sums[total];
            self.sums[spread] += sum * T::from_f64(bits);
            self.totals[spread] += self.totals[total] * bits;
            for which in 0..n_sums {
                self.sums[place(which)] = self.sums[place(which)] * T::from_f64(factor);
                self.totals[place(which)] *= factor;
            }
        }
    }
}

/// Adds the patches of one image.
struct AddImage<'s, 'a, T> {
    all: &'s mut GroupSums<'a, T>,
    table: &'s ImageTable,
    values: &'s [f64],
}

impl<T: Lane> WithSimd for AddImage<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { all, table, values } = self;
        all.rows.compute(simd, table, values);
        all.nearest_patch.fill(T::from_f64(-1.0));
        let n_pixels = all.shape.n_pixels();
        let mut channels = vec![T::splat(simd, T::ZERO); all.shape.channels];
        for (number, &(place, count)) in table.patches.iter().enumerate() {
            let n_hits = all.list_hits(simd, table, place);
            let (row, column) = all.group.place(place.into());
            let pixel = row * all.shape.width + column;
            for (c, value) in channels.iter_mut().enumerate() {
                *value = T::splat(simd, T::from_f64(values[c * n_pixels + pixel]));
            }
            match all.shape.channels {
                1 => all.add_hits::<S, 1>(simd, n_hits, number, count, &channels),
                3 => all.add_hits::<S, 3>(simd, n_hits, number, count, &channels),
                _ => all.add_hits::<S, 0>(simd, n_hits, number, count, &channels),
            }
        }
        // Sums of one image lose no digits in the precision of `T`.
        for (total, sum) in all.totals.iter_mut().zip(&all.sums[..]) {
            *total += sum.to_f64();
        }
        all.sums.fill(T::ZERO);
    }
}

impl<T: Lane> GroupSums<'_, T> {
    /// Squared distances of the patch at `place` from all queries; lists the vectors of which one may be near, and returns
    /// their number.
    #[inline(always)]
    fn list_hits<S: Simd>(&mut self, simd: S, table: &ImageTable, place: u16) -> usize {
        let n_vectors = self.hits.len();
        let n_blocked = n_vectors - n_vectors % VECTORS;
        let mut n_hits = 0;
        for first in (0..n_blocked).step_by(VECTORS) {
            let found = self.rows.patch_block::<S, VECTORS>(simd, table, place, first);
            n_hits = self.list_block(simd, first, found, n_hits);
        }
        for first in n_blocked..n_vectors {
            let found = self.rows.patch_block::<S, 1>(simd, table, place, first);
            n_hits = self.list_block(simd, first, found, n_hits);
        }
        n_hits
    }

    /// Keeps the distances of `N` vectors of queries from vector `first` on and continues the list of hits, which has
    /// `n_hits` entries; returns their new number.
    #[inline(always)]
    fn list_block<S: Simd, const N: usize>(
        &mut self,
        simd: S,
        first: usize,
        found: [T::Vector<S>; N],
        mut n_hits: usize,
    ) -> usize {
        let cutoff = &T::vectors::<S>(&self.cutoff)[first..first + N];
        let distances = &mut T::vectors_mut::<S>(&mut self.distances)[first..first + N];
        for (i, distance) in found.into_iter().enumerate() {
            distances[i] = distance;
            self.hits[n_hits] = (first + i) as u32;
            n_hits += usize::from(T::any_within(simd, distance, cutoff[i]));
        }
        n_hits
    }

    /// Adds a patch to the first `n_hits` vectors of the list. `C` is the number of channels, or 0 for any.
    #[inline(always)]
    fn add_hits<S: Simd, const C: usize>(
        &mut self,
        simd: S,
        n_hits: usize,
        number: usize,
        count: u16,
        channels: &[T::Vector<S>],
    ) {
        let n_channels = if C == 0 { channels.len() } else { C };
        let channels = &channels[..n_channels];
        let splat = |value| T::splat(simd, value);
        let (scale, width, slack) = (splat(self.scale), splat(self.width), splat(self.slack));
        let number = splat(T::from_f64(number as f64));
        let count = splat(T::from_f64(f64::from(count)));
        for hit in 0..n_hits {
            let at = self.hits[hit] as usize;
            let distance = T::vectors::<S>(&self.distances)[at];
            let noted = T::minus(simd, T::vectors::<S>(&self.reference)[at], slack);
            if T::any_less(simd, distance, noted) {
                let lanes = [distance];
                self.lower_reference(at, pulp::bytemuck::cast_slice(&lanes));
            }
            let reference = T::vectors::<S>(&self.reference)[at];
            let bits = T::times(simd, T::minus(simd, reference, distance), scale);
            let weights = T::times(simd, T::exp2(simd, bits), count);
            let n_sums = OTHERS + n_channels;
            let sums = &mut T::vectors_mut::<S>(&mut self.sums)[at * n_sums..(at + 1) * n_sums];
            sums[TOTAL] = T::plus(simd, sums[TOTAL], weights);
            sums[SPREAD] = T::mul_add(simd, weights, bits, sums[SPREAD]);
            for (sum, &value) in sums[OTHERS..].iter_mut().zip(channels) {
                *sum = T::mul_add(simd, weights, value, *sum);
            }
            let nearest = &mut T::vectors_mut::<S>(&mut self.nearest)[at];
            let patch = &mut T::vectors_mut::<S>(&mut self.nearest_patch)[at];
            *patch = T::select_lt(simd, distance, *nearest, number, *patch);
            *nearest = T::min(simd, *nearest, distance);
            T::vectors_mut::<S>(&mut self.cutoff)[at] = T::plus(simd, *nearest, width);
        }
    }
}
