//! The dictionary: training images as the machines see them.
//!
//! Images stay in the form they came in (bytes, `f32`s or `f64`s of a file, or `f64`) and are turned into the
//! precision of a machine tile by tile, so that a large set costs no more memory than its bytes, and one that
//! is mapped ([`crate::dataset::mapped`]) no more than the system has to spare. A filter by label keeps each
//! image's number in the unfiltered set, because provenance must point at something a person can
//! look up. Nothing here knows about noise.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;

use super::error::TheoryError;
use super::gpu::placement::GpuPlacement;
use super::gpu::{GpuPixels, Gpus};
use super::kernels::tile::Tile;
use super::pooled::PooledCache;
use crate::dataset::Dataset;
use crate::image::{ImageShape, from_byte};
use crate::simd::Lane;

/// The largest value that is taken for a pixel's, far outside [-1, 1] and with a square that any precision
/// can hold.
pub const LARGEST_VALUE: f64 = 1e15;

/// What bytes stand for.
static BYTES: LazyLock<[f64; 256]> = LazyLock::new(|| std::array::from_fn(|b| from_byte(b as u8)));

/// Training images with values in [-1, 1] (not enforced: the golden cases use wider noise).
#[derive(Debug)]
pub struct TrainingImages {
    shape: ImageShape,
    pixels: Pixels,
    labels: Option<Vec<i64>>,
    /// Number of each image in the unfiltered set.
    origins: Vec<u32>,
    pooled: PooledCache,
    gpu_placement: Option<GpuPlacement>,
}

/// Some images as a GPU takes them.
#[derive(Debug)]
pub enum GpuUpload<'a> {
    Bytes(&'a [u8]),
    Borrowed(&'a [f32]),
    Converted(Vec<f32>),
}

impl GpuUpload<'_> {
    pub fn pixels(&self) -> GpuPixels<'_> {
        match self {
            Self::Bytes(bytes) => GpuPixels::Bytes(bytes),
            Self::Borrowed(values) => GpuPixels::Singles(values),
            Self::Converted(values) => GpuPixels::Singles(values),
        }
    }
}

#[derive(Debug)]
enum Pixels {
    Bytes(Bytes),
    /// Little-endian `f32`s.
    Singles(Bytes),
    /// Little-endian `f64`s.
    Doubles(Bytes),
    Values(Vec<f64>),
}

impl TrainingImages {
    pub fn from_dataset(dataset: &Dataset) -> Result<Self, TheoryError> {
        let labels = dataset.labels().map(|labels| labels.iter().map(|&l| i64::from(l)).collect());
        Self::build(dataset.shape(), Pixels::Bytes(dataset.shared_pixels()), labels)
    }

    /// `values` are `[N, C, H, W]`.
    pub fn from_values(shape: ImageShape, values: Vec<f64>) -> Result<Self, TheoryError> {
        check_values(values.iter().copied())?;
        Self::build(shape, Pixels::Values(values), None)
    }

    /// `bytes` are little-endian `f32`s `[N, C, H, W]`, as a file has them.
    pub fn from_singles(shape: ImageShape, bytes: Bytes) -> Result<Self, TheoryError> {
        check_values(bytes.as_chunks().0.iter().map(|&b| f64::from(f32::from_le_bytes(b))))?;
        Self::build(shape, Pixels::Singles(bytes), None)
    }

    /// The same of `f64`s.
    pub fn from_doubles(shape: ImageShape, bytes: Bytes) -> Result<Self, TheoryError> {
        check_values(bytes.as_chunks().0.iter().map(|&b| f64::from_le_bytes(b)))?;
        Self::build(shape, Pixels::Doubles(bytes), None)
    }

    /// `bytes` are `[N, C, H, W]`, mapped to [-1, 1] by `b / 127.5 - 1`.
    pub fn from_bytes(shape: ImageShape, bytes: impl Into<Bytes>) -> Result<Self, TheoryError> {
        Self::build(shape, Pixels::Bytes(bytes.into()), None)
    }

    fn build(
        shape: ImageShape,
        pixels: Pixels,
        labels: Option<Vec<i64>>,
    ) -> Result<Self, TheoryError> {
        let n_values = shape.n_values();
        // Places in an image are kept in 16 bits.
        if n_values == 0 || shape.height.max(shape.width) > usize::from(u16::MAX) {
            return Err(TheoryError::BadShape { shape });
        }
        let found = pixels.len();
        if !found.is_multiple_of(n_values) {
            return Err(TheoryError::RaggedImages { shape, found });
        }
        let origins = (0..(found / n_values) as u32).collect();
        let pooled = PooledCache::default();
        let images = Self { shape, pixels, labels: None, origins, pooled, gpu_placement: None };
        match labels {
            Some(labels) => images.with_labels(labels),
            None => Ok(images),
        }
    }

