//! The products of [`super::rows_convolution`] with factors rounded to bfloat16 and sums in single precision.
//!
//! ```text
//! products[s] = input[s] weights[s]            [n, I] x [I, lanes] at each position s; k = channels in pairs
//! sums[s] += input[s]^T gradient[s]            [I, n] x [n, lanes]                     k = rows in pairs
//! ```
//!
//! For Winograd there are 36 positions whose rows are tiles; for a 1x1 kernel there is one, whose rows are pixels.

use super::padded_images::Geometry;
use super::pixel_rows::first_of;
use super::winograd::Winograd;
use crate::simd::bf16::{Bf16Instructions, LANES};
use crate::simd::matrix_product::{Left, PlaceTable, Right, Write, every};

/// The number format of the factors of a convolution's products; sums are in the format of the input.
#[derive(Clone, Copy, Debug)]
pub enum Factors {
    /// That of the input.
    Full,
    /// bfloat16, in convolutions that [`Bf16Products::new`] accepts and that are in single precision.
    Bf16(Bf16Instructions),
}

/// Sizes and tables of the products of one convolution.
pub struct Bf16Products {
    unit: Bf16Instructions,
    lanes_in: usize,
    lanes_out: usize,
    c_in: usize,
    pairs_in: usize,
    n_rows: usize,
    /// Values from one position to the next.
    input_stride: usize,
    output_stride: usize,
    weight_stride: usize,
    // Where rows start: of pairs of neighbouring channels, of the output, of (pairs of) weights and rows.
    pair_rows: PlaceTable,
    channels: PlaceTable,
    output_rows: PlaceTable,
    weight_pairs: PlaceTable,
    input_pairs: PlaceTable,
    output_pairs: PlaceTable,
    channels_in: PlaceTable,
    weight_rows: PlaceTable,
}

/// Buffers of a thread for rounded factors.
#[derive(Default)]
pub struct PairBuffers {
    input: Vec<u32>,
    output: Vec<u32>,
}

impl Bf16Products {
    /// The products of a convolution of `geometry`, with `plan` if that is Winograd's; `None` if it is neither that nor
    /// has a 1x1 kernel, or has so few channels that the vectors would be mostly empty.
    pub fn new(
        unit: Bf16Instructions,
        geometry: &Geometry,
        plan: Option<&Winograd>,
    ) -> Option<Self> {
        let Geometry { c_in, c_out, kernel, .. } = *geometry;
        let is_wide = c_in.min(c_out) >= LANES;
        let [lanes_in, lanes_out] = [c_in, c_out].map(|channels| channels.next_multiple_of(LANES));
        let (n_rows, [input_stride, output_stride, weight_stride]) = match plan {
            Some(plan) => {
                (plan.n_tiles(), [plan.input_stride(), plan.output_stride(), plan.weight_stride()])
            }
            None if kernel == 1 && is_wide => {
                let n = geometry.n_pixels();
                (n, [n * lanes_in, n * lanes_out, c_in * lanes_out])
            }
            _ => return None,
        };
        let (pairs_in, row_pairs) = (c_in.div_ceil(2), n_rows.div_ceil(2));
        Some(Self {
            unit,
            lanes_in,
            lanes_out,
            c_in,
            pairs_in,
            n_rows,
            input_stride,
            output_stride,
            weight_stride,
            pair_rows: every(lanes_in / 2, n_rows),
            channels: every(1, pairs_in),
            output_rows: every(lanes_out, n_rows),
            weight_pairs: every(lanes_out, pairs_in),
            input_pairs: every(lanes_in, row_pairs),
            output_pairs: every(lanes_out, row_pairs),
            channels_in: every(1, c_in),
            weight_rows: every(lanes_out, c_in),
        })
    }

    /// Weights `[positions, I, lanes]`, rounded: `[positions, I / 2, lanes]` pairs.
    pub fn weights(&self, weights: &[f32]) -> Vec<u32> {
        let stride = self.pairs_in * self.lanes_out;
        let mut pairs = vec![0; weights.len() / self.weight_stride * stride];
        let n = self.c_in * self.lanes_out;
        let positions = weights.chunks_exact(self.weight_stride);
        for (weights, pairs) in positions.zip(pairs.chunks_exact_mut(stride)) {
            self.pair_rows(&weights[..n], pairs, self.lanes_out);
        }
        pairs
    }

    /// Rows of `lanes` values, two at a time.
    fn pair_rows(&self, rows: &[f32], pairs: &mut [u32], lanes: usize) {
        for (two, pairs) in rows.chunks(2 * lanes).zip(pairs.chunks_exact_mut(lanes)) {
            let (even, odd) = two.split_at(lanes);
            self.unit.pair_rows(even, (!odd.is_empty()).then_some(odd), pairs);
        }
    }

    /// The products of an input, `[positions, n, lanes]`, with weights from [`Self::weights`].
    pub fn multiply(
        &self,
        input: &[f32],
        weights: &[u32],
        buffers: &mut PairBuffers,
        products: &mut [f32],
    ) {
        let rounded = first_of(&mut buffers.input, input.len() / 2);
        self.unit.pair_neighbours(input, rounded);
        let weights = weights.chunks_exact(self.pairs_in * self.lanes_out);
        let inputs = rounded.chunks_exact(self.input_stride / 2);
        let products = products.chunks_exact_mut(self.output_stride);
        for ((input, weights), products) in inputs.zip(weights).zip(products) {
            let (rows, columns) = (self.pair_rows.all(), self.channels.all());
            let left = Left { values: input, rows, columns };
            let right = Right { values: weights, rows: self.weight_pairs.all() };
            let out = (products, self.output_rows.all());
            self.unit.multiply(Write::Overwrite, self.lanes_out, out, left, right);
        }
    }

    /// Writes or adds the products of an input and an output gradient, `[positions, n, lanes]`, to `sums`,
    /// `[positions, I, lanes]`.
    pub fn weight_products(
        &self,
        how: Write,
        [input, gradient]: [&[f32]; 2],
        buffers: &mut PairBuffers,
        sums: &mut [f32],
    ) {
        let row_pairs = self.n_rows.div_ceil(2);
        let left_pairs = first_of(&mut buffers.input, row_pairs * self.lanes_in);
        let right_pairs = first_of(&mut buffers.output, row_pairs * self.lanes_out);
        let inputs = input.chunks_exact(self.input_stride);
        let gradients = gradient.chunks_exact(self.output_stride);
        let sums = sums.chunks_exact_mut(self.weight_stride);
        for ((input, gradient), sums) in inputs.zip(gradients).zip(sums) {
            self.pair_rows(&input[..self.n_rows * self.lanes_in], left_pairs, self.lanes_in);
            self.pair_rows(&gradient[..self.n_rows * self.lanes_out], right_pairs, self.lanes_out);
            let (rows, columns) = (self.channels_in.all(), self.input_pairs.all());
            let left = Left { values: left_pairs, rows, columns };
            let right = Right { values: right_pairs, rows: self.output_pairs.all() };
            let out = (sums, self.weight_rows.all());
            self.unit.multiply(how, self.lanes_out, out, left, right);
        }
    }
}
