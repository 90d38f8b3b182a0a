//! The operands of a convolution as a matrix product, shared by [`super::convolution`] and its gradient.

use candle_core::{Result, bail};

use super::candle_numbers::Real;
use super::padded_images::Geometry;
use crate::simd::matrix_product::{Left, PlaceTable, Right, Write, every, multiply};

/// The values added after the convolution, `[O]`, and before it, `[B, I]` or empty.
#[derive(Clone, Copy)]
pub struct Biases<'a, T> {
    pub after: &'a [T],
    pub before: &'a [T],
}

impl<'a, T> Biases<'a, T> {
    /// Splits `joined`, `[O]` or `[O + B I]`, for a batch of `batch` images.
    ///
    /// # Errors
    ///
    /// If `joined` has neither length.
    pub fn new(joined: &'a [T], batch: usize, geometry: &Geometry) -> Result<Self> {
        let (n_after, n_before) = (geometry.c_out, batch * geometry.c_in);
        if joined.len() != n_after && joined.len() != n_after + n_before {
            bail!("{} biases for {n_after} channels and {n_before} inputs", joined.len());
        }
        let (after, before) = joined.split_at(n_after);
        Ok(Self { after, before })
    }

    /// The values added to the `channels` input channels of image `index`; empty if none are.
    pub fn before(&self, index: usize, channels: usize) -> &'a [T] {
        if self.before.is_empty() { &[] } else { &self.before[index * channels..][..channels] }
    }
}

/// Offset tables of the product `[O, depth] x [depth, pixels]` that a convolution is.
pub struct Tables {
    weight_rows: PlaceTable,
    weight_columns: PlaceTable,
    right_rows: PlaceTable,
    out_rows: PlaceTable,
}

impl Tables {
    /// The tables for images and kernels of this geometry.
    pub fn new(geometry: &Geometry) -> Self {
        Self {
            weight_rows: every(geometry.depth(), geometry.c_out),
            weight_columns: every(1, geometry.depth()),
            right_rows: PlaceTable::new(geometry.shifted_rows()),
            out_rows: every(geometry.padded_run(), geometry.c_out),
        }
    }

    /// Convolves one padded image. `n` values a channel are written to `wide`, rows at the padded width: the values
    /// between the end of one row and the start of the next mean nothing.
    pub fn convolve<T: Real>(&self, weight: &[T], padded: &[T], n: usize, wide: &mut [T]) {
        let left = Left {
            values: weight,
            rows: self.weight_rows.all(),
            columns: self.weight_columns.all(),
        };
        let right = Right { values: padded, rows: self.right_rows.all() };
        multiply(Write::Overwrite, n, (wide, self.out_rows.all()), left, right);
    }
}
