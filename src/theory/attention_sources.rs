//! The attention that the attention machine uses, by source: computed from the training images (`similarity`,
//! `co-origin`,
//! `pooled`), fixed (`uniform`, `identity`), or given (`trajectory`, `measured`); docs/theory.md section 5.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::evidence_in_portions::Portions;
use super::gpu::posteriors;
use super::image_evidence::Evidence;
use super::machine_spec::AttentionSource;
use crate::diffusion::AttentionMaps;
use crate::simd::Lane;
use crate::simd::matrix_product::{Left, Right, Write, every, multiply};

/// Images whose evidence is attended to in one matrix product.
const GATHERED: usize = 64;

/// Attention weights `A[p,r]` over `P` pixels.
#[derive(Debug)]
pub enum AttentionWeights {
    Identity,
    Uniform,
    /// Uniform, with votes for each image of the dictionary, `[N]`, in place of attended evidence.
    Pooled {
        votes: Vec<f64>,
    },
    /// Any weights: their sum over heads, transposed, `[r, p]`.
    Rows {
        n_heads: usize,
        transposed: Vec<f64>,
    },
}

impl AttentionWeights {
    /// Weights from maps `[heads, P, P]`.
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

    /// The weights of `source`; `maps` (number of heads, and weights `[heads, P, P]`) serve the sources `trajectory` and
    /// `measured`.
    ///
    /// # Panics
    ///
    /// If one of these sources has no maps, which [`super::Machine::new`] checks.
    pub fn of_source<T: Lane>(
        source: AttentionSource,
        portions: &Portions<'_, T>,
        maps: Option<(usize, Vec<f64>)>,
    ) -> Self {
        match source {
            AttentionSource::Trajectory | AttentionSource::Measured => {
                let (n_heads, weights) = maps.expect("machines are checked for their maps");
                Self::from_maps(n_heads, portions.shape().n_pixels(), &weights)
            }
            AttentionSource::Uniform => Self::Uniform,
            AttentionSource::Identity => Self::Identity,
            AttentionSource::CoOrigin => Self::co_origin(portions),
            AttentionSource::Similarity { tau } => Self::similarity(portions, tau),
            AttentionSource::Pooled => {
                let votes = portions.pooled_model().log_likelihoods(&portions.pooled_estimate());
                Self::Pooled { votes }
            }
        }
    }

    /// `sum_r A[p,r] values[n,r]` for every n and p, summed over heads, `[N, P]`.
    fn gather(&self, values: &[f64], n_pixels: usize) -> Vec<f64> {
        let mut out = values.to_vec();
        match self {
            Self::Identity => {}
            Self::Uniform | Self::Pooled { .. } => {
                out.par_chunks_exact_mut(n_pixels).for_each(|row| {
                    let mean = row.iter().sum::<f64>() / n_pixels as f64;
                    row.fill(mean);
                });
            }
            Self::Rows { transposed, .. } => {
                let right_rows = every(n_pixels, n_pixels);
                let right = Right { values: transposed, rows: right_rows.all() };
                let columns = every(1, n_pixels);
                let each = GATHERED * n_pixels;
                let pairs = out.par_chunks_mut(each).zip(values.par_chunks(each));
                pairs.for_each(|(out, values)| {
                    let rows = every(n_pixels, values.len() / n_pixels);
                    let left = Left { values, rows: rows.all(), columns: columns.all() };
                    multiply(Write::Overwrite, n_pixels, (out, rows.all()), left, right);
                });
            }
        }
        out
    }

    fn n_heads(&self) -> f64 {
        match self {
            Self::Rows { n_heads, .. } => *n_heads as f64,
            _ => 1.0,
        }
    }

    /// The mean over heads as one map `[1, 1, P, P]`, for display.
    pub fn to_maps(&self, n_pixels: usize) -> AttentionMaps {
        let weight = |p: usize, r: usize| match self {
            Self::Identity => f64::from(u8::from(p == r)),
            Self::Uniform | Self::Pooled { .. } => 1.0 / n_pixels as f64,
            Self::Rows { n_heads, transposed } => transposed[r * n_pixels + p] / *n_heads as f64,
        };
        let all = (0..n_pixels * n_pixels).map(|at| weight(at / n_pixels, at % n_pixels) as f32);
        AttentionMaps::new(1, n_pixels, all.collect())
    }

