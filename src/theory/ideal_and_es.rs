//! The whole-image machines: `ideal`, over the training images, and `es`, over all their circular shifts as well.
//!
//! One weight per image (`ideal`), or per image and circular shift (`es`), shared by all pixels:
//!
//! ```text
//! L[n,s] = -abar / (2 sigma^2) sum_{c,p} (x[c,p] / sqrt(abar) - phi_n[c,p+s])^2
//! x0hat(p) = sum_{n,s} softmax(L)[n,s] phi_n(p + s)
//! ```
//!
//! (docs/theory.md section 2, IS and ES.) Always in doubles: a whole image has too many terms for singles. A distance is no
//! longer summed once it exceeds the cutoff in every lane, which changes no result because the remaining terms are
//! positive. Without shifts the remaining rows are not even read; rows in the middle, where images differ most, come
//! first.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::cpu_kernels::box_sums::{squares, twice_over};
use super::cpu_kernels::posterior::{Posterior, Row};
use super::cpu_kernels::posterior_over_all_images::AllImages;
use super::cpu_kernels::tile::{Tile, TileSums};
use super::estimate_of_one_image::Estimate;
use super::posterior_weights::Accumulator;
use super::training_pixels::ImagePixels;
use crate::diffusion::Provenance;
use crate::image::ImageShape;
use crate::simd::{Buffer, Lane, lane::n_lanes};

/// Rows that are read at a time.
const ROWS: usize = 4;

/// The posterior of one noisy image over whole training images.
#[derive(Debug)]
pub struct WholeSums {
    shape: ImageShape,
    /// The rows of the query twice over, `[H, 2 W, C]`.
    x: Vec<f64>,
    shifts: bool,
    posterior: Posterior<f64, AllImages>,
    squares: Buffer<f64>,
    /// The pixels of a tile in the order of those of the query.
    shifted: Buffer<f64>,
}

impl WholeSums {
    /// A posterior without entries. `x` is `x_t / sqrt(abar)`, `[C, H, W]`, `logit_scale` is `abar / (2 sigma^2)`; with
    /// `shifts`, every circular shift of an image is an entry. `n_entries` is the most that there will be.
    pub fn new(
        shape: ImageShape,
        x: &[f64],
        logit_scale: f64,
        shifts: bool,
        n_entries: usize,
    ) -> Self {
        // One pixel with as many channels as an image has values.
        let (whole, n_lanes) = (ImageShape::new(shape.n_values(), 1, 1), n_lanes::<f64>());
        Self {
            shape,
            x: twice_over(x, shape),
            shifts,
            posterior: Posterior::new(whole, logit_scale, n_entries, true),
            squares: Buffer::zeros(shape.width * n_lanes),
            shifted: Buffer::zeros(shape.n_values() * n_lanes),
        }
    }

    /// Adds the first images of `which` without shifts, as many as fit into `tile`, which is overwritten.
    ///
    /// # Panics
    ///
    /// If this posterior is over shifts.
    pub fn add_images(&mut self, images: &ImagePixels, which: Range<usize>, tile: &mut Tile<f64>) {
        assert!(!self.shifts, "shifts need whole tiles");
        Arch::new().dispatch(AddImages { sums: self, images, which, tile });
        self.posterior.added(1);
    }

    /// The posterior that all pixels share, with sums `[C, H, W]`; see [`expand`].
    pub fn finish(self) -> Accumulator {
        let ImageShape { channels, .. } = self.shape;
        let n_pixels = self.shape.n_pixels();
        let mut all = self.posterior.finish();
        // Tiles are stored pixel by pixel, images channel by channel.
        all.sums = (0..channels * n_pixels)
            .map(|at| all.sums[at % n_pixels * channels + at / n_pixels])
            .collect();
        all
    }

