//! All gradients of a convolution in one pass over the images.
//!
//! The weight gradient sums images in fixed groups, so its bits do not depend on the number of threads. It has the
//! output channels in vector lanes: `dw^T [depth, O] = [depth, pixels] x [pixels, O]`, where the left factor is the
//! padded image without copying.

use rayon::prelude::*;

use super::convolution_operands::{Biases, Tables};
use super::padded::{Geometry, pad};
use super::real::Real;
use super::tensor::transpose;
use crate::simd::lane::n_lanes;
use crate::simd::product::{Left, Right, Write, every, multiply};

/// Where the gradient passes the activation.
#[derive(Clone, Copy)]
pub enum Active<'a, T> {
    Everywhere,
    /// Where these are above zero.
    Above(&'a [T]),
    /// Where these are true; besides, the residual passes everywhere.
    Saved(&'a [bool]),
}

/// Inputs of the gradients of a convolution.
pub struct Known<'a, T> {
    pub x: &'a [T],
    pub weight: &'a [T],
    pub biases: Biases<'a, T>,
    pub dout: &'a [T],
    pub is_active: Active<'a, T>,
    pub geometry: Geometry,
    pub wants_dx: bool,
}

/// The gradients; `dx` is empty if it is not needed.
pub struct Gradients<T> {
    pub dx: Vec<T>,
    pub dw: Vec<T>,
    pub dbiases: Vec<T>,
}

/// Number of groups of images whose weight gradients are summed separately: enough for the threads of a small host, few
/// to add up, and a function of the batch size alone.
fn n_groups(batch: usize) -> usize {
    const GROUPS_MAX: usize = 16;
    batch.div_ceil(2).min(GROUPS_MAX)
}

/// Gradients of the loss with respect to the input, weights and biases of a convolution.
pub fn backward<T: Real>(known: &Known<'_, T>) -> Gradients<T> {
    let Known { geometry, biases, .. } = known;
    let (c_in, c_out, depth) = (geometry.c_in, geometry.c_out, geometry.depth());
    let (n_in, n_out) = (geometry.n_in(), geometry.n_out());
    let batch = known.x.len() / n_in;
    let wants_dx = known.wants_dx || !biases.before.is_empty();
    let back = Back::new(known);
    let mut dx = vec![T::ZERO; if wants_dx { known.x.len() } else { 0 }];
    let mut dbiases = vec![T::ZERO; c_out + biases.before.len()];
    let (dafter, dbefore) = dbiases.split_at_mut(c_out);
    let per_group = batch.div_ceil(n_groups(batch));
    let n_groups = batch.div_ceil(per_group);
    let mut dx_groups: Vec<&mut [T]> = dx.chunks_mut(per_group * n_in).collect();
    dx_groups.resize_with(n_groups, Default::default);
    let mut dbefore_groups: Vec<&mut [T]> = dbefore.chunks_mut(per_group * c_in).collect();
    dbefore_groups.resize_with(n_groups, Default::default);
    let groups = dx_groups.into_par_iter().zip(dbefore_groups).enumerate();
    let sums: Vec<Sums<T>> = groups
        .map_init(
            || Room::new(geometry, &back),
            |room, (group, (dx, dbefore))| {
                let mut sums = Sums::new(geometry, back.lanes);
                let last = (group + 1) * per_group;
                for (i, index) in (group * per_group..last.min(batch)).enumerate() {
                    room.take_gradient(known, index);
                    sums.take_in(room, known, &back, index);
                    if !dx.is_empty() {
                        let dx = &mut dx[i * n_in..][..n_in];
                        room.input_gradient(known, &back, dx);
                        if !dbefore.is_empty() {
                            let sums = dbefore[i * c_in..][..c_in].iter_mut();
                            let planes = dx.chunks_exact(geometry.n_pixels());
                            sums.zip(planes).for_each(|(s, plane)| *s = sum(plane));
                        }
                        if matches!(known.is_active, Active::Saved(_)) {
                            let dout = &known.dout[index * n_out..][..n_out];
                            dx.iter_mut().zip(dout).for_each(|(dx, &dout)| *dx += dout);
                        }
                    }
                }
                sums
            },
        )
        .collect();
    let mut total = vec![T::ZERO; depth * back.lanes];
    for group in sums {
        total.iter_mut().zip(&group.dw).for_each(|(total, &v)| *total += v);
        dafter.iter_mut().zip(&group.dafter).for_each(|(total, &v)| *total += v);
    }
    let mut dw = vec![T::ZERO; c_out * depth];
    for (row, values) in total.chunks_exact(back.lanes).enumerate() {
        values[..c_out].iter().enumerate().for_each(|(o, &v)| dw[o * depth + row] = v);
    }
    Gradients { dx, dw, dbiases }
}

/// What the gradients of all images share.
struct Back<T> {
    /// The convolution that takes `dy` to `dx`.
    geometry: Geometry,
    tables: Tables,
    /// `[I, O, S]` with S reversed.
    flipped: Vec<T>,
    /// Output channels rounded up to full vectors: in the weight gradient they are in the lanes.
    lanes: usize,
    pixels: Vec<usize>,
    shifts: Vec<usize>,
    sum_rows: Vec<usize>,
    last_rows: Vec<usize>,
}

