//! The attention machine: image evidence shared along attention.
//!
//! **Our derivation** in the setting of Finn et al. (arXiv 2506.17324), not a formula of theirs. `els`
//! splits into evidence for an image and an estimate within it; attention weights `A[p,r]` let other
//! patches vote on the image, and mix the estimates:
//!
//! ```text
//! E[n,p], m[n,p]: see [`super::evidence`]
//! z(p)     = sum_n softmax_n( E[n,p] + lambda sum_r A[p,r] E[n,r] ) m[n,p]
//! x0hat(p) = (1 - gamma) z(p) + gamma sum_r A[p,r] z(r)
//! ```
//!
//! With several heads the votes are summed over heads and gamma mixes with the heads' mean. Entropy
//! and provenance describe `z`, the mixture over (n, q) at gamma = 0: its entropy is that of the image
//! weights plus the mean of the entropies within images, and its largest weight is the largest
//! product of an image's weight and its best patch's.

use rayon::prelude::*;

use super::evidence::{Evidence, Portions};
use super::spec::AttentionSettings;
use super::weights::Accumulator;
use crate::diffusion::{AttentionMaps, Provenance};
use crate::image::ImageShape;
use crate::simd::Lane;

/// Attention weights in a form that knows its shortcuts.
#[derive(Debug)]
pub enum Sharing {
    Identity,
    Uniform,
    /// Sum over heads, transposed: `[r, p]`.
    Rows {
        n_heads: usize,
        transposed: Vec<f64>,
    },
}

impl Sharing {
    /// From maps `[heads, P, P]`.
    pub fn from_maps(n_heads: usize, n_pixels: usize, maps: &[f64]) -> Self {
        let mut transposed = vec![0.0; n_pixels * n_pixels];
        for map in maps.chunks_exact(n_pixels * n_pixels) {
            for (p, row) in map.chunks_exact(n_pixels).enumerate() {
                for (r, weight) in row.iter().enumerate() {
                    transposed[r * n_pixels + p] += weight;
                }
            }
        }
        Self::Rows { n_heads, transposed }
    }

    /// `sum_r A[p,r] values[r]` for every p, summed over heads.
    fn gather(&self, values: &[f64]) -> Vec<f64> {
        let n_pixels = values.len();
        match self {
            Self::Identity => values.to_vec(),
            Self::Uniform => vec![values.iter().sum::<f64>() / n_pixels as f64; n_pixels],
            Self::Rows { transposed, .. } => {
                let mut out = vec![0.0; n_pixels];
                for (&value, weights) in values.iter().zip(transposed.chunks_exact(n_pixels)) {
                    out.iter_mut().zip(weights).for_each(|(out, weight)| *out += weight * value);
                }
                out
            }
        }
    }

    fn n_heads(&self) -> f64 {
        match self {
            Self::Rows { n_heads, .. } => *n_heads as f64,
            _ => 1.0,
        }
    }

    /// As one map for display, the mean over heads.
    pub fn to_maps(&self, n_pixels: usize) -> AttentionMaps {
        let weight = |p: usize, r: usize| match self {
            Self::Identity => f64::from(u8::from(p == r)),
            Self::Uniform => 1.0 / n_pixels as f64,
            Self::Rows { n_heads, transposed } => transposed[r * n_pixels + p] / *n_heads as f64,
        };
        let all = (0..n_pixels * n_pixels).map(|at| weight(at / n_pixels, at % n_pixels) as f32);
        AttentionMaps::new(1, n_pixels, all.collect())
    }
}

/// The estimate of one image with its diagnostics.
#[derive(Debug)]
pub struct Shared {
    /// `[C, P]`.
    pub x0: Vec<f64>,
    pub entropy_nats: Vec<f64>,
    /// `image` counts in the filtered dictionary.
    pub provenance: Vec<Provenance>,
}

impl Sharing {
    /// The estimate under `settings`, whose source is already resolved into this.
    pub fn estimate<T: Lane>(
        &self,
        portions: &Portions<'_, T>,
        settings: &AttentionSettings,
    ) -> Shared {
        let ImageShape { channels, .. } = portions.shape();
        let n_pixels = portions.shape().n_pixels();
        let mut mixture = Accumulator::new(channels + 1, n_pixels);
        let mut top = vec![(Provenance::default(), f64::NEG_INFINITY); n_pixels];
        portions.each(|evidence| {
            let votes = self.votes(evidence, settings.lambda);
            evidence.mix(&votes, &mut mixture);
            for (at, (vote, (place, log_weight))) in
                votes.iter().zip(&evidence.inner_best).enumerate()
            {
                let best = &mut top[at % n_pixels];
                if vote + log_weight > best.1 {
                    *best = (*place, vote + log_weight);
                }
            }
        });
        let mut x0 = mixture.mean();
        let inner_entropy = x0.split_off(channels * n_pixels);
        let entropy_nats =
            inner_entropy.iter().enumerate().map(|(p, inner)| inner + mixture.entropy(p)).collect();
        if settings.gamma != 0.0 {
            self.mix_values(&mut x0, settings.gamma, n_pixels);
        }
        let provenance = top.into_iter().map(|(place, _)| place).collect();
        Shared { x0, entropy_nats, provenance }
    }

