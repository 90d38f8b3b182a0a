//! Evidence for each training image at each pixel, and the estimate within it: the two factors of `els`.
//!
//! ```text
//! E[n,p] = logsumexp_q L[n,q,p] - ln |pool|          evidence that the patch at p came from image n
//! m[n,p] = sum_q softmax_q(L[n,q,p]) phi_n(q)         estimate at p if it did
//! ```
//!
//! docs/theory.md section 4 (our derivation). [`super::portions`] computes them portion by portion.

use super::weights::Accumulator;
use crate::diffusion::Provenance;

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
    /// Adds these images, weighted by `exp(log_weights)`, `[N, P]`, to a mixture of `C` or `C + 1` channels. The entropy
    /// within images is the last channel of `C + 1`.
    pub fn mix(&self, log_weights: &[f64], mixture: &mut Accumulator) {
        let (n_channels, n_pixels) = (self.n_channels, self.n_pixels);
        for (n, row) in log_weights.chunks_exact(n_pixels).enumerate() {
            for (p, &log_weight) in row.iter().enumerate() {
                let value = |c: usize| match c {
                    c if c < n_channels => self.estimates[(n * n_channels + c) * n_pixels + p],
                    _ => self.inner_entropy[n * n_pixels + p],
                };
                mixture.add(p, log_weight, Provenance::default(), value);
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
