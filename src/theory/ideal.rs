//! Whole-image machines: the ideal score machine, and the equivariant one.
//!
//! One weight per image (`ideal`), or per image and circular shift (`es`), shared by all pixels:
//!
//! ```text
//! L[n,s] = -abar / (2 sigma^2) sum_{c,p} (x[c,p] / sqrt(abar) - phi_n[c,p+s])^2
//! x0hat(p) = sum_{n,s} softmax(L)[n,s] phi_n(p + s)
//! ```
//!
//! Distances are summed in `f64` in both precisions: a whole image has too many terms for `f32`.

use super::kernels::Real;
use super::weights::Accumulator;
use crate::diffusion::Provenance;
use crate::image::ImageShape;

/// One noisy image against whole training images.
#[derive(Clone, Copy, Debug)]
pub struct WholeQuery<'a, T> {
    pub shape: ImageShape,
    /// `x_t / sqrt(abar)`, `[C, H, W]`.
    pub x: &'a [T],
    /// `abar / (2 sigma^2)`.
    pub precision: f64,
    /// Whether every circular shift of an image is in the dictionary.
    pub shifts: bool,
}

impl<T: Real> WholeQuery<'_, T> {
    /// The posterior over images `first..` (`images` holds just those).
    ///
    /// The shared weight is kept once: [`expand`] turns pixel 0's sums into every pixel's.
    pub fn accumulate(&self, images: &[T], first: usize) -> Accumulator {
        let mut all = Accumulator::new(self.shape.n_values(), 1);
        let area = self.shape.n_pixels();
        let (height, width) = (self.shape.height, self.shape.width);
        let (n_rows, n_columns) = if self.shifts { (height, width) } else { (1, 1) };
        for (n, image) in images.chunks_exact(self.shape.n_values()).enumerate() {
            for column in 0..n_columns {
                let rolled = roll(image, self.shape, column);
                for row in 0..n_rows {
                    let logit = -self.precision * self.squared_distance(&rolled, row);
                    // An entry this far below cannot change an f64 sum of fewer than e^60 entries.
                    if logit < all.max[0] - 100.0 {
                        continue;
                    }
                    let place = Provenance {
                        image: (first + n) as u32,
                        row: row as u16,
                        column: column as u16,
                    };
                    let value = |at: usize| {
                        rolled[2 * (at / area) * area + row * width + at % area].to_f64()
                    };
                    all.add(0, logit, place, value);
                }
            }
        }
        all
    }

    fn squared_distance(&self, rolled: &[T], row: usize) -> f64 {
        // Eight sums at once, so that the compiler may use vectors.
        let area = self.shape.n_pixels();
        let start = row * self.shape.width;
        let mut sums = [0.0_f64; 8];
        for (x, rolled) in self.x.chunks_exact(area).zip(rolled.chunks_exact(2 * area)) {
            let y = &rolled[start..start + area];
            for (x, y) in x.chunks(8).zip(y.chunks(8)) {
                for ((sum, &x), &y) in sums.iter_mut().zip(x).zip(y) {
                    let difference = (x - y).to_f64();
                    *sum += difference * difference;
                }
            }
        }
        sums.iter().sum()
    }
}

/// The image rolled left by `shift`, its rows twice over: `[C, 2 H, W]`.
fn roll<T: Copy>(image: &[T], shape: ImageShape, shift: usize) -> Vec<T> {
    let mut rolled = Vec::with_capacity(2 * image.len());
    for plane in image.chunks_exact(shape.n_pixels()) {
        for _ in 0..2 {
            for row in plane.chunks_exact(shape.width) {
                rolled.extend_from_slice(&row[shift..]);
                rolled.extend_from_slice(&row[..shift]);
            }
        }
    }
    rolled
}

/// Entropy and provenance of every pixel from the one shared posterior.
pub fn expand(all: &Accumulator, shape: ImageShape) -> (Vec<f64>, Vec<Provenance>) {
    let Provenance { image, row, column } = all.best[0];
    let provenance = (0..shape.n_pixels()).map(|p| Provenance {
        image,
        row: ((p / shape.width + usize::from(row)) % shape.height) as u16,
        column: ((p % shape.width + usize::from(column)) % shape.width) as u16,
    });
    (vec![all.entropy(0); shape.n_pixels()], provenance.collect())
}
