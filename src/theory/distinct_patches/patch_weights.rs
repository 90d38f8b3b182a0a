//! The inner loops over distinct patches: distances of a vector of query pixels, and sums of weights.
//!
//! The squared distance of a patch is the sum over its rows of those of its strips, which are computed first, for every
//! query row. Query pixels of a group are numbered along its rows, so that the next row of a patch lies a fixed number
//! of places further on and a vector of neighbouring queries is one slice.

use pulp::{Arch, Simd, WithSimd};

use super::patch_table::{Entry, GroupTable};
use crate::simd::{Buffer, Lane, lane::n_lanes};
use crate::theory::cpu_kernels::PatchQuery;
use crate::theory::cpu_kernels::posterior::{OTHERS, SPREAD, TOTAL, pruned_nats};

/// Entries after which sums are moved to doubles, in which small terms are not lost.
const FLUSH_AFTER: usize = if cfg!(test) { 16 } else { 256 };

/// One query against the patches of one group.
pub struct GroupQuery<'a, T> {
    pub table: &'a GroupTable,
    logit_scale: f64,
    /// Squared distances of every strip, `[strips, stride]`.
    distances: Buffer<T>,
    stride: usize,
    /// [`GroupTable::centres`].
    centres: Vec<T>,
}

/// Sums of weights of the query pixels of one vector, in doubles; see [`crate::theory::posterior_weights`].
#[derive(Clone, Debug)]
pub struct LaneSums {
    n_lanes: usize,
    /// Squared distance of the nearest patch, `[lanes]`.
    pub nearest: Vec<f64>,
    /// The entry with that patch, `[lanes]`.
    pub best: Vec<usize>,
    /// Sum of weights, of weights times bits, and of weights times the values of each channel, `[2 + C, lanes]`.
    sums: Vec<f64>,
}

impl LaneSums {
    /// Sum of weights of `lane`, relative to that of the nearest patch.
    pub fn total(&self, lane: usize) -> f64 {
        self.sums[TOTAL * self.n_lanes + lane]
    }

    /// Sum of weights times nats of `lane`, at most 0.
    pub fn spread(&self, lane: usize) -> f64 {
        self.sums[SPREAD * self.n_lanes + lane] * std::f64::consts::LN_2
    }

    /// Sum of weights times the values of channel `c`.
    pub fn sum(&self, lane: usize, c: usize) -> f64 {
        self.sums[(OTHERS + c) * self.n_lanes + lane]
    }
}

impl<'a, T: Lane> GroupQuery<'a, T> {
    /// Computes the distances of all strips.
    pub fn new(table: &'a GroupTable, query: &PatchQuery<'_, T>) -> Self {
        let (h, across) = (table.rows.n_offsets, table.columns.queries.len());
        let stride = (h - 1) * across + table.n_queries().next_multiple_of(n_lanes::<T>());
        let stride = stride.next_multiple_of(n_lanes::<T>());
        let w = table.columns.n_offsets;
        let n_strips = table.strips.len() / (w * query.shape.channels);
        let mut all = Self {
            table,
            logit_scale: query.logit_scale,
            distances: Buffer::zeros(n_strips * stride),
            stride,
            centres: table.centres.iter().map(|v| T::from_f64(*v)).collect(),
        };
        let planes = all.shifted_planes(query);
        Arch::new().dispatch(Strips {
            planes: &planes,
            strips: &table.strips,
            distances: &mut all.distances,
            stride,
        });
        all
    }

    /// What each offset of a strip meets at each of its places, `[C, w, stride]`.
    fn shifted_planes(&self, query: &PatchQuery<'_, T>) -> Buffer<T> {
        let shape = query.shape;
        let (rows, columns) = (&self.table.rows, &self.table.columns);
        let (w, across) = (columns.n_offsets, columns.queries.len());
        let mut planes = Buffer::zeros(shape.channels * w * self.stride);
        let first_row = shape.height + rows.queries.start - rows.before;
        let first_column = shape.width + columns.queries.start - columns.before;
        for (at, plane) in planes.chunks_exact_mut(self.stride).enumerate() {
            let (c, o) = (at / w, at % w);
            let lines = plane.chunks_exact_mut(across);
            for (i, line) in lines.take(rows.queries.len() + rows.n_offsets - 1).enumerate() {
                let from = (c * shape.height + (first_row + i) % shape.height) * shape.width;
                for (j, to) in line.iter_mut().enumerate() {
                    *to = query.x[from + (first_column + j + o) % shape.width];
                }
            }
        }
        planes
    }

