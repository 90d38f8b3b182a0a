//! The attention machine: image evidence shared along attention.
//!
//! **Our derivation** (docs/theory.md section 4) in the setting of Finn et al. (arXiv 2506.17324), not a formula of theirs.
//! `els` splits into evidence for an image and an estimate within it; attention weights `A[p,r]` let other patches vote
//! on the image, and mix the estimates:
//!
//! ```text
//! E[n,p], m[n,p]: see `evidence.rs`
//! z(p)     = sum_n softmax_n( E[n,p] + lambda sum_r A[p,r] E[n,r] ) m[n,p]
//! x0hat(p) = (1 - gamma) z(p) + gamma sum_r A[p,r] z(r)
//! ```
//!
//! With several heads the votes are summed over heads and gamma mixes with the mean over heads. Entropy and provenance
//! describe `z`, the mixture over (n, q) at gamma = 0: its entropy is that of the image weights plus the mean entropy
//! within images, and its largest weight is the largest product of the weight of an image and that of a patch within it.

use rayon::prelude::*;

use super::attention_sources::AttentionWeights;
use super::cpu_kernels::PatchQuery;
use super::estimate_of_one_image::Estimate;
use super::evidence_in_portions::Portions;
use super::gpu::{evidence::Votes, posteriors, sums_over_gpus::GpuPlacement};
use super::image_evidence::{Evidence, ImageMixture};
use super::machine_spec::AttentionSettings;
use super::posterior_weights::Accumulator;
use super::training_pixels::ImagePixels;
use crate::diffusion::Provenance;
use crate::simd::Lane;

impl AttentionWeights {
    /// The estimate with these weights, under the lambda and gamma of `settings`.
    pub fn estimate<T: Lane>(
        &self,
        portions: &Portions<'_, T>,
        settings: &AttentionSettings,
    ) -> Estimate {
        let (n_values, n_pixels) = (portions.shape().n_values(), portions.shape().n_pixels());
        let ImageMixture { mixture, top } = self.mixed(portions, settings.lambda);
        let mut x0 = mixture.mean();
        let inner_entropy = x0.split_off(n_values);
        let entropy_nats =
            inner_entropy.iter().enumerate().map(|(p, inner)| inner + mixture.entropy(p)).collect();
        if settings.gamma != 0.0 {
            let attended = self.attended(&x0, n_pixels);
            x0 = Mixture { z: x0, attended }.estimate(settings.gamma);
        }
        let provenance = top.into_iter().map(|(place, _)| place).collect();
        Estimate { x0, entropy_nats, provenance, attention: None }
    }

    /// All images, mixed by their evidence and votes.
    fn mixed<T: Lane>(&self, portions: &Portions<'_, T>, lambda: f64) -> ImageMixture {
        portions.compute(
            |gpus, images, query, _| self.mixed_on_gpus(gpus, images, query, lambda),
            || {
                let shape = portions.shape();
                let mut all = ImageMixture::new(shape.channels, shape.n_pixels());
                portions.each(|evidence| all.add(evidence, &self.log_weights(evidence, lambda)));
                all
            },
        )
    }

    fn mixed_on_gpus<T: Lane>(
        &self,
        gpus: &GpuPlacement,
        images: &ImagePixels,
        query: PatchQuery<'_, T>,
        lambda: f64,
    ) -> Option<ImageMixture> {
        let mixed = |votes| posteriors::mixed(gpus, images, query, votes, lambda);
        let single = |values: &[f64]| -> Vec<f32> { values.iter().map(|&v| v as f32).collect() };
        match self {
            _ if lambda == 0.0 => mixed(Votes::Nothing),
            Self::Identity => mixed(Votes::Own),
            Self::Pooled { votes } => mixed(Votes::Images(&single(votes))),
            Self::Uniform => {
                let n_pixels = images.shape().n_pixels();
                mixed(Votes::Shared(&vec![1.0 / n_pixels as f32; n_pixels * n_pixels]))
            }
            Self::Rows { transposed, .. } => mixed(Votes::Shared(&single(transposed))),
        }
    }

