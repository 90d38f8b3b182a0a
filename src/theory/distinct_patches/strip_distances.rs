//! Squared distances of the patches of one image from all query pixels of a group, from those of its strips.
//!
//! ```text
//! distinct strips of an image --squares of each at every place--> [strips, places] --h rows added up--> one patch
//! ```
//!
//! Queries are numbered along the rows of the group, so that the next row of a patch lies a fixed number of places
//! further on and a vector of neighbouring queries is one slice.

use pulp::Simd;

use super::image_table::{Group, ImageTable};
use crate::image::ImageShape;
use crate::simd::{Buffer, Lane, lane::n_lanes};
use crate::theory::cpu_kernels::PatchQuery;

/// Vectors that are computed together: each sum would wait for the one before.
pub const VECTORS: usize = 4;

/// The strips of one image at all places of one query.
pub struct StripDistances<'a, T> {
    group: &'a Group,
    shape: ImageShape,
    /// What each offset of a strip meets at each of its places, `[C w, stride]`.
    planes: Buffer<T>,
    stride: usize,
    /// Squared distances of each strip, `[strips, stride]`.
    distances: Buffer<T>,
}

impl<'a, T: Lane> StripDistances<'a, T> {
    /// No strips yet.
    pub fn new(group: &'a Group, query: &PatchQuery<'_, T>) -> Self {
        let n_lanes = n_lanes::<T>();
        let n_queries = group.n_queries().next_multiple_of(n_lanes);
        let stride = (group.rows.n_offsets - 1) * group.columns.queries.len() + n_queries;
        let stride = stride.next_multiple_of(n_lanes);
        let planes = shifted_planes(group, query, stride);
        Self { group, shape: query.shape, planes, stride, distances: Buffer::zeros(0) }
    }

    /// Computes the distances of the strips of an image of `values`, `[C, H, W]`.
    #[inline(always)]
    pub fn compute<S: Simd>(&mut self, simd: S, table: &ImageTable, values: &[f64]) {
        let Self { group, shape, planes, stride, distances } = self;
        let len = table.strips.len() * *stride;
        if distances.len() < len {
            *distances = Buffer::zeros(len);
        }
        let mut strip = Vec::with_capacity(planes.len() / *stride);
        for (&place, out) in table.strips.iter().zip(distances.chunks_exact_mut(*stride)) {
            strip.clear();
            for plane in values.chunks_exact(shape.n_pixels()) {
                let pixels = group.strip_pixels(place.into(), *shape);
                strip.extend(pixels.map(|p| T::splat(simd, T::from_f64(plane[p]))));
            }
            let (blocks, others) = T::vectors_mut::<S>(out).as_chunks_mut::<VECTORS>();
            let first_other = blocks.len() * VECTORS;
            for (at, block) in blocks.iter_mut().enumerate() {
                *block = strip_block::<S, T, VECTORS>(simd, planes, *stride, &strip, at * VECTORS);
            }
            for (at, other) in others.iter_mut().enumerate() {
                [*other] = strip_block::<S, T, 1>(simd, planes, *stride, &strip, first_other + at);
            }
        }
    }

    /// Squared distances of the patch at `place` from `N` vectors of queries, from vector `first` on.
    #[inline(always)]
    pub fn patch_block<S: Simd, const N: usize>(
        &self,
        simd: S,
        table: &ImageTable,
        place: u16,
        first: usize,
    ) -> [T::Vector<S>; N] {
        let (h, across) = (self.group.rows.n_offsets, self.group.columns.queries.len());
        let strips = table.strips_of(place, h, self.group.columns.training.len());
        let mut sums = [T::splat(simd, T::ZERO); N];
        for (o, strip) in strips.enumerate() {
            let at = strip * self.stride + o * across + first * T::n_lanes::<S>();
            let rows = T::vectors::<S>(&self.distances[at..at + N * T::n_lanes::<S>()]);
            for (sum, row) in sums.iter_mut().zip(rows) {
                *sum = T::plus(simd, *sum, *row);
            }
        }
        sums
    }
}

/// What each offset of a strip meets at each of its places, `[C w, stride]`.
fn shifted_planes<T: Lane>(group: &Group, query: &PatchQuery<'_, T>, stride: usize) -> Buffer<T> {
    let (shape, w) = (query.shape, group.columns.n_offsets);
    let across = group.columns.queries.len();
    let n_rows = group.rows.queries.len() + group.rows.n_offsets - 1;
    let first_row = shape.height + group.rows.queries.start - group.rows.before;
    let first_column = shape.width + group.columns.queries.start - group.columns.before;
    let mut planes = Buffer::zeros(shape.channels * w * stride);
    for (at, plane) in planes.chunks_exact_mut(stride).enumerate() {
        let (c, o) = (at / w, at % w);
        for (i, line) in plane.chunks_exact_mut(across).take(n_rows).enumerate() {
            let from = (c * shape.height + (first_row + i) % shape.height) * shape.width;
            for (j, to) in line.iter_mut().enumerate() {
                *to = query.x[from + (first_column + j + o) % shape.width];
            }
        }
    }
    planes
}

/// Squared distances of one strip at `N` vectors of places from vector `first` on.
#[inline(always)]
fn strip_block<S: Simd, T: Lane, const N: usize>(
    simd: S,
    planes: &[T],
    stride: usize,
    strip: &[T::Vector<S>],
    first: usize,
) -> [T::Vector<S>; N] {
    let mut sums = [T::splat(simd, T::ZERO); N];
    let places = first * T::n_lanes::<S>()..(first + N) * T::n_lanes::<S>();
    for (value, plane) in strip.iter().zip(planes.chunks_exact(stride)) {
        for (sum, x) in sums.iter_mut().zip(T::vectors::<S>(&plane[places.clone()])) {
            let difference = T::minus(simd, *x, *value);
            *sum = T::mul_add(simd, difference, difference, *sum);
        }
    }
    sums
}