    /// Vectors of query pixels.
    pub fn n_vectors(&self) -> usize {
        self.table.n_queries().div_ceil(n_lanes::<T>())
    }

    /// The squared distances of every patch from the queries of vector `at`, `[K, lanes]`.
    pub fn distances(&self, at: usize) -> Buffer<T> {
        let mut out = Buffer::zeros(self.table.n_patches() * n_lanes::<T>());
        Arch::new().dispatch(PatchDistances { query: self, at, out: &mut out });
        out
    }

    /// Sums without entries.
    pub fn no_sums(&self) -> LaneSums {
        let n_lanes = n_lanes::<T>();
        LaneSums {
            n_lanes,
            nearest: Vec::with_capacity(n_lanes),
            best: Vec::with_capacity(n_lanes),
            sums: vec![0.0; (OTHERS + self.n_channels()) * n_lanes],
        }
    }

    fn n_channels(&self) -> usize {
        self.centres.len() / self.table.n_patches()
    }

    /// Replaces `sums` by those of the weights of `entries` over `distances`, `[K, lanes]`; `n_compared` is the number of
    /// patches that they stand for.
    pub fn weigh(
        &self,
        distances: &[T],
        entries: &[Entry],
        n_compared: usize,
        sums: &mut LaneSums,
    ) {
        sums.nearest.clear();
        sums.best.clear();
        sums.sums.fill(0.0);
        Arch::new().dispatch(Weigh {
            distances,
            entries,
            centres: &self.centres,
            n_channels: self.n_channels(),
            logit_scale: self.logit_scale,
            width: T::from_f64(pruned_nats::<T>(n_compared) / self.logit_scale),
            sums,
        });
    }
}

/// Squared distances of strips.
struct Strips<'a, T> {
    planes: &'a [T],
    strips: &'a [f64],
    distances: &'a mut [T],
    stride: usize,
}

impl<T: Lane> WithSimd for Strips<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let n_values = self.planes.len() / self.stride;
        let strips = self.strips.chunks_exact(n_values);
        for (strip, distances) in strips.zip(self.distances.chunks_exact_mut(self.stride)) {
            for (value, plane) in strip.iter().zip(self.planes.chunks_exact(self.stride)) {
                let value = T::splat(simd, T::from_f64(*value));
                let pairs = T::vectors_mut::<S>(distances).iter_mut();
                for (sum, x) in pairs.zip(T::vectors::<S>(plane)) {
                    let difference = T::minus(simd, *x, value);
                    *sum = T::mul_add(simd, difference, difference, *sum);
                }
            }
        }
    }
}

struct PatchDistances<'a, T> {
    query: &'a GroupQuery<'a, T>,
    at: usize,
    out: &'a mut [T],
}

impl<T: Lane> WithSimd for PatchDistances<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let GroupQuery { table, distances, stride, .. } = self.query;
        let (h, across) = (table.rows.n_offsets, table.columns.queries.len());
        let (first, n_lanes) = (self.at * T::n_lanes::<S>(), T::n_lanes::<S>());
        let patches = table.patches.chunks_exact(h);
        for (patch, out) in patches.zip(T::vectors_mut::<S>(self.out)) {
            let mut sum = T::splat(simd, T::ZERO);
            let mut row = first;
            for strip in patch {
                let at = *strip as usize * stride + row;
                sum = T::plus(simd, sum, T::vectors::<S>(&distances[at..at + n_lanes])[0]);
                row += across;
            }
            *out = sum;
        }
    }
}

struct Weigh<'a, T> {
    distances: &'a [T],
    entries: &'a [Entry],
    centres: &'a [T],
    n_channels: usize,
    logit_scale: f64,
    /// A patch is skipped if it is farther than the nearest by more than this squared distance.
    width: T,
    sums: &'a mut LaneSums,
}

impl<T: Lane> WithSimd for Weigh<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.n_channels {
            1 => self.channels::<S, 1>(simd),
            3 => self.channels::<S, 3>(simd),
            _ => self.channels::<S, 0>(simd),
        }
    }
}

