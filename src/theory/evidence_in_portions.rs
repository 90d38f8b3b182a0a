//! The evidence of all training images for one noisy image, portion by portion.
//!
//! Evidence is `C + 4` numbers per pixel and training image, too many to keep for a large dictionary. Images are
//! therefore processed in portions. If there is only one portion it is kept; otherwise every pass computes them again.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::cpu_kernels::PatchQuery;
use super::dictionary_sums_on_gpu_or_cpu::Backend;
use super::gpu;
use super::gpu::sums_over_gpus::GpuPlacement;
use super::image_evidence::Evidence;
use super::pooled_attention_source::{PooledModel, pool};
use super::posterior_weights::Accumulator;
use super::training_images::TrainingImages;
use super::training_pixels::ImagePixels;
use crate::image::ImageShape;
use crate::simd::{Lane, lane::n_lanes};

/// Largest size of a portion.
const PORTION_BYTES: usize = 512 << 20;

/// See [`Portions::is_small`].
const SMALL_BYTES: usize = 4 << 20;

/// The evidence of all images for one query.
pub struct Portions<'a, T> {
    backend: Backend<'a>,
    query: PatchQuery<'a, T>,
    /// Images in a portion.
    size: usize,
    /// The portion, if there is only one.
    only: OnceLock<Evidence>,
    /// See [`Portions::local_mixture`].
    mixture: OnceLock<Accumulator>,
    /// `ln |pool(p)|`, `[P]`.
    log_pool: Vec<f64>,
}

impl<'a, T: Lane> Portions<'a, T> {
    /// Evidence of `images` for `query`; nothing is computed yet.
    pub fn new(images: &'a TrainingImages, query: PatchQuery<'a, T>) -> Self {
        let shape = query.shape;
        let numbers = shape.n_pixels() * (shape.channels + 4);
        Self::of_size(images, query, PORTION_BYTES / (numbers * size_of::<f64>()))
    }

    fn of_size(images: &'a TrainingImages, query: PatchQuery<'a, T>, size: usize) -> Self {
        let n_lanes = n_lanes::<T>();
        let size = (size / n_lanes).max(1) * n_lanes;
        let ImageShape { height, width, .. } = query.shape;
        let n_places =
            |p: usize| query.pool.n_places(query.k, (height, width), (p / width, p % width));
        let log_pool = (0..query.shape.n_pixels()).map(|p| (n_places(p) as f64).ln()).collect();
        Self {
            backend: Backend::new::<T>(images).for_window(query.window),
            query,
            size,
            only: OnceLock::new(),
            mixture: OnceLock::new(),
            log_pool,
        }
    }

    /// Whether the evidence of `images` is small enough for many queries to have theirs at a time: computed on the CPU,
    /// and at most 4 MB.
    pub fn is_small(images: &TrainingImages) -> bool {
        let numbers = images.len() * images.shape().n_pixels() * (images.shape().channels + 4);
        images.gpu_placement().is_none() && numbers * size_of::<f64>() <= SMALL_BYTES
    }

    /// Shape of an image.
    pub fn shape(&self) -> ImageShape {
        self.query.shape
    }

    /// [`Backend::compute`] for this query; `on_gpus` also gets `ln |pool(p)|`, `[P]`.
    pub fn compute<R>(
        &self,
        on_gpus: impl FnOnce(&GpuPlacement, &ImagePixels, PatchQuery<'a, T>, &[f64]) -> Option<R>,
        on_cpu: impl FnOnce() -> R,
    ) -> R {
        self.backend
            .compute(|gpus, images| on_gpus(gpus, images, self.query, &self.log_pool), |_| on_cpu())
    }

    /// The likelihood of pooled estimates at this noise level, fitted on first use.
    pub fn pooled_model(&self) -> Arc<PooledModel> {
        let images = self.backend.images();
        images.pooled().get(&self.query, || {
            PooledModel::fit(images.pixels(), &self.query, |queries| {
                self.backend.patch_posteriors(queries, false)
            })
        })
    }

    /// The mean over pixels of the estimate without attention, `[C]`.
    pub fn pooled_estimate(&self) -> Vec<f64> {
        let mut estimate = self.local_mixture().mean();
        estimate.truncate(self.shape().n_values());
        pool(&estimate, self.shape().n_pixels())
    }

    /// One pass over the evidence of all images, in their order.
    pub fn each(&self, mut take: impl FnMut(&Evidence)) {
        let n = self.backend.images().len();
        if n <= self.size {
            return take(self.only.get_or_init(|| self.portion(0..n)));
        }
        for first in (0..n).step_by(self.size) {
            take(&self.portion(first..(first + self.size).min(n)));
        }
    }

    /// The images mixed by their own evidence alone, the posterior of the machine without attention: `C` channels, or
    /// one more. Its log-sum-exps are those of [`Evidence::log_evidence`]. Computed on first use.
    pub fn local_mixture(&self) -> &Accumulator {
        self.mixture.get_or_init(|| {
            self.compute(gpu::posteriors::local_mixture, || {
                let shape = self.shape();
                let mut mixture = Accumulator::new(shape.channels + 1, shape.n_pixels());
                self.each(|evidence| evidence.mix(&evidence.log_evidence, &mut mixture));
                mixture
            })
        })
    }

    /// The posterior over patches of the machine without attention, `C` channels, without the evidence of each image.
    pub fn patch_posterior(&self) -> Accumulator {
        self.backend.patch_posteriors(&[self.query], false).remove(0)
    }

    fn portion(&self, range: Range<usize>) -> Evidence {
        self.backend.evidence(range, self.query, &self.log_pool)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::noise_seeds;
    use crate::theory::attention_sources::AttentionWeights;
    use crate::theory::machine_spec::{AttentionSettings, AttentionSource};
    use crate::theory::patch_pools_ls_els_bbels::Pool;
    use crate::theory::patch_window::PatchWindow;

    #[test]
    fn portions_of_any_size_say_the_same() {
        let shape = ImageShape::new(2, 4, 5);
        let images = noise_seeds(1, 0, 37, shape).into_values();
        let images = TrainingImages::from_values(shape, images).unwrap();
        let x = noise_seeds(2, 0, 1, shape).into_values();
        let query = PatchQuery {
            shape,
            pool: Pool::Wrap,
            k: 3,
            window: PatchWindow::Square,
            x: &x[..],
            logit_scale: 0.7,
        };
        let settings =
            AttentionSettings { lambda: 1.5, gamma: 0.3, source: AttentionSource::CoOrigin };
        let run = |size, sharing: fn(&Portions<'_, f64>) -> AttentionWeights| {
            let portions = Portions::of_size(&images, query, size);
            sharing(&portions).estimate(&portions, &settings)
        };
        for sharing in [
            (|_| AttentionWeights::Uniform) as fn(&Portions<'_, f64>) -> AttentionWeights,
            |portions| AttentionWeights::co_origin(portions),
            |portions| AttentionWeights::similarity(portions, 0.5),
        ] {
            let (whole, parts) = (run(1000, sharing), run(1, sharing));
            let same = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12);
            assert!(same(&whole.x0, &parts.x0));
            assert!(same(&whole.entropy_nats, &parts.entropy_nats));
            assert_eq!(whole.provenance, parts.provenance);
        }
    }
}