    /// The same images with a class label each.
    pub fn with_labels(mut self, labels: Vec<i64>) -> Result<Self, TheoryError> {
        if labels.len() != self.len() {
            return Err(TheoryError::LabelCount { n_images: self.len(), n_labels: labels.len() });
        }
        self.labels = Some(labels);
        Ok(self)
    }

    /// Only the images of one class; their [`TrainingImages::origin`] stays what it was.
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

    /// The images at `indices`, in that order.
    pub fn select(&self, indices: &[usize]) -> Self {
        let v = self.shape.n_values();
        let pixels = match &self.pixels {
            Pixels::Bytes(all) => Pixels::Bytes(gather(all, indices, v).into()),
            Pixels::Singles(all) => Pixels::Singles(gather(all, indices, 4 * v).into()),
            Pixels::Doubles(all) => Pixels::Doubles(gather(all, indices, 8 * v).into()),
            Pixels::Values(all) => Pixels::Values(gather(all, indices, v)),
        };
        Self {
            shape: self.shape,
            pixels,
            labels: self.labels.as_ref().map(|all| gather(all, indices, 1)),
            origins: gather(&self.origins, indices, 1),
            pooled: PooledCache::default(),
            gpu_placement: self
                .gpu_placement
                .as_ref()
                .map(|on| GpuPlacement::new(on.gpus().clone())),
        }
    }

    /// The same images with GPUs that machines over them may use. Images selected from these have them too.
    pub fn with_gpus(mut self, gpus: Arc<Gpus>) -> Self {
        self.gpu_placement = Some(GpuPlacement::new(gpus));
        self
    }

    /// The GPUs that hold these images, or will when first asked.
    pub fn gpu_placement(&self) -> Option<&GpuPlacement> {
        self.gpu_placement.as_ref()
    }

    /// The same for a machine that computes in `T`: GPUs compute in single precision only.
    pub fn gpu_placement_in<T>(&self) -> Option<&GpuPlacement> {
        self.gpu_placement().filter(|_| size_of::<T>() == size_of::<f32>())
    }

    /// Whether values are bytes, mapped to [-1, 1].
    pub fn are_bytes(&self) -> bool {
        matches!(self.pixels, Pixels::Bytes(_))
    }

    /// Bytes that one image takes on a GPU.
    pub fn bytes_on_gpu(&self) -> usize {
        self.shape.n_values() * if self.are_bytes() { 1 } else { size_of::<f32>() }
    }

