//! Where sums over a dictionary are computed: on its GPUs or on the CPU.
//!
//! [`Backend::new`] is the only place that chooses, and [`Backend::compute`] the only one that falls back to the CPU:
//! for images that GPUs cannot take and after a GPU has failed. The implementations are [`super::gpu::posteriors`],
//! [`super::cpu_posteriors`] and, for patches that repeat, [`super::distinct_patches`].

use std::ops::Range;
use std::sync::Arc;

use super::cpu_kernels::PatchQuery;
use super::distinct_patches::Tables;
use super::estimate_of_one_image::Estimate;
use super::gpu::sums_over_gpus::GpuPlacement;
use super::image_evidence::Evidence;
use super::ls_wiener::Masks;
use super::patch_window::PatchWindow;
use super::posterior_weights::Accumulator;
use super::training_images::TrainingImages;
use super::training_pixels::ImagePixels;
use super::{cpu_posteriors, gpu};
use crate::simd::Lane;

/// The processors that compute sums over one dictionary.
#[derive(Clone, Copy)]
pub struct Backend<'a> {
    images: &'a TrainingImages,
    gpus: Option<&'a GpuPlacement>,
}

impl<'a> Backend<'a> {
    /// The dictionary's GPUs if it has any and `T` is `f32`, the only type that GPUs compute in; otherwise the CPU.
    pub fn new<T: Lane>(images: &'a TrainingImages) -> Self {
        let gpus = images.gpu_placement().filter(|_| size_of::<T>() == size_of::<f32>());
        Self { images, gpus }
    }

    /// The CPU for windows that GPUs do not compute with: all but the square one.
    pub fn for_window(self, window: PatchWindow) -> Self {
        Self { gpus: self.gpus.filter(|_| window.is_square()), ..self }
    }

    /// The dictionary.
    pub fn images(&self) -> &'a TrainingImages {
        self.images
    }

    /// The result of `on_gpus`, or of `on_cpu` if there are no GPUs or they return none.
    pub fn compute<R>(
        &self,
        on_gpus: impl FnOnce(&GpuPlacement, &ImagePixels) -> Option<R>,
        on_cpu: impl FnOnce(&ImagePixels) -> R,
    ) -> R {
        let pixels = self.images.pixels();
        let found = self.gpus.and_then(|gpus| on_gpus(gpus, pixels));
        found.unwrap_or_else(|| on_cpu(pixels))
    }

    /// The distinct patches of a query's pool; none if sums over all patches are faster, or pixels have weights, which the
    /// tables do not know.
    fn distinct<T>(&self, query: &PatchQuery<'_, T>) -> Option<Arc<Tables>> {
        let is_square = query.window.is_square();
        is_square.then(|| self.images.distinct(query.pool, query.k)).flatten()
    }

    /// See [`cpu_posteriors::patch_posteriors`]. All queries have the same patches.
    pub fn patch_posteriors<T: Lane>(
        &self,
        queries: &[PatchQuery<'_, T>],
        with_posterior: bool,
    ) -> Vec<Accumulator> {
        self.compute(
            |gpus, images| gpu::posteriors::patch_posteriors(gpus, images, queries, with_posterior),
            |images| match queries.first().and_then(|query| self.distinct(query)) {
                Some(tables) => tables.patch_posteriors(images, queries),
                None => cpu_posteriors::patch_posteriors(images, queries, with_posterior),
            },
        )
    }

    /// See [`cpu_posteriors::evidence`].
    pub fn evidence<T: Lane>(
        &self,
        range: Range<usize>,
        query: PatchQuery<'_, T>,
        log_pool: &[f64],
    ) -> Evidence {
        self.compute(
            |gpus, images| gpu::posteriors::evidence(gpus, images, range.clone(), query, log_pool),
            |images| match self.distinct(&query) {
                Some(tables) => tables.evidence(images, range.clone(), query, log_pool),
                None => cpu_posteriors::evidence(images, range.clone(), query, log_pool),
            },
        )
    }

    /// See [`cpu_posteriors::whole_images`].
    pub fn whole_images(
        &self,
        queries: &[Vec<f64>],
        shifts: bool,
        logit_scale: f64,
        with_posterior: bool,
    ) -> Vec<Estimate> {
        let options = (logit_scale, with_posterior);
        self.compute(
            |gpus, images| gpu::posteriors::whole_images(gpus, images, queries, shifts, options),
            |images| cpu_posteriors::whole_images(images, queries, shifts, logit_scale),
        )
    }

    /// See [`cpu_posteriors::masked`].
    pub fn masked(&self, queries: &[Vec<f64>], masks: &Masks, logit_scale: f64) -> Vec<Estimate> {
        self.compute(
            |gpus, images| gpu::posteriors::masked(gpus, images, queries, masks, logit_scale),
            |images| cpu_posteriors::masked(images, queries, masks, logit_scale),
        )
    }

    /// See [`cpu_posteriors::composites`].
    pub fn composites(&self, queries: &[Vec<f64>], k: usize, logit_scale: f64) -> Vec<Estimate> {
        self.compute(
            |gpus, images| gpu::posteriors::composites(gpus, images, queries, k, logit_scale),
            |images| cpu_posteriors::composites(images, queries, k, logit_scale),
        )
    }
}
