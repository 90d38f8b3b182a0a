//! The dictionary of a machine: training images with their labels, and the GPUs that may hold them.
//!
//! A filter by label keeps each image's number in the unfiltered set, because provenance must point at an image that a
//! person can look up. Nothing here knows about noise.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::attention_optimal::OptimumSolver;
use super::distinct_patches::{DistinctCache, Tables};
use super::error::TheoryError;
use super::gpu::Gpus;
use super::gpu::sums_over_gpus::GpuPlacement;
use super::patch_pools_ls_els_bbels::Pool;
use super::pooled_attention_source::PooledCache;
use super::training_pixels::{ImagePixels, Storage, gather};
use crate::dataset::Dataset;
use crate::image::{Augmentation, ImageShape, Symmetry};

/// Training images with values in [-1, 1] (not enforced: the golden cases use wider noise).
#[derive(Debug)]
pub struct TrainingImages {
    pixels: ImagePixels,
    labels: Option<Vec<i64>>,
    /// Number of each image in the unfiltered set, of which a copy has the number of its image.
    origins: Vec<u32>,
    augmentation: Augmentation,
    /// The symmetry of each image under `augmentation`; empty without one.
    symmetries: Vec<Symmetry>,
    pooled: PooledCache,
    distinct: DistinctCache,
    gpu_placement: Option<GpuPlacement>,
    optimum_solver: Option<Arc<dyn OptimumSolver>>,
}

impl TrainingImages {
    /// The images and labels of a data set.
    ///
    /// # Errors
    ///
    /// As [`Self::from_bytes`].
    pub fn from_dataset(dataset: &Dataset) -> Result<Self, TheoryError> {
        let images = Self::new(dataset.shape(), Storage::Bytes(dataset.shared_pixels()))?;
        match dataset.labels() {
            Some(labels) => images.with_labels(labels.iter().map(|&l| i64::from(l)).collect()),
            None => Ok(images),
        }
    }

    /// Images of `values`, `[N, C, H, W]`.
    ///
    /// # Errors
    ///
    /// As [`ImagePixels::new`].
    pub fn from_values(shape: ImageShape, values: Vec<f64>) -> Result<Self, TheoryError> {
        Self::new(shape, Storage::Values(values))
    }

    /// Images of bytes `[N, C, H, W]`, mapped to [-1, 1] by `b / 127.5 - 1`.
    ///
    /// # Errors
    ///
    /// As [`ImagePixels::new`].
    pub fn from_bytes(shape: ImageShape, bytes: impl Into<Bytes>) -> Result<Self, TheoryError> {
        Self::new(shape, Storage::Bytes(bytes.into()))
    }

    /// Images of values in any number format.
    ///
    /// # Errors
    ///
    /// As [`ImagePixels::new`].
    pub fn new(shape: ImageShape, storage: Storage) -> Result<Self, TheoryError> {
        let pixels = ImagePixels::new(shape, storage)?;
        let origins = (0..pixels.len() as u32).collect();
        let (pooled, distinct) = (PooledCache::default(), DistinctCache::default());
        Ok(Self {
            pixels,
            labels: None,
            origins,
            augmentation: Augmentation::None,
            symmetries: Vec::new(),
            pooled,
            distinct,
            gpu_placement: None,
            optimum_solver: None,
        })
    }

    /// The same images with a class label each.
    ///
    /// # Errors
    ///
    /// If there is not one label per image.
    pub fn with_labels(mut self, labels: Vec<i64>) -> Result<Self, TheoryError> {
        if labels.len() != self.len() {
            return Err(TheoryError::LabelCount { n_images: self.len(), n_labels: labels.len() });
        }
        self.labels = Some(labels);
        Ok(self)
    }

    /// The same images and the copies that `augmentation` adds, each with the label and the [`TrainingImages::origin`] of its
    /// image. Copies are stored as images are, so a dictionary takes twice (`flip`) or eight times (`dihedral`) the memory.
    ///
    /// # Errors
    ///
    /// If images are to be turned by a quarter and are not square.
    pub fn augmented(self, augmentation: Augmentation) -> Result<Self, TheoryError> {
        if augmentation == Augmentation::None {
            return Ok(self);
        }
        if !augmentation.fits(self.shape()) {
            return Err(TheoryError::NotSquare { shape: self.shape() });
        }
        let (n, n_copies) = (self.len(), augmentation.n_copies());
        let symmetries = augmentation.symmetries().iter();
        let gpus = self.gpu_placement.as_ref().map(|placement| placement.gpus().clone());
        Ok(Self {
            pixels: self.pixels.augmented(augmentation),
            labels: self.labels.as_ref().map(|labels| labels.repeat(n_copies)),
            origins: self.origins.repeat(n_copies),
            augmentation,
            symmetries: symmetries.flat_map(|&symmetry| std::iter::repeat_n(symmetry, n)).collect(),
            pooled: PooledCache::default(),
            distinct: DistinctCache::default(),
            gpu_placement: gpus.map(GpuPlacement::new),
            optimum_solver: self.optimum_solver.clone(),
        })
    }

    /// The images of one class; their [`TrainingImages::origin`] stays what it was.
    ///
    /// # Errors
    ///
    /// If there are no labels, or no image has this one.
    pub fn only_label(&self, label: i64) -> Result<Self, TheoryError> {
        let labels = self.labels.as_ref().ok_or(TheoryError::NoLabels { label })?;
        let kept: Vec<usize> = (0..self.len()).filter(|&i| labels[i] == label).collect();
        if kept.is_empty() {
            let present: BTreeSet<i64> = labels.iter().copied().collect();
            let present: Vec<String> = present.iter().map(i64::to_string).collect();
            return Err(TheoryError::UnknownLabel { label, present: present.join(", ") });
        }
        Ok(self.select(&kept))
    }