    #[inline(always)]
    fn add_rows<S: Simd>(
        &mut self,
        simd: S,
        images: &ImagePixels,
        which: Range<usize>,
        tile: &mut Tile<f64>,
    ) {
        let ImageShape { channels, height, width } = self.shape;
        let limit = self.posterior.cutoff(simd, 0);
        let mut distance = f64::splat(simd, 0.0);
        let n_blocks = height.div_ceil(ROWS);
        for i in 0..n_blocks {
            // The middle one, the one after it, the one before it, ...
            let block = match i % 2 {
                0 => n_blocks / 2 - i / 2,
                _ => n_blocks / 2 + i.div_ceil(2),
            };
            // An even number has one more before the middle than after it.
            let block = if block == n_blocks { 0 } else { block };
            let rows = block * ROWS..((block + 1) * ROWS).min(height);
            let pixels = rows.start * width..rows.end * width;
            images.fill_tile_pixels(which.clone(), pixels, tile);
            for row in rows {
                let x = &self.x[row * 2 * width * channels..];
                let pixels = tile.pixels(row * width..(row + 1) * width, channels);
                let squared = &mut f64::vectors_mut::<S>(&mut self.squares)[..width];
                squares::<S, f64, 0>(simd, x, f64::vectors::<S>(pixels), channels, squared);
                let mut of_row = squared[0];
                for &square in &squared[1..] {
                    of_row = f64::plus(simd, of_row, square);
                }
                distance = f64::plus(simd, distance, of_row);
            }
            if !f64::any_within(simd, distance, limit) {
                return;
            }
        }
        let values = f64::vectors::<S>(tile.pixels(0..height * width, channels));
        self.posterior.add_row::<S, 0>(simd, Row::of_tile(tile), &[distance], values);
    }

    /// The squared distances at one shift, or none if all exceed the cutoff.
    #[inline(always)]
    fn distance<S: Simd>(
        &mut self,
        simd: S,
        tile: &Tile<f64>,
        down: usize,
        along: usize,
    ) -> Option<S::f64s> {
        let ImageShape { channels, height, width } = self.shape;
        let limit = self.posterior.cutoff(simd, 0);
        let mut sum = f64::splat(simd, 0.0);
        for q_row in 0..height {
            let p_row = (q_row + height - down) % height;
            let x = &self.x[(p_row * 2 * width + (width - along) % width) * channels..];
            let pixels = tile.pixels(q_row * width..(q_row + 1) * width, channels);
            let row = &mut f64::vectors_mut::<S>(&mut self.squares)[..width];
            squares::<S, f64, 0>(simd, x, f64::vectors::<S>(pixels), channels, row);
            let mut of_row = row[0];
            for &square in &row[1..] {
                of_row = f64::plus(simd, of_row, square);
            }
            sum = f64::plus(simd, sum, of_row);
            if !f64::any_within(simd, sum, limit) {
                return None;
            }
        }
        Some(sum)
    }
}

impl TileSums<f64> for WholeSums {
    #[inline(always)]
    fn add<S: Simd>(&mut self, simd: S, tile: &Tile<f64>) {
        let ImageShape { channels, height, width } = self.shape;
        let (n_down, n_along) = if self.shifts { (height, width) } else { (1, 1) };
        for down in 0..n_down {
            for along in 0..n_along {
                let Some(distance) = self.distance(simd, tile, down, along) else { continue };
                // Query pixel p meets training pixel p + s.
                let all = f64::vectors::<S>(tile.pixels(0..height * width, channels));
                let shifted = f64::vectors_mut::<S>(&mut self.shifted);
                for (p, to) in shifted.chunks_exact_mut(channels).enumerate() {
                    let (row, column) = ((p / width + down) % height, (p % width + along) % width);
                    let q = row * width + column;
                    to.copy_from_slice(&all[q * channels..(q + 1) * channels]);
                }
                let pairs = Row::of_tile(tile);
                let row = Row { training_row: down, training_column: along, ..pairs };
                let shifted = f64::vectors::<S>(&self.shifted);
                self.posterior.add_row::<S, 0>(simd, row, &[distance], shifted);
            }
        }
        self.posterior.added(n_down * n_along);
    }
}

struct AddImages<'a> {
    sums: &'a mut WholeSums,
    images: &'a ImagePixels,
    which: Range<usize>,
    tile: &'a mut Tile<f64>,
}

impl WithSimd for AddImages<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.sums.add_rows(simd, self.images, self.which, self.tile);
    }
}

/// The estimate of an image from the one posterior that all its pixels share.
pub fn expand(all: &Accumulator, shape: ImageShape) -> Estimate {
    // The place of the nearest entry is the shift, that is the training pixel of the first query pixel.
    let Provenance { image, row, column } = all.best[0];
    let provenance = (0..shape.n_pixels()).map(|p| Provenance {
        image,
        row: ((p / shape.width + usize::from(row)) % shape.height) as u16,
        column: ((p % shape.width + usize::from(column)) % shape.width) as u16,
    });
    Estimate {
        x0: all.mean(),
        entropy_nats: vec![all.entropy(0); shape.n_pixels()],
        provenance: provenance.collect(),
        attention: None,
    }
}