    /// Some images as a GPU takes them: bytes, or single precision.
    pub fn for_gpu(&self, images: Range<usize>) -> GpuUpload<'_> {
        let v = self.shape.n_values();
        let values = images.start * v..images.end * v;
        match &self.pixels {
            Pixels::Bytes(all) => GpuUpload::Bytes(&all[values]),
            Pixels::Singles(all) if cfg!(target_endian = "little") => {
                let bytes = &all[4 * values.start..4 * values.end];
                match pulp::bytemuck::try_cast_slice(bytes) {
                    Ok(values) => GpuUpload::Borrowed(values),
                    // A file need not keep them where a float may lie.
                    Err(_) => GpuUpload::Converted(self.singles(images)),
                }
            }
            _ => GpuUpload::Converted(self.singles(images)),
        }
    }

    fn singles(&self, images: Range<usize>) -> Vec<f32> {
        self.values(images).into_iter().map(|v| v as f32).collect()
    }

    pub fn shape(&self) -> ImageShape {
        self.shape
    }

    /// Number of images, `N`.
    pub fn len(&self) -> usize {
        self.origins.len()
    }

    /// What pooled estimates say about these images, level by level as it is asked for.
    pub fn pooled(&self) -> &PooledCache {
        &self.pooled
    }

    pub fn is_empty(&self) -> bool {
        self.origins.is_empty()
    }

    /// The values of some images, `[n, C, H, W]`.
    pub fn values(&self, images: Range<usize>) -> Vec<f64> {
        let v = self.shape.n_values();
        let values = images.start * v..images.end * v;
        match &self.pixels {
            Pixels::Bytes(all) => all[values].iter().map(|&b| from_byte(b)).collect(),
            Pixels::Singles(all) => {
                let all = &all.as_chunks().0[values];
                all.iter().map(|&b| f64::from(f32::from_le_bytes(b))).collect()
            }
            Pixels::Doubles(all) => {
                all.as_chunks().0[values].iter().map(|&b| f64::from_le_bytes(b)).collect()
            }
            Pixels::Values(all) => all[values].to_vec(),
        }
    }

    /// Puts the first of `images` into `tile`, as many as fit.
    pub fn fill_tile<T: Lane>(&self, images: Range<usize>, tile: &mut Tile<T>) {
        self.fill_tile_pixels(images, 0..self.shape.n_pixels(), tile);
    }

    /// Some pixels of them only.
    pub fn fill_tile_pixels<T: Lane>(
        &self,
        images: Range<usize>,
        pixels: Range<usize>,
        tile: &mut Tile<T>,
    ) {
        let first = images.start;
        let v = self.shape.n_values();
        let values = images.start * v..images.end * v;
        match &self.pixels {
            Pixels::Bytes(all) => {
                let table = &*BYTES;
                let value = |b: u8| T::from_f64(table[usize::from(b)]);
                tile.fill_pixels(self.shape, first, &all[values], pixels, value);
            }
            Pixels::Singles(all) => {
                let value = |b| T::from_f64(f64::from(f32::from_le_bytes(b)));
                tile.fill_pixels(self.shape, first, &all.as_chunks().0[values], pixels, value);
            }
            Pixels::Doubles(all) => {
                let value = |b| T::from_f64(f64::from_le_bytes(b));
                tile.fill_pixels(self.shape, first, &all.as_chunks().0[values], pixels, value);
            }
            Pixels::Values(all) => {
                tile.fill_pixels(self.shape, first, &all[values], pixels, T::from_f64);
            }
        }
    }

    /// The number that image `index` has in the unfiltered set.
    pub fn origin(&self, index: usize) -> u32 {
        self.origins[index]
    }
}

fn check_values(mut values: impl Iterator<Item = f64>) -> Result<(), TheoryError> {
    let wrong = |(_, v): &(usize, f64)| v.is_nan() || v.abs() > LARGEST_VALUE;
    match values.by_ref().enumerate().find(wrong) {
        Some((index, value)) => Err(TheoryError::NotAPixel { index, value }),
        None => Ok(()),
    }
}

impl Pixels {
    /// Number of values.
    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Singles(bytes) => bytes.len() / 4,
            Self::Doubles(bytes) => bytes.len() / 8,
            Self::Values(values) => values.len(),
        }
    }
}

fn gather<T: Copy>(all: &[T], indices: &[usize], each: usize) -> Vec<T> {
    indices.iter().flat_map(|&i| &all[i * each..(i + 1) * each]).copied().collect()
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
    fn bytes_and_values_agree() {
        let shape = ImageShape::new(1, 1, 2);
        let bytes = TrainingImages::from_bytes(shape, vec![0, 255]).unwrap();
        assert_eq!(bytes.values(0..1), [-1.0, 1.0]);
        let values = [0.5_f64, -1.0, 0.25, 2.0];
        let singles: Vec<u8> = values.iter().flat_map(|&v| (v as f32).to_le_bytes()).collect();
        let doubles: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        for images in [
            TrainingImages::from_singles(shape, singles.into()).unwrap(),
            TrainingImages::from_doubles(shape, doubles.into()).unwrap(),
        ] {
            assert_eq!((images.len(), images.values(1..2)), (2, vec![0.25, 2.0]));
            assert_eq!(images.select(&[1]).values(0..1), [0.25, 2.0]);
            let mut tile = Tile::<f64>::new(shape, 1);
            images.fill_tile(1..2, &mut tile);
            assert_eq!(tile.pixels(0..2, 1), [0.25, 2.0]);
        }
        let broken: Vec<u8> = [0.0_f64, f64::NAN].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert!(TrainingImages::from_doubles(shape, broken.into()).is_err());
    }

    #[test]
    fn bad_values_are_refused() {
        let shape = ImageShape::new(1, 1, 2);
        assert!(TrainingImages::from_values(shape, vec![0.0; 3]).is_err());
        assert!(TrainingImages::from_values(shape, vec![0.0, f64::NAN]).is_err());
        assert!(labelled().with_labels(vec![1]).is_err());
    }
}
