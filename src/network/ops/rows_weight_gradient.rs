//! The weight gradient of a convolution of images whose channels are last ([`super::pixel_rows`]).
//!
//! ```text
//! dw[o, i, s] = sum_p x[p + s, i] dy[p, o]        [depth, P] x [P, lanes], summed over images; depth = I k k
//! ```
//!
//! By Winograd there are four times as many sums as weights, and reading and writing them takes as long as the products
//! of twenty tiles: the tiles of several small images are therefore one product.

use pulp::bytemuck;

use super::candle_numbers::Real;
use super::padded_images::Geometry;
use super::pixel_rows::first_of;
use super::rows_bf16::{Bf16Products, Factors};
use super::rows_convolution::{Room, Shifts, rounded_products};
use super::winograd::{Winograd, applies};
use crate::simd::lane::n_lanes;
use crate::simd::matrix_product::{Left, PlaceTable, Right, Write, every, multiply};

/// Tiles, at least, of a product in single precision.
const TILES_TOGETHER: usize = 32;

/// The weight gradient of convolutions of one geometry.
pub struct RowsWeightGradient {
    geometry: Geometry,
    lanes_out: usize,
    winograd: Option<Winograd>,
    /// Images that are one product.
    n_together: usize,
    rounded: Option<Bf16Products>,
    shifts: Shifts,
    out_rows: PlaceTable,
    sum_rows: PlaceTable,
}

/// Sums over images, for gradients of any geometry, one after the other.
#[derive(Debug)]
pub struct WeightSums<T> {
    /// `[depth, lanes]`, or `[36, I, lanes]` for Winograd.
    values: Vec<T>,
    /// Whether the next product is the first.
    how: Write,
    /// Transformed inputs and output gradients of images that are not in the sums yet.
    input: Vec<T>,
    gradient: Vec<T>,
    n_waiting: usize,
}

impl<T> Default for WeightSums<T> {
    fn default() -> Self {
        let [values, input, gradient] = [(); 3].map(|()| Vec::new());
        Self { values, how: Write::Overwrite, input, gradient, n_waiting: 0 }
    }
}

impl RowsWeightGradient {
    /// The gradient for numbers of type `T`.
    pub fn new<T: Real>(geometry: &Geometry, factors: Factors) -> Self {
        let lanes_out = geometry.c_out.next_multiple_of(n_lanes::<T>());
        let one = applies::<T>(geometry).then(|| Winograd::new::<T>(geometry));
        let one = one.filter(Winograd::pays_for_weights);
        let rounded = rounded_products::<T>(factors, geometry, one.as_ref());
        let (winograd, n_together) = match &one {
            Some(plan) if rounded.is_none() => {
                let n = TILES_TOGETHER.div_ceil(plan.n_tiles());
                (Some(Winograd::of_images::<T>(geometry, n)), n)
            }
            _ => (one, 1),
        };
        Self {
            geometry: *geometry,
            lanes_out,
            winograd,
            n_together,
            rounded,
            shifts: Shifts::new::<T>(geometry),
            out_rows: every(lanes_out, geometry.n_pixels()),
            sum_rows: every(lanes_out, geometry.depth()),
        }
    }

    /// Makes `sums` those of no image.
    pub fn start<T: Real>(&self, sums: &mut WeightSums<T>) {
        (sums.how, sums.n_waiting) = (Write::Overwrite, 0);
    }

