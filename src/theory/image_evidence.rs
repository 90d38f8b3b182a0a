//! Evidence for each training image at each pixel, and the estimate within it: the two factors of `els`.
//!
//! ```text
//! E[n,p] = logsumexp_q L[n,q,p] - ln |pool|          evidence that the patch at p came from image n
//! m[n,p] = sum_q softmax_q(L[n,q,p]) phi_n(q)         estimate at p if it did
//! ```
//!
//! docs/theory.md section 4 (our derivation). [`super::evidence_in_portions`] computes them portion by portion.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::cpu_kernels::posterior::pruned_nats;
use super::posterior_weights::Accumulator;
use crate::diffusion::Provenance;
use crate::simd::Lane;

/// Evidence of `N` consecutive images at `P` pixels.
#[derive(Debug)]
pub struct Evidence {
    /// Number of the first of these images in the dictionary.
    pub first: usize,
    pub n_channels: usize,
    pub n_pixels: usize,
    /// `E[n,p]` in nats, `[N, P]`.
    pub log_evidence: Vec<f64>,
    /// `m[n,p]`, `[N, C, P]`.
    pub estimates: Vec<f64>,
    /// Entropy in nats of the patch weights within an image, `[N, P]`.
    pub inner_entropy: Vec<f64>,
    /// The patch of the largest weight within an image and the logarithm of that weight, `[N, P]`.
    pub inner_best: Vec<(Provenance, f64)>,
}

impl Evidence {
    /// Zeros for the images of `range`.
    pub fn zeros(range: Range<usize>, n_channels: usize, n_pixels: usize) -> Self {
        let n = range.len();
        Self {
            first: range.start,
            n_channels,
            n_pixels,
            log_evidence: vec![0.0; n * n_pixels],
            estimates: vec![0.0; n * n_channels * n_pixels],
            inner_entropy: vec![0.0; n * n_pixels],
            inner_best: vec![(Provenance::default(), 0.0); n * n_pixels],
        }
    }

    /// Adds these images, weighted by `exp(log_weights)`, `[N, P]`, to a mixture of `C` or `C + 1` channels. The entropy
    /// within images is the last channel of `C + 1`.
    pub fn mix(&self, log_weights: &[f64], mixture: &mut Accumulator) {
        let mut max = vec![f64::NEG_INFINITY; self.n_pixels];
        for row in log_weights.chunks_exact(self.n_pixels) {
            max.iter_mut().zip(row).for_each(|(max, weight)| *max = max.max(*weight));
        }
        max.iter().enumerate().for_each(|(p, max)| mixture.raise(p, *max));
        Arch::new().dispatch(Mix { evidence: self, log_weights, mixture });
    }
}

/// [`Evidence::mix`], once no weight is above the maximum of the mixture.
struct Mix<'a> {
    evidence: &'a Evidence,
    log_weights: &'a [f64],
    mixture: &'a mut Accumulator,
}

impl WithSimd for Mix<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Evidence { n_channels, n_pixels, estimates, inner_entropy, .. } = self.evidence;
        let (n_channels, n_pixels) = (*n_channels, *n_pixels);
        let n_mixed = self.mixture.sums.len() / n_pixels;
        let n_images = self.log_weights.len() / n_pixels;
        let log2_e = simd.splat_f64s(std::f64::consts::LOG2_E);
        // What is left out of a sum weighs less than its rounding.
        let least = simd.splat_f64s(-pruned_nats::<f64>(n_images));
        let n_lanes = f64::n_lanes::<S>();
        let mut sums = vec![simd.splat_f64s(0.0); n_mixed];
        for first in (0..n_pixels).step_by(n_lanes) {
            let pixels = first..(first + n_lanes).min(n_pixels);
            let load = |values: &[f64], row: usize| {
                let row = &values[row * n_pixels..(row + 1) * n_pixels];
                match f64::vectors::<S>(&row[pixels.clone()]) {
                    [all] => *all,
                    _ => simd.partial_load_f64s(&row[pixels.clone()]),
                }
            };
            let max = load(&self.mixture.max, 0);
            let mut total = load(&self.mixture.total, 0);
            let mut spread = load(&self.mixture.spread, 0);
            for (c, sum) in sums.iter_mut().enumerate() {
                *sum = load(&self.mixture.sums, c);
            }
            for n in 0..n_images {
                let distance = simd.sub_f64s(load(self.log_weights, n), max);
                if !f64::any_within(simd, least, distance) {
                    continue;
                }
                let weight = <f64 as Lane>::exp2(simd, simd.mul_f64s(distance, log2_e));
                total = simd.add_f64s(total, weight);
                spread = simd.mul_add_e_f64s(weight, distance, spread);
                for (c, sum) in sums.iter_mut().enumerate() {
                    let value = if c < n_channels {
                        load(estimates, n * n_channels + c)
                    } else {
                        load(inner_entropy, n)
                    };
                    *sum = simd.mul_add_e_f64s(weight, value, *sum);
                }
            }
            simd.partial_store_f64s(&mut self.mixture.total[pixels.clone()], total);
            simd.partial_store_f64s(&mut self.mixture.spread[pixels.clone()], spread);
            for (c, sum) in sums.iter().enumerate() {
                let row = &mut self.mixture.sums[c * n_pixels..(c + 1) * n_pixels];
                simd.partial_store_f64s(&mut row[pixels.clone()], *sum);
            }
        }
    }
}

/// All images mixed by their weights at each pixel.
#[derive(Clone, Debug)]
pub struct ImageMixture {
    /// `C + 1` channels: the mean estimate, then the mean entropy within images.
    pub mixture: Accumulator,
    /// At each pixel the patch of the largest weight (of its image times of the patch within it), and the logarithm of
    /// that weight in nats, up to a constant of the pixel.
    pub top: Vec<(Provenance, f64)>,
}

impl ImageMixture {
    /// A mixture without images.
    pub fn new(n_channels: usize, n_pixels: usize) -> Self {
        let top = vec![(Provenance::default(), f64::NEG_INFINITY); n_pixels];
        Self { mixture: Accumulator::new(n_channels + 1, n_pixels), top }
    }

    /// Adds `evidence`, weighted by `exp(log_weights)`, `[N, P]`.
    pub fn add(&mut self, evidence: &Evidence, log_weights: &[f64]) {
        evidence.mix(log_weights, &mut self.mixture);
        let n_pixels = self.top.len();
        let all = log_weights.iter().zip(&evidence.inner_best).enumerate();
        for (at, (image_weight, (place, inner_weight))) in all {
            let top = &mut self.top[at % n_pixels];
            if image_weight + inner_weight > top.1 {
                *top = (*place, image_weight + inner_weight);
            }
        }
    }

    /// Adds a mixture over other images.
    pub fn merge(&mut self, other: &Self) {
        self.mixture.merge(&other.mixture);
        for (top, other) in self.top.iter_mut().zip(&other.top) {
            if other.1 > top.1 {
                *top = *other;
            }
        }
    }
}
