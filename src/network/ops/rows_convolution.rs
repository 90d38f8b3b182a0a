//! Same-padding convolution of one image whose channels are last ([`super::pixel_rows`]).
//!
//! ```text
//! y[p, o] = sum_{i, s} x[p + s, i] w[o, i, s]                   [P, lanes] x [depth, lanes], depth = I k k
//! ```
//!
//! Either by [`super::winograd`] or as one product whose left factor is the padded image, without copying its patches.
//! The input gradient is the same convolution with flipped weights. The weight gradient is in
//! [`super::rows_weight_gradient`].

use pulp::bytemuck;

use super::candle_numbers::Real;
use super::padded_images::{Geometry, beyond};
use super::pixel_rows::first_of;
use super::rows_bf16::{Bf16Products, Factors, PairBuffers};
use super::tensor::channels_last;
use super::winograd::{Winograd, applies};
use crate::simd::lane::n_lanes;
use crate::simd::matrix_product::{Left, PlaceTable, Right, Write, every, multiply};

/// A convolution with its weights.
pub struct RowsConvolution<T> {
    way: Way<T>,
    /// Where the output rows start.
    out_rows: PlaceTable,
    lanes_out: usize,
}

enum Way<T> {
    Winograd {
        plan: Winograd,
        weights: TransformedWeights<T>,
    },
    /// Weights `[depth, lanes]` and where their rows start.
    Direct {
        shifts: Shifts,
        weights: Vec<T>,
        weight_rows: PlaceTable,
    },
    /// A 1x1 kernel in bfloat16.
    Pointwise(Box<Rounded>),
}

/// Winograd's transformed weights, `[36, I, lanes]`.
enum TransformedWeights<T> {
    Full(Vec<T>),
    Rounded(Box<Rounded>),
}

/// Products in bfloat16 and the weights for them.
struct Rounded {
    products: Bf16Products,
    weights: Vec<u32>,
}

impl Rounded {
    /// `None` if `geometry` or the number type has no products in bfloat16, or `factors` asks for none. `weights` are
    /// `[positions, I, lanes]`.
    fn new<T: Real>(
        factors: Factors,
        geometry: &Geometry,
        plan: Option<&Winograd>,
        weights: &[T],
    ) -> Option<Box<Self>> {
        let products = rounded_products::<T>(factors, geometry, plan)?;
        Some(Box::new(Self { weights: products.weights(bytemuck::cast_slice(weights)), products }))
    }

    fn multiply<T: Real>(&self, input: &[T], buffers: &mut PairBuffers, out: &mut [T]) {
        let (input, out) = (bytemuck::cast_slice(input), bytemuck::cast_slice_mut(out));
        self.products.multiply(input, &self.weights, buffers, out);
    }
}

pub(super) fn rounded_products<T: Real>(
    factors: Factors,
    geometry: &Geometry,
    plan: Option<&Winograd>,
) -> Option<Bf16Products> {
    match factors {
        Factors::Bf16(unit) if size_of::<T>() == size_of::<f32>() => {
            Bf16Products::new(unit, geometry, plan)
        }
        _ => None,
    }
}

/// Buffers of a thread, for convolutions of any size.
#[derive(Default)]
pub struct Room<T> {
    pub(super) input: Vec<T>,
    output: Vec<T>,
    pub(super) pairs: PairBuffers,
}

impl<T: Real> RowsConvolution<T> {
    /// The convolution of `geometry` with `weight`, `[O, I, k, k]`.
    pub fn new(geometry: &Geometry, weight: &[T], factors: Factors) -> Self {
        let (depth, lanes) = (geometry.depth(), geometry.c_out.next_multiple_of(n_lanes::<T>()));
        let mut last = vec![T::ZERO; depth * lanes];
        channels_last(weight, depth, &mut last, lanes);
        Self::of_rows(geometry, last, factors)
    }

    /// The convolution that takes the output gradient of a convolution of `geometry` with `weight`, `[O, I, k, k]`, to
    /// its input gradient.
    pub fn back(geometry: &Geometry, weight: &[T], factors: Factors) -> Self {
        let (c_in, area) = (geometry.c_in, geometry.kernel * geometry.kernel);
        let lanes = c_in.next_multiple_of(n_lanes::<T>());
        let mut last = vec![T::ZERO; geometry.c_out * area * lanes];
        let channels = last.chunks_exact_mut(area * lanes).zip(weight.chunks_exact(c_in * area));
        for (rows, weight) in channels {
            for (s, row) in rows.chunks_exact_mut(lanes).enumerate() {
                let flipped = weight[area - 1 - s..].iter().step_by(area);
                row.iter_mut().zip(flipped).for_each(|(to, &w)| *to = w);
            }
        }
        Self::of_rows(&flipped_geometry(geometry), last, factors)
    }

