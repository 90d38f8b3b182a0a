//! All gradients of a convolution in one pass over the images.
//!
//! The weight gradient sums images in fixed groups, so its bits do not depend on the number of threads. It has the
//! output channels in vector lanes: `dw^T [depth, O] = [depth, pixels] x [pixels, O]`, where the left factor is the
//! padded image without copying; or by [`super::winograd`].

use rayon::prelude::*;

use super::candle_numbers::Real;
use super::convolution_operands::Biases;
use super::image_convolution::{self, ImageConvolution};
use super::padded_images::{Geometry, pad};
use super::rows_convolution::{flip, flipped_geometry};
use super::spare_buffers::SpareBuffers;
use super::tensor::channels_last;
use super::winograd::{Winograd, applies};
use crate::simd::lane::n_lanes;
use crate::simd::matrix_product::{Left, PlaceTable, Right, Write, every, multiply};

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
pub fn n_groups(batch: usize) -> usize {
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
    let flipped = flip(known.weight, c_out, c_in, geometry.kernel * geometry.kernel);
    let back = Back::new(geometry, &flipped);
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
    let spare = SpareBuffers::default();
    let sums: Vec<Sums<T>> = groups
        .map(|(group, (dx, dbefore))| {
            spare.with(
                || Room::new(geometry, &back),
                |room| {
                    let mut sums = Sums::new(geometry, &back);
                    let last = (group + 1) * per_group;
                    for (i, index) in (group * per_group..last.min(batch)).enumerate() {
                        room.take_gradient(known, index);
                        sums.take_in(room, known, &back, index);
                        if !dx.is_empty() {
                            let dx = &mut dx[i * n_in..][..n_in];
                            back.input.convolve_last(&room.dy, &room.dy_last, &mut room.back, dx);
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
                    if let Some(plan) = &back.winograd {
                        sums.dw = plan.weight_gradient(&sums.dw);
                    }
                    sums
                },
            )
        })
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
struct Back<'a, T> {
    /// The convolution that takes `dy` to `dx`.
    input: ImageConvolution<'a, T>,
    /// For the weight gradient, if it is computed so.
    winograd: Option<Winograd>,
    /// Output channels rounded up to full vectors: in the weight gradient they are in the lanes.
    lanes: usize,
    /// Values of the sums of a group for the weight gradient.
    sum_values: usize,
    pixels: PlaceTable,
    shifts: PlaceTable,
    sum_rows: PlaceTable,
    last_rows: PlaceTable,
}

impl<'a, T: Real> Back<'a, T> {
    /// `flipped` are the weights `[I, O, S]` with S reversed.
    fn new(forth: &Geometry, flipped: &'a [T]) -> Self {
        let geometry = flipped_geometry(forth);
        let lanes = forth.c_out.next_multiple_of(n_lanes::<T>());
        let winograd = applies::<T>(forth).then(|| Winograd::new::<T>(forth));
        let winograd = winograd.filter(Winograd::pays_for_weights);
        Self {
            input: ImageConvolution::new(&geometry, flipped),
            lanes,
            sum_values: winograd.as_ref().map_or(forth.depth() * lanes, Winograd::weight_values),
            winograd,
            pixels: PlaceTable::new(forth.pixel_places()),
            shifts: PlaceTable::new(forth.shifted_rows()),
            sum_rows: every(lanes, forth.depth()),
            last_rows: every(lanes, forth.n_pixels()),
        }
    }
}

/// Sums over one group of images.
struct Sums<T> {
    /// `[depth, lanes]`, or what [`Winograd::weight_gradient`] takes.
    dw: Vec<T>,
    /// `[O]`
    dafter: Vec<T>,
}

impl<T: Real> Sums<T> {
    fn new(geometry: &Geometry, back: &Back<'_, T>) -> Self {
        Self { dw: vec![T::ZERO; back.sum_values], dafter: vec![T::ZERO; geometry.c_out] }
    }

    /// Adds the part of image `index`, whose output gradient is in `room`.
    fn take_in(
        &mut self,
        room: &mut Room<T>,
        known: &Known<'_, T>,
        back: &Back<'_, T>,
        index: usize,
    ) {
        let geometry = &known.geometry;
        let n_pixels = geometry.n_pixels();
        let planes = room.dy.chunks_exact(n_pixels);
        self.dafter.iter_mut().zip(planes).for_each(|(total, plane)| *total += sum(plane));
        channels_last(&room.dy, n_pixels, &mut room.dy_last, back.lanes);
        let image = &known.x[index * geometry.n_in()..][..geometry.n_in()];
        let addend = known.biases.before(index, geometry.c_in);
        if let Some(plan) = &back.winograd {
            plan.input_last(image, addend, &mut room.input);
            plan.input(0, &room.input, &mut room.transformed);
            plan.output_gradient(0, &room.dy_last, &mut room.dy_transformed);
            let factors = [&room.transformed[..], &room.dy_transformed];
            plan.weight_products(Write::Add, 1, factors, &mut self.dw);
            return;
        }
        let values = pad(image, addend, geometry, &mut room.input);
        let left = Left { values, rows: back.shifts.all(), columns: back.pixels.all() };
        let right = Right { values: &room.dy_last, rows: back.last_rows.all() };
        multiply(Write::Add, back.lanes, (&mut self.dw, back.sum_rows.all()), left, right);
    }
}

/// Buffers of a thread for one image at a time.
struct Room<T> {
    /// The gradient before the activation, and the same with channels last, `[P + 1, lanes]` (the last row stays 0).
    dy: Vec<T>,
    dy_last: Vec<T>,
    /// The input, padded or with channels last; transformed input and gradient, if there are any.
    input: Vec<T>,
    transformed: Vec<T>,
    dy_transformed: Vec<T>,
    back: image_convolution::Room<T>,
}

impl<T: Real> Room<T> {
    fn new(forth: &Geometry, back: &Back<'_, T>) -> Self {
        let values = |of_plan: fn(&Winograd) -> usize, direct: usize| {
            vec![T::ZERO; back.winograd.as_ref().map_or(direct, of_plan)]
        };
        Self {
            dy: vec![T::ZERO; forth.n_out()],
            dy_last: vec![T::ZERO; (forth.n_pixels() + 1) * back.lanes],
            input: values(Winograd::last_in, forth.padded_values()),
            transformed: values(Winograd::input_values, 0),
            dy_transformed: values(Winograd::output_values, 0),
            back: back.input.room(),
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
}

/// A sum in eight interleaved parts: a fixed order that becomes vector instructions.
pub fn sum<T: Real>(values: &[T]) -> T {
    let mut parts = [T::ZERO; 8];
    let mut chunks = values.chunks_exact(8);
    for chunk in &mut chunks {
        parts.iter_mut().zip(chunk).for_each(|(part, &v)| *part += v);
    }
    let rest = chunks.remainder().iter().fold(T::ZERO, |total, &v| total + v);
    parts.into_iter().fold(rest, |a, b| a + b)
}
