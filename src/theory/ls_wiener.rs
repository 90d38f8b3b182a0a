//! `ls-wiener`: the local machine whose windows come from the data (Lukoianov et al., arXiv 2509.09672).
//!
//! A coordinate (a channel of a pixel) sees the coordinates to which its row of the Wiener filter gives enough weight:
//!
//! ```text
//! W = S (S + s^2 I)^-1,   s^2 = sigma^2 / abar                        S the data covariance
//! M[m,j] = 1 where |W[m,j] / W[m,m]| >= threshold * largest of these over all m, j
//! L[n,m] = -sum_j M[m,j] (x[j] / sqrt(abar) - phi_n[j])^2 / (2 s^2)
//! x0hat[m] = sum_n softmax_n(L[n,m]) phi_n[m]
//! ```
//!
//! Masks span channels, so the channels of a pixel may have different posteriors: its entropy is their mean, its
//! provenance that of the channel whose nearest image has the largest weight. As in the authors' code, a diagonal entry
//! below 1e-6 counts as 1; a coordinate always sees itself. We follow the paper and not its code in two points: the
//! mask of m is row m (the code sums over columns), and the weights are normalised over the whole data set (the code
//! normalises each batch of images and averages the batches).
//!
//! The CPU always uses doubles, because a sum has up to as many terms as an image has values. GPUs multiply a matrix of
//! squares by a matrix of masks; each entry of the product is one `L[n,m]`.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use faer::Mat;
use pulp::Simd;

use super::cpu_kernels::box_sums::squares;
use super::cpu_kernels::posterior::{Posterior, Row};
use super::cpu_kernels::posterior_over_all_images::AllImages;
use super::cpu_kernels::tile::{Tile, TileSums};
use super::estimate_of_one_image::Estimate;
use super::posterior_weights::Accumulator;
use super::wiener::Wiener;
use crate::diffusion::{NoiseLevel, Provenance};
use crate::image::ImageShape;
use crate::simd::{Buffer, Lane, lane::n_lanes};

/// The authors' default.
pub const DEFAULT_THRESHOLD: f64 = 0.02;
/// Diagonal entries below this count as 1.
const SMALLEST_DIAGONAL: f64 = 1e-6;
/// Number of noise levels whose masks are kept.
const LEVELS_MAX: usize = 64;

/// The coordinates that each coordinate sees at one noise level, in the order of tiles (pixel by pixel).
#[derive(Debug)]
pub struct Masks {
    /// Runs of coordinates, row by row.
    runs: Vec<Range<u32>>,
    /// Range of `runs` of each coordinate.
    rows: Vec<Range<u32>>,
    /// See [`Masks::bits`].
    bits: OnceLock<Vec<u32>>,
}

impl Masks {
    /// The masks of the filter at a noise level; see the formulas above.
    pub fn new(wiener: &Wiener, shape: ImageShape, level: NoiseLevel, threshold: f64) -> Self {
        let (d, n_pixels, channels) = (shape.n_values(), shape.n_pixels(), shape.channels);
        let filter = wiener.filter(level);
        let diagonal = |m: usize| match filter[(m, m)] {
            small if small.abs() < SMALLEST_DIAGONAL => 1.0,
            other => other,
        };
        let share = |m: usize, j: usize| (filter[(m, j)] / diagonal(m)).abs();
        let all = (0..d * d).map(|at| share(at / d, at % d));
        let least = threshold * all.fold(0.0, f64::max);
        let planar = |at: usize| at % channels * n_pixels + at / channels;
        let mut masks =
            Self { runs: Vec::new(), rows: Vec::with_capacity(d), bits: OnceLock::new() };
        for m in 0..d {
            let first = masks.runs.len() as u32;
            let sees = |j: usize| j == m || share(planar(m), planar(j)) >= least;
            let mut j = 0;
            while j < d {
                let start = j;
                while j < d && sees(j) {
                    j += 1;
                }
                if j > start {
                    masks.runs.push(start as u32..j as u32);
                }
                j += 1;
            }
            masks.rows.push(first..masks.runs.len() as u32);
        }
        masks
    }

    /// The masks as bits, in the layout of [`super::gpu::evidence::Mask`].
    pub fn bits(&self) -> &[u32] {
        self.bits.get_or_init(|| self.to_bits())
    }

    fn to_bits(&self) -> Vec<u32> {
        let d = self.rows.len();
        let words = d.div_ceil(32);
        let mut bits = vec![0; d * words];
        for m in 0..d {
            for j in self.of(m).iter().cloned().flatten() {
                bits[j as usize * words + m / 32] |= 1 << (m % 32);
            }
        }
        bits
    }

    /// The runs of coordinate `m`.
    fn of(&self, m: usize) -> &[Range<u32>] {
        &self.runs[self.rows[m].start as usize..self.rows[m].end as usize]
    }
}

/// Masks of the most recent noise levels: computing them costs more than the posterior over a small data set.
#[derive(Debug, Default)]
pub struct MaskCache {
    /// By the bits of `abar`.
    kept: Mutex<VecDeque<(u64, Arc<Masks>)>>,
}

