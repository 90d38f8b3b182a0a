//! `pspc`: the average of overlapping patches, each with its own posterior (Niedoba et al., arXiv 2411.19339: patch set
//! posterior composites with square patches, eq. 11).
//!
//! ```text
//! w[n,a] = softmax_n( -|| x_t[a] - sqrt(abar) phi_n[a] ||^2 / (2 sigma^2) )     a: a k x k crop inside the image
//! x0hat(p) = mean over the crops that hold p of sum_n w[n,a] phi_n(p)
//!          = sum_n phi_n(p) sum_{a holds p} w[n,a] / #{a holds p}
//! ```
//!
//! Two passes over the images: the first computes the normaliser of every crop, the second sums normalised weights over
//! the crops that hold a pixel. That is again a window sum, so a pixel and image cost about `6 C + 15` operations in
//! all, for any k. The entropy of a pixel is the mean of those of its crops, its provenance the image of the largest
//! mean weight. With k the side of the image this is `ideal`, with k = 1 `ls`.
//!
//! The CPU always uses doubles, because weights of many crops are added up. GPUs index crops by their centres, where
//! crops are the patches of `ls`.

use pulp::{Simd, bytemuck};

use super::cpu_kernels::box_sums::squares;
use super::cpu_kernels::posterior::{Posterior, Row};
use super::cpu_kernels::posterior_over_all_images::AllImages;
use super::cpu_kernels::tile::{Tile, TileSums};
use super::cpu_kernels::windows::{LineSums, RowSums};
use super::posterior_weights::Accumulator;
use crate::diffusion::Provenance;
use crate::image::ImageShape;
use crate::simd::{Buffer, Lane, lane::n_lanes};

/// Weights below `exp(-PRUNED_NATS)` are left out: in all less than 1e-18 of the weight of a pixel for a billion images.
const PRUNED_NATS: f64 = 62.0;

/// All crops of one noisy image, and their distances to the images of a tile.
#[derive(Debug)]
struct Crops {
    shape: ImageShape,
    n_lanes: usize,
    /// `[H W, C]`.
    x: Vec<f64>,
    line: Buffer<f64>,
    line_sums: LineSums<f64>,
    row_sums: RowSums<f64>,
    /// `[crop rows, crop columns]`.
    distances: Buffer<f64>,
    grid: ImageShape,
}

impl Crops {
    fn new(shape: ImageShape, k: usize, x: &[f64]) -> Self {
        let n_lanes = n_lanes::<f64>();
        let ImageShape { channels, height, width } = shape;
        let (n_pixels, grid) =
            (shape.n_pixels(), ImageShape::new(1, height + 1 - k, width + 1 - k));
        Self {
            shape,
            n_lanes,
            x: (0..x.len()).map(|at| x[at % channels * n_pixels + at / channels]).collect(),
            line: Buffer::zeros(width * n_lanes),
            line_sums: LineSums::new(k, None, n_lanes),
            row_sums: RowSums::new(k, None, grid.width, n_lanes),
            distances: Buffer::zeros(grid.n_pixels() * n_lanes),
            grid,
        }
    }

    #[inline(always)]
    fn measure<S: Simd>(&mut self, simd: S, tile: &Tile<f64>) {
        let ImageShape { channels, height, width } = self.shape;
        let line = f64::vectors_mut::<S>(&mut self.line);
        let mut rows = f64::vectors_mut::<S>(&mut self.distances).chunks_exact_mut(self.grid.width);
        let mut out = rows.next();
        self.row_sums.start(self.grid.width);
        for row in 0..height {
            let phi = f64::vectors::<S>(tile.pixels(row * width..(row + 1) * width, channels));
            squares::<S, f64, 0>(simd, &self.x[row * width * channels..], phi, channels, line);
            self.line_sums.sum(simd, line, self.row_sums.next_row::<S>());
            // The sums of fewer than k rows mean nothing; the next ones overwrite them.
            if let Some(distances) = out.as_mut()
                && self.row_sums.push(simd, distances)
            {
                out = rows.next();
            }
        }
    }
}

/// The first pass: posteriors of all crops of one noisy image.
#[derive(Debug)]
pub struct CropPosteriors {
    crops: Crops,
    /// One pixel per crop; values are meaningless.
    pub posterior: Posterior<f64, AllImages>,
}

impl CropPosteriors {
    /// Posteriors without entries. `x` is `x_t / sqrt(abar)`, `[C, H, W]`, `logit_scale` is `abar / (2 sigma^2)`; `k`
    /// is at most the smaller side.
    pub fn new(shape: ImageShape, k: usize, x: &[f64], logit_scale: f64, n_entries: usize) -> Self {
        let crops = Crops::new(shape, k, x);
        let posterior = Posterior::new(crops.grid, logit_scale, n_entries, true);
        Self { crops, posterior }
    }
}