    /// The convolution with weights `[depth, lanes]`.
    fn of_rows(geometry: &Geometry, weights: Vec<T>, factors: Factors) -> Self {
        let lanes_out = geometry.c_out.next_multiple_of(n_lanes::<T>());
        let out_rows = every(lanes_out, geometry.n_pixels());
        if applies::<T>(geometry) {
            let plan = Winograd::new::<T>(geometry);
            let weights = plan.weights_last(&weights);
            let weights = match Rounded::new(factors, geometry, Some(&plan), &weights) {
                Some(rounded) => TransformedWeights::Rounded(rounded),
                None => TransformedWeights::Full(weights),
            };
            return Self { way: Way::Winograd { plan, weights }, out_rows, lanes_out };
        }
        let way = match Rounded::new(factors, geometry, None, &weights) {
            Some(rounded) => Way::Pointwise(rounded),
            None => {
                let weight_rows = every(lanes_out, geometry.depth());
                Way::Direct { shifts: Shifts::new::<T>(geometry), weights, weight_rows }
            }
        };
        Self { way, out_rows, lanes_out }
    }

    /// Convolves `input`, `[P + 1, lanes]` with a last row of zeros, into the first P rows of `out`, `[P + 1, lanes]`;
    /// its last row means nothing.
    pub fn convolve(&self, input: &[T], room: &mut Room<T>, out: &mut [T]) {
        match &self.way {
            Way::Winograd { plan, weights } => {
                let transformed = first_of(&mut room.input, plan.input_values());
                let products = first_of(&mut room.output, plan.output_values());
                plan.input(0, input, transformed);
                match weights {
                    TransformedWeights::Full(weights) => {
                        plan.multiply(weights, transformed, products);
                    }
                    TransformedWeights::Rounded(rounded) => {
                        rounded.multiply(transformed, &mut room.pairs, products);
                    }
                }
                plan.output(products, out);
            }
            Way::Direct { shifts, weights, weight_rows } => {
                let values = shifts.pad(input, &mut room.input);
                let (rows, columns) = (shifts.pixels.all(), shifts.columns.all());
                let right = Right { values: weights, rows: weight_rows.all() };
                let out = (out, self.out_rows.all());
                let left = Left { values, rows, columns };
                multiply(Write::Overwrite, self.lanes_out, out, left, right);
            }
            Way::Pointwise(rounded) => rounded.multiply(input, &mut room.pairs, out),
        }
    }
}

/// A padded image with channels last as a factor of a product.
pub(super) struct Shifts {
    /// The pixel that each pixel of the padded image shows; `P` outside the image. Empty for a 1x1 kernel.
    shown: Vec<usize>,
    /// Where each pixel starts in the padded image.
    pub pixels: PlaceTable,
    /// Where the value that weight (i, s) sees lies, counted from there.
    pub columns: PlaceTable,
    lanes_in: usize,
}

impl Shifts {
    pub fn new<T: Real>(geometry: &Geometry) -> Self {
        let Geometry { c_in, height, width, kernel, padding, .. } = *geometry;
        let lanes_in = c_in.next_multiple_of(n_lanes::<T>());
        let (radius, stride) = (kernel / 2, width + kernel - 1);
        let inside = |at, length| beyond(at, radius, length, padding);
        let shown = |at: usize| match (inside(at / stride, height), inside(at % stride, width)) {
            (Some(y), Some(x)) => y * width + x,
            _ => height * width,
        };
        let n_shown = if kernel == 1 { 0 } else { (height + kernel - 1) * stride };
        let area = kernel * kernel;
        let shift = |s: usize| (s / kernel * stride + s % kernel) * lanes_in;
        let columns = (0..c_in * area).map(|i| shift(i % area) + i / area).collect();
        let pixels = geometry.pixel_places().into_iter().map(|place| place * lanes_in).collect();
        Self {
            shown: (0..n_shown).map(shown).collect(),
            pixels: PlaceTable::new(pixels),
            columns: PlaceTable::new(columns),
            lanes_in,
        }
    }

    /// `input` with its border, in `room`; `input` itself for a 1x1 kernel.
    pub fn pad<'a, T: Real>(&self, input: &'a [T], room: &'a mut Vec<T>) -> &'a [T] {
        if self.shown.is_empty() {
            return input;
        }
        let lanes = self.lanes_in;
        let padded = first_of(room, self.shown.len() * lanes);
        for (to, &pixel) in padded.chunks_exact_mut(lanes).zip(&self.shown) {
            to.copy_from_slice(&input[pixel * lanes..][..lanes]);
        }
        padded
    }
}