impl<T: Lane> Weigh<'_, T> {
    /// `C` is the number of channels, or 0 for any.
    #[inline(always)]
    fn channels<S: Simd, const C: usize>(self, simd: S) {
        let n_channels = if C == 0 { self.n_channels } else { C };
        let splat = |value: f64| T::splat(simd, T::from_f64(value));
        let zero = splat(0.0);
        let distances = T::vectors::<S>(self.distances);
        let nearest = self.nearest(simd, distances);
        let cutoff = T::plus(simd, nearest, T::splat(simd, self.width));
        let scale = splat(self.logit_scale * std::f64::consts::LOG2_E);
        let mut best = zero;
        let (mut total, mut spread) = (zero, zero);
        // Arrays of known length stay in registers.
        let mut few = [zero; C];
        let mut any = vec![zero; if C == 0 { n_channels } else { 0 }];
        let mut n_unflushed = 0;
        // From the last to the first, which is then the best of those at the same distance.
        for (at, entry) in self.entries.iter().enumerate().rev() {
            let patch = entry.patch as usize;
            let distance = distances[patch];
            if !T::any_within(simd, distance, cutoff) {
                continue;
            }
            best = T::select_lt(simd, nearest, distance, best, splat(at as f64));
            let bits = T::times(simd, T::minus(simd, nearest, distance), scale);
            let weights = T::times(simd, T::exp2(simd, bits), splat(f64::from(entry.count)));
            let values = &self.centres[patch * n_channels..(patch + 1) * n_channels];
            total = T::plus(simd, total, weights);
            spread = T::mul_add(simd, weights, bits, spread);
            let sums = if C == 0 { &mut any[..] } else { &mut few[..] };
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum = T::mul_add(simd, weights, T::splat(simd, *value), *sum);
            }
            n_unflushed += 1;
            if n_unflushed == FLUSH_AFTER {
                let sums = if C == 0 { any.clone() } else { few.to_vec() };
                add_to_doubles::<T, _>([total, spread], &sums, &mut self.sums.sums);
                (total, spread, few, n_unflushed) = (zero, zero, [zero; C], 0);
                any.fill(zero);
            }
        }
        let copy = few;
        let sums = if C == 0 { &any[..] } else { &copy[..] };
        add_to_doubles::<T, _>([total, spread], sums, &mut self.sums.sums);
        let lanes = pulp::bytemuck::cast_slice::<_, T>(std::slice::from_ref(&nearest));
        self.sums.nearest.extend(lanes.iter().map(|v| v.to_f64()));
        let lanes = pulp::bytemuck::cast_slice::<_, T>(std::slice::from_ref(&best));
        self.sums.best.extend(lanes.iter().map(|v| v.to_f64() as usize));
    }

    /// The least distance.
    #[inline(always)]
    fn nearest<S: Simd>(&self, simd: S, distances: &[T::Vector<S>]) -> T::Vector<S> {
        // Four at a time: each minimum would wait for the one before.
        let mut nearest = [T::splat(simd, T::INFINITY); 4];
        let (fours, others) = self.entries.as_chunks::<4>();
        for four in fours {
            for (nearest, entry) in nearest.iter_mut().zip(four) {
                *nearest = T::min(simd, *nearest, distances[entry.patch as usize]);
            }
        }
        for entry in others {
            nearest[0] = T::min(simd, nearest[0], distances[entry.patch as usize]);
        }
        let [a, b, c, d] = nearest;
        T::min(simd, T::min(simd, a, b), T::min(simd, c, d))
    }
}

/// Adds vectors of sums, [`TOTAL`], [`SPREAD`] and those of the channels, to doubles.
fn add_to_doubles<T: Lane, V: pulp::bytemuck::Pod>(
    total_and_spread: [V; OTHERS],
    channels: &[V],
    to: &mut [f64],
) {
    let lanes = |sums| pulp::bytemuck::cast_slice::<V, T>(sums).iter().map(|lane| lane.to_f64());
    let all = lanes(&total_and_spread[..]).chain(lanes(channels));
    to.iter_mut().zip(all).for_each(|(to, lane)| *to += lane);
}
