//! The attention machine under many settings on one noisy image, sharing what does not depend on them.
//!
//! Calibration tries hundreds of settings at each state. Evidence depends on the patch side only, attention on the
//! source, votes on lambda; gamma only mixes two images ([`Mixture::estimate`]).

use super::attention_machine::Mixture;
use super::attention_sources::AttentionWeights;
use super::cpu_kernels::{PatchQuery, logit_scale};
use super::evidence_in_portions::Portions;
use super::machine_spec::AttentionSource;
use super::patch_pools_ls_els_bbels::Pool;
use super::patch_window::PatchWindow;
use super::training_images::TrainingImages;
use crate::diffusion::{AttentionMaps, NoiseLevel};

/// One noisy image and one dictionary.
#[derive(Clone, Copy, Debug)]
pub struct Sweep<'a> {
    pub images: &'a TrainingImages,
    pub pool: Pool,
    /// Patch side: odd, and for [`Pool::Interior`] no larger than the image.
    pub k: usize,
    pub window: PatchWindow,
    pub level: NoiseLevel,
    /// `x_t`, `[C, P]`.
    pub x: &'a [f64],
    /// Attention maps of this image, `[1, heads, P, P]`, for the sources `trajectory` and `measured`.
    pub maps: Option<&'a AttentionMaps>,
}