    /// One dictionary per class `0..n`; without classes, all images alone.
    ///
    /// # Errors
    ///
    /// If there are classes but no labels, or a class has no images.
    pub fn by_class(
        self: &Arc<Self>,
        n_classes: Option<usize>,
    ) -> Result<Vec<Arc<Self>>, TheoryError> {
        match n_classes {
            Some(n) => (0..n).map(|class| self.only_label(class as i64).map(Arc::new)).collect(),
            None => Ok(vec![self.clone()]),
        }
    }

    /// The images at `indices`, in that order, on the same GPUs and with the same solver.
    pub fn select(&self, indices: &[usize]) -> Self {
        let gpus = self.gpu_placement.as_ref().map(|placement| placement.gpus().clone());
        Self {
            pixels: self.pixels.select(indices),
            labels: self.labels.as_ref().map(|all| gather(all, indices, 1)),
            origins: gather(&self.origins, indices, 1),
            augmentation: self.augmentation,
            symmetries: match self.symmetries.is_empty() {
                true => Vec::new(),
                false => gather(&self.symmetries, indices, 1),
            },
            pooled: PooledCache::default(),
            distinct: DistinctCache::default(),
            gpu_placement: gpus.map(GpuPlacement::new),
            optimum_solver: self.optimum_solver.clone(),
        }
    }

    /// The same images with GPUs that machines over them may use. Images selected from these have them too.
    pub fn with_gpus(mut self, gpus: Arc<Gpus>) -> Self {
        self.gpu_placement = Some(GpuPlacement::new(gpus));
        self
    }

    /// The GPUs that hold these images, or will from their first use on.
    pub fn gpu_placement(&self) -> Option<&GpuPlacement> {
        self.gpu_placement.as_ref()
    }

    /// The same images with what solves for `attention-optimal` over them.
    pub fn with_optimum_solver(mut self, solver: Arc<dyn OptimumSolver>) -> Self {
        self.optimum_solver = Some(solver);
        self
    }

    /// What solves for `attention-optimal` over these images.
    pub fn optimum_solver(&self) -> Option<&Arc<dyn OptimumSolver>> {
        self.optimum_solver.as_ref()
    }

    /// The values of all images.
    pub fn pixels(&self) -> &ImagePixels {
        &self.pixels
    }

    /// Models of pooled estimates over these images, fitted noise level by noise level.
    pub(super) fn pooled(&self) -> &PooledCache {
        &self.pooled
    }

    /// The distinct patches of these images; none if sums over all patches are faster.
    pub(super) fn distinct(&self, pool: Pool, k: usize) -> Option<Arc<Tables>> {
        self.distinct.get(&self.pixels, pool, k)
    }

    /// Shape of one image.
    pub fn shape(&self) -> ImageShape {
        self.pixels.shape()
    }

    /// Number of images, `N`.
    pub fn len(&self) -> usize {
        self.origins.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.origins.is_empty()
    }

    /// The values of some images, `[n, C, H, W]`.
    pub fn values(&self, images: Range<usize>) -> Vec<f64> {
        self.pixels.values(images)
    }

    /// The number that image `index`, or the image of which it is a copy, has in the unfiltered set.
    pub fn origin(&self, index: usize) -> u32 {
        self.origins[index]
    }

    /// How image `index` differs from the one that [`Self::origin`] names.
    pub fn symmetry(&self, index: usize) -> Symmetry {
        self.symmetries.get(index).copied().unwrap_or_default()
    }

    /// The copies of each image, itself included.
    pub fn n_copies(&self) -> usize {
        self.augmentation.n_copies()
    }

    /// Which copies there are.
    pub fn augmentation(&self) -> Augmentation {
        self.augmentation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labelled() -> TrainingImages {
        let shape = ImageShape::new(1, 1, 2);
        let images = TrainingImages::from_values(shape, vec![0., 1., 2., 3., 4., 5.]).unwrap();
        images.with_labels(vec![7, 3, 7]).unwrap()
    }

    #[test]
    fn a_filter_keeps_the_numbers_of_the_unfiltered_set() {
        let sevens = labelled().only_label(7).unwrap();
        assert_eq!(sevens.values(0..2), [0., 1., 4., 5.]);
        assert_eq!([sevens.origin(0), sevens.origin(1)], [0, 2]);
    }

    #[test]
    fn an_absent_label_names_those_present() {
        let error = labelled().only_label(4).unwrap_err().to_string();
        assert_eq!(error, "no training image has label '4'; labels present are 3, 7");
    }

    #[test]
    fn every_class_needs_images() {
        let images = labelled();
        let consecutive = TrainingImages::from_values(images.shape(), images.values(0..3));
        let consecutive = Arc::new(consecutive.unwrap().with_labels(vec![1, 0, 1]).unwrap());
        let by_class = consecutive.by_class(Some(2)).unwrap();
        assert_eq!(by_class.iter().map(|images| images.len()).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(consecutive.by_class(None).unwrap()[0].len(), 3);
        let error = consecutive.by_class(Some(3)).unwrap_err().to_string();
        assert_eq!(error, "no training image has label '2'; labels present are 0, 1");
    }

    #[test]
    fn a_label_is_needed_for_each_image() {
        assert!(labelled().with_labels(vec![1]).is_err());
    }
}