    /// `E[n,p] + lambda sum_r A[p,r] E[n,r]`.
    fn votes(&self, evidence: &Evidence, lambda: f64) -> Vec<f64> {
        let mut votes = evidence.log_evidence.clone();
        if lambda != 0.0 {
            votes.par_chunks_exact_mut(evidence.n_pixels).for_each(|row| {
                let shared = self.gather(row);
                row.iter_mut().zip(shared).for_each(|(vote, shared)| *vote += lambda * shared);
            });
        }
        votes
    }

    fn mix_values(&self, x0: &mut [f64], gamma: f64, n_pixels: usize) {
        let share = gamma / self.n_heads();
        for plane in x0.chunks_exact_mut(n_pixels) {
            let attended = self.gather(plane);
            for (z, attended) in plane.iter_mut().zip(attended) {
                *z = (1.0 - gamma) * *z + share * attended;
            }
        }
    }

    /// `co-origin`: `A[p,r]` proportional to `sum_n P(n|p) P(n|r)`, `P(.|p) = softmax_n E[n,p]`.
    pub fn co_origin<T: Lane>(portions: &Portions<'_, T>) -> Self {
        let n_pixels = portions.shape().n_pixels();
        let mixture = equivariant_local(portions);
        let log_sums: Vec<f64> = (0..n_pixels).map(|p| mixture.log_sum(p)).collect();
        let mut rows = vec![0.0; n_pixels * n_pixels];
        portions.each(|evidence| {
            let evidence = evidence.log_evidence.iter().enumerate();
            let chances: Vec<f64> =
                evidence.map(|(at, evidence)| (evidence - log_sums[at % n_pixels]).exp()).collect();
            rows.par_chunks_exact_mut(n_pixels).enumerate().for_each(|(p, row)| {
                for image in chances.chunks_exact(n_pixels) {
                    // Most images are out of the question for most pixels.
                    if image[p] > 0.0 {
                        row.iter_mut().zip(image).for_each(|(a, chance)| *a += image[p] * chance);
                    }
                }
            });
        });
        for row in rows.chunks_exact_mut(n_pixels) {
            // `sum_n P(n|p)^2` is at least 1 / N, so the row is never empty.
            let sum: f64 = row.iter().sum();
            row.iter_mut().for_each(|a| *a /= sum);
        }
        Self::from_maps(1, n_pixels, &rows)
    }

    /// `similarity`: `A[p,r] = softmax_r(-||z(p) - z(r)||^2 / tau)`, z the `els` estimate.
    pub fn similarity<T: Lane>(portions: &Portions<'_, T>, tau: f64) -> Self {
        let n_pixels = portions.shape().n_pixels();
        let z = equivariant_local(portions).mean();
        let mut rows = vec![0.0; n_pixels * n_pixels];
        rows.par_chunks_exact_mut(n_pixels).enumerate().for_each(|(p, row)| {
            for plane in z.chunks_exact(n_pixels).take(portions.shape().channels) {
                row.iter_mut().zip(plane).for_each(|(a, z)| *a += (plane[p] - z).powi(2));
            }
            // The largest logit is that of r = p, and it is 0.
            row.iter_mut().for_each(|a| *a = (-*a / tau).exp());
            let sum: f64 = row.iter().sum();
            row.iter_mut().for_each(|a| *a /= sum);
        });
        Self::from_maps(1, n_pixels, &rows)
    }
}

/// The mixture over images by their own evidence alone, which is `els`.
fn equivariant_local<T: Lane>(portions: &Portions<'_, T>) -> Accumulator {
    let shape = portions.shape();
    let mut mixture = Accumulator::new(shape.channels + 1, shape.n_pixels());
    portions.each(|evidence| evidence.mix(&evidence.log_evidence, &mut mixture));
    mixture
}

impl Evidence {
    /// Adds these images to a mixture; the entropy within images rides along as one more channel.
    fn mix(&self, votes: &[f64], mixture: &mut Accumulator) {
        let (n_channels, n_pixels) = (self.n_channels, self.n_pixels);
        for (n, row) in votes.chunks_exact(n_pixels).enumerate() {
            for (p, &vote) in row.iter().enumerate() {
                let value = |c: usize| match c {
                    c if c < n_channels => self.estimates[(n * n_channels + c) * n_pixels + p],
                    _ => self.inner_entropy[n * n_pixels + p],
                };
                mixture.add(p, vote, Provenance::default(), value);
            }
        }
    }
}
