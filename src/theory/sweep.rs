//! Many settings of the attention machine on one noisy image, sharing what does not depend on them.
//!
//! Calibration asks for hundreds of settings at each state. Evidence depends on the patch side alone, attention on
//! the source, votes on lambda; gamma only mixes two images ([`Mixture::estimate`]).

use super::attentive::{Mixture, Sharing};
use super::evidence::Portions;
use super::images::TrainingImages;
use super::kernels::PatchQuery;
use super::patches::Pool;
use super::spec::AttentionSource;
use crate::diffusion::{AttentionMaps, NoiseLevel};

/// One noisy image before one dictionary.
#[derive(Clone, Copy, Debug)]
pub struct Sweep<'a> {
    pub images: &'a TrainingImages,
    pub pool: Pool,
    /// Odd; at least for [`Pool::Interior`] no larger than the image.
    pub k: usize,
    pub level: NoiseLevel,
    /// `x_t`, `[C, P]`.
    pub x: &'a [f64],
    /// Maps of this one image, for the sources `trajectory` and `measured`.
    pub maps: Option<&'a AttentionMaps>,
}

impl Sweep<'_> {
    /// The estimates of each source under each lambda, `[sources][lambdas]`.
    ///
    /// # Panics
    /// If a source needs maps and there are none; [`super::Machine::new`] is where people's choices are checked.
    pub fn mixtures(&self, sources: &[AttentionSource], lambdas: &[f64]) -> Vec<Vec<Mixture>> {
        let signal = self.level.signal();
        let x: Vec<f32> = self.x.iter().map(|v| (v / signal) as f32).collect();
        let query = PatchQuery {
            shape: self.images.shape(),
            pool: self.pool,
            k: self.k,
            x: &x[..],
            precision: super::machine::logit_scale(self.level),
        };
        let portions = Portions::new(self.images, query);
        let mixtures = |source: &AttentionSource| {
            let maps = self.maps.map(|maps| {
                let weights: Vec<f64> = maps.weights().iter().map(|&w| f64::from(w)).collect();
                (maps.n_heads(), weights)
            });
            Sharing::of_source(*source, &portions, maps).mixtures(&portions, lambdas)
        };
        sources.iter().map(mixtures).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::diffusion::{Denoiser, Schedule};
    use crate::image::{ImageBatch, ImageShape};
    use crate::random::noise_seeds;
    use crate::theory::spec::{AttentionSettings, MachineKind, PatchSize, Scheduled};
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
        for pool in [Pool::Wrap, Pool::SameBorder] {
            let sweep =
                Sweep { images: &images, pool, k: 3, level, x: x.values(), maps: Some(&maps) };
            let found = sweep.mixtures(&sources, &lambdas);
            for (source, found) in sources.iter().zip(found) {
                for (lambda, mixture) in lambdas.into_iter().zip(found) {
                    for gamma in [0.0, 0.4] {
                        let settings = AttentionSettings { lambda, gamma, source: *source };
                        let settings = Scheduled::Fixed(settings);
                        let kind = MachineKind::Attention { pool, settings };
                        let spec = super::super::spec::MachineSpec { kind, k: PatchSize::Fixed(3) };
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

    fn normalised(maps: &AttentionMaps) -> AttentionMaps {
        let mut weights = maps.weights().to_vec();
        for row in weights.chunks_exact_mut(maps.n_pixels()) {
            let sum: f32 = row.iter().sum();
            row.iter_mut().for_each(|w| *w /= sum);
        }
        AttentionMaps::new(maps.n_heads(), maps.n_pixels(), weights)
    }
}