impl TileSums<f64> for CropPosteriors {
    #[inline(always)]
    fn add<S: Simd>(&mut self, simd: S, tile: &Tile<f64>) {
        self.crops.measure(simd, tile);
        let width = self.crops.grid.width;
        let distances = f64::vectors::<S>(&self.crops.distances);
        for (training_row, distances) in distances.chunks_exact(width).enumerate() {
            let query_pixel = training_row * width;
            let row = Row { query_pixel, training_row, ..Row::of_tile(tile) };
            self.posterior.add_row::<S, 1>(simd, row, distances, distances);
        }
        self.posterior.added(1);
    }
}

/// The second pass: weights of all crops that hold a pixel, summed.
#[derive(Debug)]
pub struct Composite<'a> {
    crops: Crops,
    logit_scale: f64,
    /// `-ln Z / logit_scale` of every crop: a squared distance minus this is minus the logarithm of a weight, in units
    /// of `1 / logit_scale`.
    normalisers: &'a [f64],
    /// Normalised weights of a row of crops between k - 1 zeros on either side.
    line: Buffer<f64>,
    line_sums: LineSums<f64>,
    row_sums: RowSums<f64>,
    /// Weights of a row of pixels.
    weights: Buffer<f64>,
    k: usize,
    /// `[H W, C, lanes]`.
    sums: Buffer<f64>,
    /// `[H W, lanes]`.
    totals: Buffer<f64>,
    top: Vec<(f64, u32)>,
}

/// The result of the second pass over some images.
#[derive(Clone, Debug)]
pub struct Mosaic {
    /// `[C, H W]`.
    sums: Vec<f64>,
    totals: Vec<f64>,
    /// The largest weight of each pixel and the number of its image.
    top: Vec<(f64, u32)>,
}

impl<'a> Composite<'a> {
    /// Sums over no images yet; arguments as [`CropPosteriors::new`], and the result of [`normalisers`].
    pub fn new(
        shape: ImageShape,
        k: usize,
        x: &[f64],
        logit_scale: f64,
        normalisers: &'a [f64],
    ) -> Self {
        let crops = Crops::new(shape, k, x);
        let n_lanes = crops.n_lanes;
        Self {
            logit_scale,
            normalisers,
            line: Buffer::zeros((shape.width + k - 1) * n_lanes),
            line_sums: LineSums::new(k, None, n_lanes),
            row_sums: RowSums::new(k, None, shape.width, n_lanes),
            weights: Buffer::zeros(shape.width * n_lanes),
            k,
            sums: Buffer::zeros(shape.n_values() * n_lanes),
            totals: Buffer::zeros(shape.n_pixels() * n_lanes),
            top: vec![(0.0, 0); shape.n_pixels()],
            crops,
        }
    }

    /// The sums over all added images.
    pub fn finish(self) -> Mosaic {
        let (shape, n_lanes) = (self.crops.shape, self.crops.n_lanes);
        let (channels, n_pixels) = (shape.channels, shape.n_pixels());
        let sum = |values: &[f64], at: usize| -> f64 {
            values[at * n_lanes..(at + 1) * n_lanes].iter().sum()
        };
        Mosaic {
            sums: (0..channels * n_pixels)
                .map(|at| sum(&self.sums, at % n_pixels * channels + at / n_pixels))
                .collect(),
            totals: (0..n_pixels).map(|p| sum(&self.totals, p)).collect(),
            top: self.top,
        }
    }
}

