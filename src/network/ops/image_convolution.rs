//! The convolution of one image: directly on the padded image, or by Winograd's algorithm where that is faster.

use super::candle_numbers::Real;
use super::convolution_operands::Tables;
use super::padded_images::{Geometry, pad};
use super::tensor::channels_first;
use super::winograd::{Winograd, applies};

/// A convolution with its weights.
pub enum ImageConvolution<'a, T> {
    Direct { geometry: Geometry, tables: Tables, weight: &'a [T] },
    Winograd { plan: Winograd, weights: Vec<T> },
}

/// Buffers of a thread.
pub struct Room<T> {
    /// The input: padded, or with channels last.
    input: Vec<T>,
    /// The output: with the padding between rows, or with channels last.
    output: Vec<T>,
    /// The transformed input and the products; empty for direct convolutions.
    transformed: Vec<T>,
    products: Vec<T>,
}

impl<'a, T: Real> ImageConvolution<'a, T> {
    /// The convolution of `geometry` with `weight`, `[O, I, k, k]`.
    pub fn new(geometry: &Geometry, weight: &'a [T]) -> Self {
        if applies::<T>(geometry) {
            let plan = Winograd::new::<T>(geometry);
            let weights = plan.weights(weight);
            return Self::Winograd { plan, weights };
        }
        Self::Direct { geometry: *geometry, tables: Tables::new(geometry), weight }
    }

    /// Buffers for one image at a time.
    pub fn room(&self) -> Room<T> {
        let zeros = |n| vec![T::ZERO; n];
        match self {
            Self::Direct { geometry, .. } => Room {
                input: zeros(geometry.padded_values()),
                output: zeros(geometry.c_out * geometry.padded_run()),
                transformed: Vec::new(),
                products: Vec::new(),
            },
            Self::Winograd { plan, .. } => Room {
                input: zeros(plan.last_in()),
                output: zeros(plan.last_out()),
                transformed: zeros(plan.input_values()),
                products: zeros(plan.output_values()),
            },
        }
    }

    /// Convolves `image`, `[I, P]`, with `addend`, `[I]` or nothing, on every pixel, into `out`, `[O, P]`.
    pub fn convolve(&self, image: &[T], addend: &[T], room: &mut Room<T>, out: &mut [T]) {
        let Room { input, output, transformed, products } = room;
        match self {
            Self::Direct { geometry, tables, weight } => {
                let run = geometry.padded_run();
                let padded = pad(image, addend, geometry, input);
                if geometry.kernel == 1 {
                    return tables.convolve(weight, padded, run, out);
                }
                tables.convolve(weight, padded, run, output);
                let planes = out.chunks_exact_mut(geometry.n_pixels());
                output.chunks_exact(run).zip(planes).for_each(|(run, to)| geometry.narrow(run, to));
            }
            Self::Winograd { plan, weights } => {
                plan.input_last(image, addend, input);
                tiles(plan, weights, input, (transformed, products, output), out);
            }
        }
    }

    /// As [`Self::convolve`], given the image with channels last as well, `[P + 1, lanes]` with a last row of zeros.
    pub fn convolve_last(&self, image: &[T], last: &[T], room: &mut Room<T>, out: &mut [T]) {
        match self {
            Self::Direct { .. } => self.convolve(image, &[], room, out),
            Self::Winograd { plan, weights } => {
                let Room { output, transformed, products, .. } = room;
                tiles(plan, weights, last, (transformed, products, output), out);
            }
        }
    }
}

fn tiles<T: Real>(
    plan: &Winograd,
    weights: &[T],
    last: &[T],
    (transformed, products, output): (&mut [T], &mut [T], &mut [T]),
    out: &mut [T],
) {
    plan.input(0, last, transformed);
    plan.multiply(weights, transformed, products);
    plan.output(products, output);
    channels_first(output, plan.n_pixels(), plan.lanes_out(), out);
}