/// Weights `[O, I, S]` of the convolution that takes an output gradient to an input gradient: `[I, O, S]` with S reversed.
pub fn flip<T: Real>(weight: &[T], c_out: usize, c_in: usize, area: usize) -> Vec<T> {
    let mut flipped = Vec::with_capacity(weight.len());
    for i in 0..c_in {
        for o in 0..c_out {
            let start = (o * c_in + i) * area;
            flipped.extend(weight[start..start + area].iter().rev());
        }
    }
    flipped
}

/// The geometry of the convolution that takes an output gradient to an input gradient.
pub fn flipped_geometry(geometry: &Geometry) -> Geometry {
    Geometry { c_in: geometry.c_out, c_out: geometry.c_in, ..*geometry }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use candle_core::WithDType;

    use super::*;
    use crate::network::network_config::Padding;
    use crate::network::ops::rows_weight_gradient::{RowsWeightGradient, WeightSums};
    use crate::network::ops::tensor::channels_first;
    use crate::network::ops::tensor::check::pseudo_random;
    use crate::simd::bf16::Bf16Instructions;

    /// The convolution of an image and the weight gradient, in `T`.
    fn both<T: Real>(geometry: &Geometry, factors: Factors) -> [Vec<f64>; 2] {
        let values = |n: usize, seed: u64| -> Vec<T> {
            let values = pseudo_random(&[n], seed).to_vec1::<f64>().unwrap();
            values.into_iter().map(T::number).collect()
        };
        let lanes = |channels: usize| channels.next_multiple_of(n_lanes::<T>());
        let (n, lanes_out) = (geometry.n_pixels(), lanes(geometry.c_out));
        let last = |channels: usize, seed: u64| {
            let mut last = vec![T::ZERO; (n + 1) * lanes(channels)];
            channels_last(&values(channels * n, seed), n, &mut last, lanes(channels));
            last
        };
        let weight = values(geometry.c_out * geometry.depth(), 1);
        let (input, dy) = (last(geometry.c_in, 2), last(geometry.c_out, 3));
        let (mut room, mut out) = (Room::default(), vec![T::ZERO; (n + 1) * lanes_out]);
        RowsConvolution::new(geometry, &weight, factors).convolve(&input, &mut room, &mut out);
        let mut first = vec![T::ZERO; geometry.n_out()];
        channels_first(&out, n, lanes_out, &mut first);
        let gradient = RowsWeightGradient::new::<T>(geometry, factors);
        let mut sums = WeightSums::default();
        gradient.start(&mut sums);
        gradient.add(&input, &dy, &mut room, &mut sums);
        let mut of_weights = vec![T::ZERO; weight.len()];
        let last = gradient.finish(&mut room, &mut sums);
        channels_first(&last, geometry.depth(), lanes_out, &mut of_weights);
        [first, of_weights].map(|v| v.into_iter().map(<T as WithDType>::to_f64).collect())
    }

    /// The root mean square of the differences, relative to that of the exact values.
    fn error(found: &[f64], exact: &[f64]) -> f64 {
        let squares = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
        let gaps = squares(&mut found.iter().zip(exact).map(|(a, b)| a - b));
        (gaps / squares(&mut exact.iter().copied())).sqrt()
    }

    /// c_in, c_out, height, width, kernel
    const SHAPES: [[usize; 5]; 6] = [
        [64, 64, 18, 18, 3],
        [17, 33, 20, 13, 3],
        [16, 16, 6, 6, 3],
        [64, 64, 18, 18, 1],
        [19, 40, 3, 5, 1],
        [3, 64, 9, 8, 3],
    ];

    /// The largest error over all shapes in single precision, against direct convolutions in double.
    fn worst(factors: Factors) -> f64 {
        let mut worst = 0.0_f64;
        for [c_in, c_out, height, width, kernel] in SHAPES {
            for padding in [Padding::Zeros, Padding::Circular] {
                let geometry = Geometry { c_in, c_out, height, width, kernel, padding };
                let exact = both::<f64>(&geometry, Factors::Full);
                for (found, exact) in both::<f32>(&geometry, factors).iter().zip(&exact) {
                    worst = worst.max(error(found, exact));
                }
            }
        }
        worst
    }

    #[test]
    fn single_precision_is_off_by_less_than_two_millionths() {
        let worst = worst(Factors::Full);
        assert!(worst < 2e-6, "{worst}");
    }

    #[test]
    fn bfloat16_factors_are_off_by_less_than_two_hundredths() {
        let unit = match Bf16Instructions::detect() {
            Ok(unit) => unit,
            Err(reason) => {
                let _ = writeln!(std::io::stderr(), "SKIPPED bfloat16 factors: {reason}");
                return;
            }
        };
        let worst = worst(Factors::Bf16(unit));
        assert!(worst > 1e-4, "nothing is rounded: {worst}");
        assert!(worst < 2e-2, "{worst}");
    }
}