impl Sweep<'_> {
    /// Computes what `source` needs for any image, so that threads do not compute it at the same time.
    pub fn prepare(&self, source: AttentionSource) {
        if source == AttentionSource::Pooled {
            self.portions(&self.scaled()).pooled_model();
        }
    }

    /// The estimates of each source under each lambda, `[sources][lambdas]`.
    ///
    /// # Panics
    ///
    /// If a source needs maps and there are none; [`super::Machine::new`] checks the settings of users.
    pub fn mixtures(&self, sources: &[AttentionSource], lambdas: &[f64]) -> Vec<Vec<Mixture>> {
        let x = self.scaled();
        let portions = self.portions(&x);
        let mixtures = |source: &AttentionSource| {
            self.attention(*source, &portions).mixtures(&portions, lambdas)
        };
        sources.iter().map(mixtures).collect()
    }

    /// The `n_top` training images of the largest posterior weight at each pixel, largest first, with their weights,
    /// under this source and lambda. Lambda is 0 for machines without attention.
    ///
    /// # Panics
    ///
    /// As [`Sweep::mixtures`].
    pub fn leading(
        &self,
        source: AttentionSource,
        lambda: f64,
        n_top: usize,
    ) -> Vec<Vec<(usize, f64)>> {
        let x = self.scaled();
        let portions = self.portions(&x);
        self.attention(source, &portions).leading(&portions, lambda, n_top)
    }

    /// `x_t / sqrt(abar)`.
    fn scaled(&self) -> Vec<f32> {
        let signal = self.level.signal();
        self.x.iter().map(|v| (v / signal) as f32).collect()
    }

    fn portions<'x>(&'x self, x: &'x [f32]) -> Portions<'x, f32> {
        let query = PatchQuery {
            shape: self.images.shape(),
            pool: self.pool,
            k: self.k,
            window: self.window,
            x,
            logit_scale: logit_scale(self.level),
        };
        Portions::new(self.images, query)
    }

    fn attention(&self, source: AttentionSource, portions: &Portions<'_, f32>) -> AttentionWeights {
        let maps = self.maps.map(|maps| {
            let weights: Vec<f64> = maps.weights().iter().map(|&w| f64::from(w)).collect();
            (maps.n_heads(), weights)
        });
        AttentionWeights::of_source(source, portions, maps)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::diffusion::{Denoiser, Schedule};
    use crate::image::{ImageBatch, ImageShape};
    use crate::random::noise_seeds;
    use crate::theory::machine_spec::{
        AttentionSettings, MachineKind, MachineSpec, PatchSize, Scheduled,
    };
    use crate::theory::{AttentionProvider, Machine, Precision, RecordedAttention};

    #[test]
    fn a_sweep_is_what_the_machine_says_setting_by_setting() {
        let shape = ImageShape::new(2, 4, 5);
        let images = noise_seeds(1, 0, 6, shape).into_values();
        let images = Arc::new(TrainingImages::from_values(shape, images).unwrap());
        let level = Schedule::Cosine.level(0.6);
        let x = noise_seeds(2, 0, 1, shape);
        let maps = AttentionMaps::new(
            2,
            20,
            (0..800).map(|i| f32::from(u8::from(i % 21 == 0 || i % 20 == 3))).collect(),
        );
        let maps = normalised(&maps);
        let mut recorded = RecordedAttention::new();
        recorded.push(level, maps.clone());
        let recorded = Arc::new(recorded) as Arc<dyn AttentionProvider>;
        let sources = [
            AttentionSource::Uniform,
            AttentionSource::CoOrigin,
            AttentionSource::Similarity { tau: 0.4 },
            AttentionSource::Trajectory,
            AttentionSource::Identity,
        ];
        let lambdas = [0.0, 0.7, 5.0];
        let gaussian = PatchWindow::Gaussian { width: 0.3 };
        for (pool, window) in [
            (Pool::Wrap, PatchWindow::Square),
            (Pool::SameBorder, PatchWindow::Square),
            (Pool::Wrap, gaussian),
        ] {
            let (images, maps) = (images.clone(), Some(&maps));
            let sweep = Sweep { images: &images, pool, k: 3, window, level, x: x.values(), maps };
            let found = sweep.mixtures(&sources, &lambdas);
            for (source, found) in sources.iter().zip(found) {
                for (lambda, mixture) in lambdas.into_iter().zip(found) {
                    for gamma in [0.0, 0.4] {
                        let settings = AttentionSettings { lambda, gamma, source: *source };
                        let settings = Scheduled::Fixed(settings);
                        let kind = MachineKind::Attention { pool, settings };
                        let spec = MachineSpec::new(kind, PatchSize::Fixed(3)).with_window(window);
                        let provider = Some(recorded.clone());
                        let machine =
                            Machine::new(spec, images.clone(), Precision::F32, provider).unwrap();
                        let x = ImageBatch::new(shape, x.values().to_vec());
                        let expected = machine.denoise(&x, level).unwrap().x0;
                        let pairs = mixture.estimate(gamma).into_iter().zip(expected.into_values());
                        pairs.for_each(|(a, b)| {
                            assert!((a - b).abs() < 1e-6, "{source:?} {lambda} {gamma}")
                        });
                    }
                }
            }
        }
    }

    #[test]
    fn the_weights_of_all_images_are_those_of_a_machine_that_sees_one_value_an_image() {
        // Image n has the value v_n everywhere, so a machine's estimate is the mean of v under the image weights.
        let shape = ImageShape::new(1, 3, 3);
        let values = [-0.8, -0.1, 0.3, 0.9];
        let images: Vec<f64> = values.iter().flat_map(|v| [*v; 9]).collect();
        let images = TrainingImages::from_values(shape, images).unwrap();
        let level = Schedule::Cosine.level(0.7);
        let x = noise_seeds(5, 0, 1, shape);
        let sweep = Sweep {
            images: &images,
            pool: Pool::Wrap,
            k: 1,
            window: PatchWindow::Square,
            level,
            x: x.values(),
            maps: None,
        };
        let source = AttentionSource::Uniform;
        for lambda in [0.0, 2.0] {
            let all = sweep.leading(source, lambda, 9);
            let expected = sweep.mixtures(&[source], &[lambda])[0][0].estimate(0.0);
            for (p, top) in all.iter().enumerate() {
                assert!(top.windows(2).all(|pair| pair[0].1 >= pair[1].1) && top.len() == 4);
                let sum: f64 = top.iter().map(|(_, weight)| weight).sum();
                let mean: f64 = top.iter().map(|(n, weight)| values[*n] * weight).sum();
                assert!((sum - 1.0).abs() < 1e-9 && (mean - expected[p]).abs() < 1e-6, "{top:?}");
            }
            let best = sweep.leading(source, lambda, 2);
            assert!(best.iter().zip(&all).all(|(best, all)| best[..] == all[..2]));
        }
    }

    fn normalised(maps: &AttentionMaps) -> AttentionMaps {
        let mut weights = maps.weights().to_vec();
        for row in weights.chunks_exact_mut(maps.n_pixels()) {
            let sum: f32 = row.iter().sum();
            row.iter_mut().for_each(|w| *w /= sum);
        }
        AttentionMaps::new(maps.n_heads(), maps.n_pixels(), weights)
    }
}