    /// The estimates under each of `lambdas`, for any gamma: see [`Mixture`].
    pub fn mixtures<T: Lane>(&self, portions: &Portions<'_, T>, lambdas: &[f64]) -> Vec<Mixture> {
        let (shape, n_pixels) = (portions.shape(), portions.shape().n_pixels());
        let mixed: Vec<Accumulator> = portions.compute(
            |gpus, images, query, _| {
                let mixed = |&lambda| self.mixed_on_gpus(gpus, images, query, lambda);
                lambdas.iter().map(|lambda| Some(mixed(lambda)?.mixture)).collect()
            },
            || {
                if lambdas.iter().all(|&lambda| lambda == 0.0) {
                    // Without votes, the posterior over all patches is enough.
                    return vec![portions.patch_posterior(); lambdas.len()];
                }
                let mut mixtures = vec![Accumulator::new(shape.channels, n_pixels); lambdas.len()];
                portions.each(|evidence| {
                    let votes = self.votes(evidence);
                    mixtures.par_iter_mut().zip(lambdas).for_each(|(mixture, lambda)| {
                        evidence.mix(&log_weights(evidence, &votes, *lambda), mixture);
                    });
                });
                mixtures
            },
        );
        let z = |mixture: &Accumulator| {
            let mut z = mixture.mean();
            z.truncate(shape.n_values());
            z
        };
        let all: Vec<f64> = mixed.iter().flat_map(z).collect();
        // Together, because the weights are read once for all of them.
        let attended = self.attended(&all, n_pixels);
        let pairs = all.chunks_exact(shape.n_values()).zip(attended.chunks_exact(shape.n_values()));
        pairs.map(|(z, attended)| Mixture { z: z.to_vec(), attended: attended.to_vec() }).collect()
    }

    /// The `n_top` images of the largest weight `softmax_n(E[n,p] + lambda sum_r A[p,r] E[n,r])` at each pixel, largest
    /// first, with these weights.
    pub fn leading<T: Lane>(
        &self,
        portions: &Portions<'_, T>,
        lambda: f64,
        n_top: usize,
    ) -> Vec<Vec<(usize, f64)>> {
        let n_pixels = portions.shape().n_pixels();
        let mut sums = Accumulator::new(0, n_pixels);
        let mut top: Vec<Vec<(usize, f64)>> = vec![Vec::new(); n_pixels];
        portions.each(|evidence| {
            let log_weights = self.log_weights(evidence, lambda);
            for (n, row) in log_weights.chunks_exact(n_pixels).enumerate() {
                for (p, &log_weight) in row.iter().enumerate() {
                    sums.add(p, log_weight, Provenance::default(), |_| 0.0);
                    let top = &mut top[p];
                    let at = top.partition_point(|(_, other)| *other >= log_weight);
                    if at < n_top {
                        top.truncate(n_top - 1);
                        top.insert(at, (evidence.first + n, log_weight));
                    }
                }
            }
        });
        for (p, top) in top.iter_mut().enumerate() {
            top.iter_mut().for_each(|(_, weight)| *weight = (*weight - sums.log_sum(p)).exp());
        }
        top
    }

    /// `E[n,p] + lambda votes[n,p]`, `[N, P]`.
    fn log_weights(&self, evidence: &Evidence, lambda: f64) -> Vec<f64> {
        match lambda {
            0.0 => evidence.log_evidence.clone(),
            lambda => log_weights(evidence, &self.votes(evidence), lambda),
        }
    }
}

/// Estimates of one image before value mixing, and what each pixel then sees of the others'.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixture {
    /// `z(p)`, `[C, P]`.
    pub z: Vec<f64>,
    /// `sum_r A[p,r] z(r)`, the mean over heads.
    pub attended: Vec<f64>,
}

impl Mixture {
    /// `x0hat(p) = (1 - gamma) z(p) + gamma sum_r A[p,r] z(r)`.
    pub fn estimate(&self, gamma: f64) -> Vec<f64> {
        let pairs = self.z.iter().zip(&self.attended);
        pairs.map(|(z, attended)| (1.0 - gamma) * z + gamma * attended).collect()
    }
}

/// `E[n,p] + lambda votes[n,p]`.
fn log_weights(evidence: &Evidence, votes: &[f64], lambda: f64) -> Vec<f64> {
    let pairs = evidence.log_evidence.iter().zip(votes);
    pairs.map(|(evidence, vote)| evidence + lambda * vote).collect()
}