    /// `sum_r A[p,r] E[n,r]`, or the votes that replace it, `[N, P]`.
    pub fn votes(&self, evidence: &Evidence) -> Vec<f64> {
        if let Self::Pooled { votes } = self {
            let n = evidence.log_evidence.len() / evidence.n_pixels;
            let votes = votes[evidence.first..evidence.first + n].iter();
            return votes.flat_map(|vote| vec![*vote; evidence.n_pixels]).collect();
        }
        self.gather(&evidence.log_evidence, evidence.n_pixels)
    }

    /// `sum_r A[p,r] z(r)`, the mean over heads, `[C, P]`.
    pub fn attended(&self, z: &[f64], n_pixels: usize) -> Vec<f64> {
        let n_heads = self.n_heads();
        self.gather(z, n_pixels).into_iter().map(|sum| sum / n_heads).collect()
    }

    /// `co-origin`: `A[p,r]` proportional to `sum_n P(n|p) P(n|r)`, `P(.|p) = softmax_n E[n,p]`.
    pub fn co_origin<T: Lane>(portions: &Portions<'_, T>) -> Self {
        let n_pixels = portions.shape().n_pixels();
        let mixture = portions.local_mixture();
        let log_sums: Vec<f64> = (0..n_pixels).map(|p| mixture.log_sum(p)).collect();
        let mut rows = portions.compute(
            |gpus, images, query, log_pool| {
                posteriors::co_origin(gpus, images, query, &log_sums, log_pool)
            },
            || Self::common_origins(portions, &log_sums),
        );
        for row in rows.chunks_exact_mut(n_pixels) {
            // `sum_n P(n|p)^2` is at least 1 / N, so the row is never empty.
            let sum: f64 = row.iter().sum();
            row.iter_mut().for_each(|a| *a /= sum);
        }
        Self::from_maps(1, n_pixels, &rows)
    }

    /// `sum_n P(n|p) P(n|r)`, `[P, P]`.
    fn common_origins<T: Lane>(portions: &Portions<'_, T>, log_sums: &[f64]) -> Vec<f64> {
        let n_pixels = portions.shape().n_pixels();
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
        rows
    }

    /// `similarity`: `A[p,r] = softmax_r(-||z(p) - z(r)||^2 / tau)`, z the `els` estimate.
    pub fn similarity<T: Lane>(portions: &Portions<'_, T>, tau: f64) -> Self {
        let n_pixels = portions.shape().n_pixels();
        let mut z = portions.local_mixture().mean();
        z.truncate(portions.shape().n_values());
        let mut transposed = vec![0.0; n_pixels * n_pixels];
        // The largest logit of a row is that of r = p, and it is 0.
        Arch::new().dispatch(Similarities { z: &z, tau, out: &mut transposed });
        // Similarities are symmetric: the sum over r of row p is that of column p.
        let reciprocals: Vec<f64> = transposed
            .chunks_exact(n_pixels)
            .map(|column| 1.0 / column.iter().sum::<f64>())
            .collect();
        for row in transposed.chunks_exact_mut(n_pixels) {
            row.iter_mut().zip(&reciprocals).for_each(|(a, reciprocal)| *a *= reciprocal);
        }
        Self::Rows { n_heads: 1, transposed }
    }
}

/// `exp(-||z(p) - z(r)||^2 / tau)` for every p and r, `[P, P]`, of `z`, `[C, P]`.
struct Similarities<'a> {
    z: &'a [f64],
    tau: f64,
    out: &'a mut [f64],
}

impl WithSimd for Similarities<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let n_pixels = self.out.len().isqrt();
        let scale = simd.splat_f64s(-std::f64::consts::LOG2_E / self.tau);
        for (p, row) in self.out.chunks_exact_mut(n_pixels).enumerate() {
            for (at, out) in row.chunks_mut(f64::n_lanes::<S>()).enumerate() {
                let first = at * f64::n_lanes::<S>();
                let mut distance = simd.splat_f64s(0.0);
                for plane in self.z.chunks_exact(n_pixels) {
                    let values = &plane[first..first + out.len()];
                    let other = match f64::vectors::<S>(values) {
                        [all] => *all,
                        _ => simd.partial_load_f64s(values),
                    };
                    let gap = simd.sub_f64s(simd.splat_f64s(plane[p]), other);
                    distance = simd.mul_add_e_f64s(gap, gap, distance);
                }
                simd.partial_store_f64s(
                    out,
                    <f64 as Lane>::exp2(simd, simd.mul_f64s(distance, scale)),
                );
            }
        }
    }
}