impl TileSums<f64> for Composite<'_> {
    #[inline(always)]
    fn add<S: Simd>(&mut self, simd: S, tile: &Tile<f64>) {
        self.crops.measure(simd, tile);
        let ImageShape { channels, height, width } = self.crops.shape;
        let grid = self.crops.grid;
        let distances = f64::vectors::<S>(&self.crops.distances);
        let limit = f64::splat(simd, PRUNED_NATS / self.logit_scale);
        let mut is_near = false;
        for (&distance, &normaliser) in distances.iter().zip(self.normalisers) {
            let beyond = f64::minus(simd, distance, f64::splat(simd, normaliser));
            is_near |= f64::any_within(simd, beyond, limit);
        }
        if !is_near {
            return;
        }
        let scale = f64::splat(simd, -self.logit_scale * std::f64::consts::LOG2_E);
        let zero = f64::splat(simd, 0.0);
        // Lanes beyond the images of the tile repeat an image and must not count.
        let counts: Vec<f64> = (0..self.crops.n_lanes)
            .map(|lane| if lane < tile.n_images() { 1.0 } else { 0.0 })
            .collect();
        let counts = f64::vectors::<S>(&counts)[0];
        let line = f64::vectors_mut::<S>(&mut self.line);
        let weights = f64::vectors_mut::<S>(&mut self.weights);
        let sums = f64::vectors_mut::<S>(&mut self.sums);
        let totals = f64::vectors_mut::<S>(&mut self.totals);
        self.row_sums.start(width);
        for e in 0..height + self.k - 1 {
            match e.checked_sub(self.k - 1).filter(|&row| row < grid.height) {
                Some(row) => {
                    let crops = row * grid.width..(row + 1) * grid.width;
                    let each = distances[crops.clone()].iter().zip(&self.normalisers[crops]);
                    let out = line[self.k - 1..].iter_mut();
                    for (out, (&distance, &normaliser)) in out.zip(each) {
                        let beyond = f64::minus(simd, distance, f64::splat(simd, normaliser));
                        let weight = <f64 as Lane>::exp2(simd, f64::times(simd, beyond, scale));
                        *out = f64::times(simd, weight, counts);
                    }
                    self.line_sums.sum(simd, line, self.row_sums.next_row::<S>());
                }
                None => self.row_sums.next_row::<S>().fill(zero),
            }
            if !self.row_sums.push(simd, weights) {
                continue;
            }
            let first = (e + 1 - self.k) * width;
            let values = f64::vectors::<S>(tile.pixels(first..first + width, channels));
            for (j, (&weight, values)) in
                weights.iter().zip(values.chunks_exact(channels)).enumerate()
            {
                let p = first + j;
                totals[p] = f64::plus(simd, totals[p], weight);
                let sums = &mut sums[p * channels..(p + 1) * channels];
                for (sum, &value) in sums.iter_mut().zip(values) {
                    *sum = <f64 as Lane>::mul_add(simd, weight, value, *sum);
                }
                if f64::any_less(simd, f64::splat(simd, self.top[p].0), weight) {
                    let lanes = [weight];
                    note_top(&mut self.top[p], bytemuck::cast_slice(&lanes), tile.first);
                }
            }
        }
    }
}

#[cold]
#[inline(never)]
fn note_top(top: &mut (f64, u32), weights: &[f64], first_image: usize) {
    for (lane, &weight) in weights.iter().enumerate() {
        if weight > top.0 {
            *top = (weight, (first_image + lane) as u32);
        }
    }
}

impl Mosaic {
    /// Adds the sums over other, later images.
    pub fn merge(&mut self, other: &Self) {
        let add = |to: &mut [f64], from: &[f64]| {
            to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        };
        add(&mut self.sums, &other.sums);
        add(&mut self.totals, &other.totals);
        for (top, other) in self.top.iter_mut().zip(&other.top) {
            if other.0 > top.0 {
                *top = *other;
            }
        }
    }

    /// The estimate `[C, H W]`.
    pub fn mean(&self) -> Vec<f64> {
        let n_pixels = self.totals.len();
        self.sums.iter().enumerate().map(|(at, sum)| sum / self.totals[at % n_pixels]).collect()
    }

    /// The image of each pixel's largest weight.
    pub fn provenance(&self, width: usize) -> Vec<Provenance> {
        let place = |(p, top): (usize, &(f64, u32))| Provenance {
            image: top.1,
            row: (p / width) as u16,
            column: (p % width) as u16,
        };
        self.top.iter().enumerate().map(place).collect()
    }
}

/// `-ln Z / logit_scale` of every crop.
pub fn normalisers(crops: &Accumulator, logit_scale: f64) -> Vec<f64> {
    (0..crops.n_pixels()).map(|a| -crops.log_sum(a) / logit_scale).collect()
}

/// Mean entropy in nats of the crops that hold each pixel, `[H, W]`; `entropy` takes the row and column of a crop.
pub fn entropies(entropy: impl Fn(usize, usize) -> f64, shape: ImageShape, k: usize) -> Vec<f64> {
    let ImageShape { height, width, .. } = shape;
    let (rows, columns) = (height + 1 - k, width + 1 - k);
    let entropy: Vec<f64> =
        (0..rows * columns).map(|a| entropy(a / columns, a % columns)).collect();
    let holding = |place: usize, n: usize| (place + 1).saturating_sub(k)..(place + 1).min(n);
    let of_pixel = |p: usize| {
        let (down, along) = (holding(p / width, rows), holding(p % width, columns));
        let n = (down.len() * along.len()) as f64;
        let lines = down.map(|row| &entropy[row * columns..][along.clone()]);
        lines.flatten().sum::<f64>() / n
    };
    (0..height * width).map(of_pixel).collect()
}