impl<T: Real> Back<T> {
    fn new(known: &Known<'_, T>) -> Self {
        let forth = &known.geometry;
        let geometry = Geometry { c_in: forth.c_out, c_out: forth.c_in, ..*forth };
        let area = forth.kernel * forth.kernel;
        let lanes = forth.c_out.next_multiple_of(n_lanes::<T>());
        Self {
            tables: Tables::new(&geometry),
            flipped: flip(known.weight, forth.c_out, forth.c_in, area),
            lanes,
            pixels: forth.pixel_places(),
            shifts: forth.shifted_rows(),
            sum_rows: every(lanes, forth.depth()),
            last_rows: every(lanes, forth.n_pixels()),
            geometry,
        }
    }
}

/// Sums over one group of images.
struct Sums<T> {
    /// `[depth, lanes]`
    dw: Vec<T>,
    /// `[O]`
    dafter: Vec<T>,
}

impl<T: Real> Sums<T> {
    fn new(geometry: &Geometry, lanes: usize) -> Self {
        let dw = vec![T::ZERO; geometry.depth() * lanes];
        Self { dw, dafter: vec![T::ZERO; geometry.c_out] }
    }

    /// Adds the part of image `index`, whose output gradient is in `room`.
    fn take_in(&mut self, room: &mut Room<T>, known: &Known<'_, T>, back: &Back<T>, index: usize) {
        let geometry = &known.geometry;
        let planes = room.dy.chunks_exact(geometry.n_pixels());
        self.dafter.iter_mut().zip(planes).for_each(|(total, plane)| *total += sum(plane));
        transpose(&room.dy, geometry.n_pixels(), &mut room.dy_last, back.lanes);
        let image = &known.x[index * geometry.n_in()..][..geometry.n_in()];
        let addend = known.biases.before(index, geometry.c_in);
        let values = pad(image, addend, geometry, &mut room.padded);
        let left = Left { values, rows: &back.shifts, columns: &back.pixels };
        let right = Right { values: &room.dy_last, rows: &back.last_rows };
        multiply(Write::Add, back.lanes, (&mut self.dw, &back.sum_rows), left, right);
    }
}

/// Buffers of a thread for one image at a time.
struct Room<T> {
    /// The gradient before the activation, and the same with channels last.
    dy: Vec<T>,
    dy_last: Vec<T>,
    padded: Vec<T>,
    padded_back: Vec<T>,
    wide: Vec<T>,
}

impl<T: Real> Room<T> {
    fn new(forth: &Geometry, back: &Back<T>) -> Self {
        let (lanes, back) = (back.lanes, &back.geometry);
        Self {
            dy: vec![T::ZERO; forth.n_out()],
            dy_last: vec![T::ZERO; forth.n_pixels() * lanes],
            padded: vec![T::ZERO; forth.padded_values()],
            padded_back: vec![T::ZERO; back.padded_values()],
            wide: vec![T::ZERO; back.c_out * back.padded_run()],
        }
    }

    /// Stores the output gradient of image `index` before the activation.
    fn take_gradient(&mut self, known: &Known<'_, T>, index: usize) {
        let n_out = known.geometry.n_out();
        let this = index * n_out..(index + 1) * n_out;
        self.dy.copy_from_slice(&known.dout[this.clone()]);
        match known.is_active {
            Active::Everywhere => {}
            Active::Above(out) => {
                let values = self.dy.iter_mut().zip(&out[this]);
                values.for_each(|(dy, &y)| *dy = if y > T::ZERO { *dy } else { T::ZERO });
            }
            Active::Saved(saved) => {
                let values = self.dy.iter_mut().zip(&saved[this]);
                values.for_each(|(dy, &active)| *dy = if active { *dy } else { T::ZERO });
            }
        }
    }

    fn input_gradient(&mut self, known: &Known<'_, T>, back: &Back<T>, dx: &mut [T]) {
        let run = back.geometry.padded_run();
        let padded = pad(&self.dy, &[], &back.geometry, &mut self.padded_back);
        back.tables.convolve(&back.flipped, padded, run, &mut self.wide);
        let planes = dx.chunks_exact_mut(known.geometry.n_pixels());
        let runs = self.wide.chunks_exact(run);
        runs.zip(planes).for_each(|(run, plane)| back.geometry.narrow(run, plane));
    }
}

/// A sum in eight interleaved parts: a fixed order that becomes vector instructions.
fn sum<T: Real>(values: &[T]) -> T {
    let mut parts = [T::ZERO; 8];
    let mut chunks = values.chunks_exact(8);
    for chunk in &mut chunks {
        parts.iter_mut().zip(chunk).for_each(|(part, &v)| *part += v);
    }
    let rest = chunks.remainder().iter().fold(T::ZERO, |total, &v| total + v);
    parts.into_iter().fold(rest, |a, b| a + b)
}

/// `[O, I, S]` to `[I, O, S]` with S reversed.
fn flip<T: Real>(weight: &[T], c_out: usize, c_in: usize, area: usize) -> Vec<T> {
    let mut flipped = Vec::with_capacity(weight.len());
    for i in 0..c_in {
        for o in 0..c_out {
            let start = (o * c_in + i) * area;
            flipped.extend(weight[start..start + area].iter().rev());
        }
    }
    flipped
}