    /// Takes in an image with input `input` and output gradient `dy`, `[P + 1, lanes]` both with a last row of zeros.
    pub fn add<T: Real>(
        &self,
        input: &[T],
        dy: &[T],
        room: &mut Room<T>,
        sums: &mut WeightSums<T>,
    ) {
        if let Some(plan) = &self.winograd {
            let transformed = first_of(&mut sums.input, plan.input_values());
            let gradient = first_of(&mut sums.gradient, plan.output_values());
            plan.input(sums.n_waiting, input, transformed);
            plan.output_gradient(sums.n_waiting, dy, gradient);
            sums.n_waiting += 1;
            if sums.n_waiting == self.n_together {
                self.multiply_waiting(room, sums);
            }
            return;
        }
        let how = std::mem::replace(&mut sums.how, Write::Add);
        let values = first_of(&mut sums.values, self.geometry.depth() * self.lanes_out);
        if let Some(rounded) = &self.rounded {
            let factors = [input, dy].map(bytemuck::cast_slice);
            let sums = bytemuck::cast_slice_mut(values);
            return rounded.weight_products(how, factors, &mut room.pairs, sums);
        }
        let (rows, columns) = (self.shifts.columns.all(), self.shifts.pixels.all());
        let left = Left { values: self.shifts.pad(input, &mut room.input), rows, columns };
        let right = Right { values: dy, rows: self.out_rows.all() };
        multiply(how, self.lanes_out, (values, self.sum_rows.all()), left, right);
    }

    /// Adds the products of transformed images to the sums.
    fn multiply_waiting<T: Real>(&self, room: &mut Room<T>, sums: &mut WeightSums<T>) {
        let n_images = std::mem::take(&mut sums.n_waiting);
        let Some(plan) = self.winograd.as_ref().filter(|_| n_images > 0) else { return };
        let how = std::mem::replace(&mut sums.how, Write::Add);
        let values = first_of(&mut sums.values, plan.weight_values());
        let factors = [&sums.input[..plan.input_values()], &sums.gradient[..plan.output_values()]];
        match &self.rounded {
            Some(rounded) => rounded.weight_products(
                how,
                factors.map(bytemuck::cast_slice),
                &mut room.pairs,
                bytemuck::cast_slice_mut(values),
            ),
            None => plan.weight_products(how, n_images, factors, values),
        }
    }

    /// The weight gradient, `[depth, lanes]`, of the images of `sums`: of one at least.
    pub fn finish<T: Real>(&self, room: &mut Room<T>, sums: &mut WeightSums<T>) -> Vec<T> {
        self.multiply_waiting(room, sums);
        match &self.winograd {
            Some(plan) => plan.weight_gradient(&sums.values[..plan.weight_values()]),
            None => sums.values[..self.geometry.depth() * self.lanes_out].to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::network_config::Padding;
    use crate::network::ops::tensor::check::pseudo_random;

    /// The weight gradient of `n_images` images, in `T`.
    fn gradient<T: Real>(geometry: &Geometry, n_images: usize) -> Vec<f64> {
        let rows = RowsWeightGradient::new::<T>(geometry, Factors::Full);
        let (mut room, mut sums) = (Room::default(), WeightSums::default());
        // What an earlier gradient left in the buffers does not matter.
        for n_images in [1, n_images] {
            rows.start(&mut sums);
            for seed in 0..n_images as u64 {
                let image = |seed| {
                    let n = geometry.n_pixels() * geometry.c_in;
                    let values = pseudo_random(&[n], seed).to_vec1::<f64>().unwrap();
                    let mut values: Vec<T> = values.into_iter().map(T::number).collect();
                    values.resize(n + geometry.c_in, T::ZERO);
                    values
                };
                rows.add(&image(seed), &image(100 + seed), &mut room, &mut sums);
            }
            let found = rows.finish(&mut room, &mut sums);
            if n_images > 1 {
                return found.into_iter().map(<T as candle_core::WithDType>::to_f64).collect();
            }
        }
        unreachable!("more than one image")
    }

    #[test]
    fn images_whose_tiles_are_one_product_have_the_sum_of_their_gradients() {
        let padding = Padding::Circular;
        let geometry = Geometry { c_in: 32, c_out: 32, height: 14, width: 14, kernel: 3, padding };
        let rows = RowsWeightGradient::new::<f32>(&geometry, Factors::Full);
        assert_eq!(rows.n_together, 2);
        for n_images in [2, 3] {
            let (found, exact) =
                (gradient::<f32>(&geometry, n_images), gradient::<f64>(&geometry, n_images));
            let largest = exact.iter().fold(0.0_f64, |largest, v| largest.max(v.abs()));
            for (a, b) in found.iter().zip(&exact) {
                assert!((a - b).abs() < 1e-5 * largest, "{n_images} images: {a} is not {b}");
            }
        }
    }
}