impl MaskCache {
    /// The masks of a level, computed by `make` unless they are kept.
    pub fn get(&self, level: NoiseLevel, make: impl FnOnce() -> Masks) -> Arc<Masks> {
        let key = level.abar.to_bits();
        if let Some(masks) = self.kept(key) {
            return masks;
        }
        // Without the lock: a thread that waits for the parallel parts of `make` may run a job that comes here.
        let masks = Arc::new(make());
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == LEVELS_MAX {
            kept.pop_front();
        }
        kept.push_back((key, masks.clone()));
        masks
    }

    fn kept(&self, key: u64) -> Option<Arc<Masks>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|(of, _)| *of == key).map(|(_, masks)| masks.clone())
    }
}

impl Wiener {
    /// `S (S + s^2 I)^-1` with `s^2 = sigma^2 / abar`, [d, d].
    fn filter(&self, level: NoiseLevel) -> Mat<f64> {
        let noise = level.variance() / level.abar;
        let (directions, d) = (self.directions(), self.n_values());
        let rank = directions.len() / d.max(1);
        let gain = |i: usize| self.variances()[i] / (self.variances()[i] + noise);
        let u = Mat::from_fn(d, rank, |j, i| directions[i * d + j]);
        let scaled = Mat::from_fn(d, rank, |j, i| directions[i * d + j] * gain(i));
        scaled * u.transpose()
    }
}

/// Posteriors of the coordinates of one noisy image, seen through masks.
#[derive(Debug)]
pub struct MaskedSums<'a> {
    shape: ImageShape,
    masks: &'a Masks,
    /// `[H W, C]`.
    x: Vec<f64>,
    /// Each coordinate is one pixel; see [`by_pixel`].
    pub posterior: Posterior<f64, AllImages>,
    squares: Buffer<f64>,
    distances: Buffer<f64>,
}

impl<'a> MaskedSums<'a> {
    /// Posteriors without entries. `x` is `x_t / sqrt(abar)`, `[C, H, W]`, `logit_scale` is `abar / (2 sigma^2)`,
    /// `n_entries` the number of images.
    pub fn new(
        shape: ImageShape,
        masks: &'a Masks,
        x: &[f64],
        logit_scale: f64,
        n_entries: usize,
    ) -> Self {
        let (d, n_pixels, channels) = (shape.n_values(), shape.n_pixels(), shape.channels);
        let (line, n_lanes) = (ImageShape::new(1, 1, d), n_lanes::<f64>());
        Self {
            shape,
            masks,
            x: (0..d).map(|at| x[at % channels * n_pixels + at / channels]).collect(),
            posterior: Posterior::new(line, logit_scale, n_entries, true),
            squares: Buffer::zeros(d * n_lanes),
            distances: Buffer::zeros(d * n_lanes),
        }
    }
}

impl TileSums<f64> for MaskedSums<'_> {
    #[inline(always)]
    fn add<S: Simd>(&mut self, simd: S, tile: &Tile<f64>) {
        let values = f64::vectors::<S>(tile.pixels(0..self.shape.n_pixels(), self.shape.channels));
        let each = f64::vectors_mut::<S>(&mut self.squares);
        squares::<S, f64, 1>(simd, &self.x, values, 1, each);
        let distances = f64::vectors_mut::<S>(&mut self.distances);
        for (m, distance) in distances.iter_mut().enumerate() {
            // Four independent sums, so that additions need not wait for each other.
            let mut sums = [f64::splat(simd, 0.0); 4];
            for run in self.masks.of(m) {
                let (fours, rest) = each[run.start as usize..run.end as usize].as_chunks::<4>();
                for four in fours {
                    for i in 0..4 {
                        sums[i] = f64::plus(simd, sums[i], four[i]);
                    }
                }
                for &square in rest {
                    sums[0] = f64::plus(simd, sums[0], square);
                }
            }
            let [a, b, c, d] = sums;
            *distance = f64::plus(simd, f64::plus(simd, a, b), f64::plus(simd, c, d));
        }
        self.posterior.add_row::<S, 1>(simd, Row::of_tile(tile), distances, values);
        self.posterior.added(1);
    }
}

/// The estimate of an image from the posteriors of its coordinates.
pub fn by_pixel(all: &Accumulator, shape: ImageShape) -> Estimate {
    let (channels, n_pixels) = (shape.channels, shape.n_pixels());
    let means = all.mean();
    let x0 = (0..channels * n_pixels).map(|at| means[at % n_pixels * channels + at / n_pixels]);
    let coordinates = |p: usize| p * channels..(p + 1) * channels;
    let entropy = |p: usize| coordinates(p).map(|m| all.entropy(m)).sum::<f64>() / channels as f64;
    let provenance = |p: usize| {
        // The nearest image has weight 1 / total.
        let best = coordinates(p).min_by(|&a, &b| all.total[a].total_cmp(&all.total[b]));
        Provenance {
            image: best.map_or(0, |m| all.best[m].image),
            row: (p / shape.width) as u16,
            column: (p % shape.width) as u16,
        }
    };
    Estimate {
        x0: x0.collect(),
        entropy_nats: (0..n_pixels).map(entropy).collect(),
        provenance: (0..n_pixels).map(provenance).collect(),
        attention: None,
    }
}
