//! Pixel values of a set of images, kept in the number format of their source.
//!
//! Bytes, `f32`s and `f64`s of a file stay as they are and are converted to the precision of a machine tile by tile, so
//! that a large set takes no more memory than its file, and a memory-mapped one ([`crate::files::read_or_map_file`])
//! no more than the system has to spare.

use std::ops::Range;
use std::sync::LazyLock;

use bytes::Bytes;

use super::cpu_kernels::tile::Tile;
use super::error::TheoryError;
use super::gpu::gpu_interface::{Gpu, GpuError, GpuPixels, Loaded};
use crate::image::{Augmentation, ImageShape, from_byte};
use crate::simd::Lane;

/// The largest accepted magnitude of a pixel value: far outside [-1, 1], and its square is finite in either precision.
pub const LARGEST_VALUE: f64 = 1e15;

/// Pixel value of each byte.
static BYTES: LazyLock<[f64; 256]> = LazyLock::new(|| std::array::from_fn(|b| from_byte(b as u8)));

/// `N` images `[N, C, H, W]`.
#[derive(Debug)]
pub struct ImagePixels {
    shape: ImageShape,
    storage: Storage,
}

/// Values `[N, C, H, W]` in one number format.
#[derive(Debug)]
pub enum Storage {
    /// Mapped to [-1, 1] by `b / 127.5 - 1`.
    Bytes(Bytes),
    /// Little-endian `f32`s.
    Singles(Bytes),
    /// Little-endian `f64`s.
    Doubles(Bytes),
    Values(Vec<f64>),
}

impl ImagePixels {
    /// Images of `shape`.
    ///
    /// # Errors
    ///
    /// If images have no pixels or a side above 65,535, if `storage` is not a whole number of images, or if a value is
    /// NaN or larger than [`LARGEST_VALUE`].
    pub fn new(shape: ImageShape, storage: Storage) -> Result<Self, TheoryError> {
        storage.check()?;
        let n_values = shape.n_values();
        // Provenance keeps rows and columns in 16 bits.
        if n_values == 0 || shape.height.max(shape.width) > usize::from(u16::MAX) {
            return Err(TheoryError::BadShape { shape });
        }
        let found = storage.len();
        if !found.is_multiple_of(n_values) {
            return Err(TheoryError::RaggedImages { shape, found });
        }
        Ok(Self { shape, storage })
    }

    /// Shape of one image.
    pub fn shape(&self) -> ImageShape {
        self.shape
    }

    /// Number of images, `N`.
    pub fn len(&self) -> usize {
        self.storage.len() / self.shape.n_values()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies of the images at `indices`, in that order.
    pub fn select(&self, indices: &[usize]) -> Self {
        let v = self.shape.n_values();
        let storage = match &self.storage {
            Storage::Bytes(all) => Storage::Bytes(gather(all, indices, v).into()),
            Storage::Singles(all) => Storage::Singles(gather(all, indices, 4 * v).into()),
            Storage::Doubles(all) => Storage::Doubles(gather(all, indices, 8 * v).into()),
            Storage::Values(all) => Storage::Values(gather(all, indices, v)),
        };
        Self { shape: self.shape, storage }
    }

    /// These images and the copies that `augmentation` adds, in the order of [`Augmentation::copies`] and the same number
    /// format: as many times the memory.
    ///
    /// # Panics
    ///
    /// If images of this shape have no such copies.
    pub fn augmented(&self, augmentation: Augmentation) -> Self {
        fn of_groups<const N: usize>(
            augmentation: Augmentation,
            shape: ImageShape,
            all: &[u8],
        ) -> Bytes {
            augmentation.copies::<[u8; N]>(shape, all.as_chunks().0).into_flattened().into()
        }
        let shape = self.shape;
        let storage = match &self.storage {
            Storage::Bytes(all) => Storage::Bytes(of_groups::<1>(augmentation, shape, all)),
            Storage::Singles(all) => Storage::Singles(of_groups::<4>(augmentation, shape, all)),
            Storage::Doubles(all) => Storage::Doubles(of_groups::<8>(augmentation, shape, all)),
            Storage::Values(all) => Storage::Values(augmentation.copies(shape, all)),
        };
        Self { shape, storage }
    }

    /// Whether values are bytes, mapped to [-1, 1].
    pub fn are_bytes(&self) -> bool {
        matches!(self.storage, Storage::Bytes(_))
    }

    /// An upper bound of the absolute values: 1 for bytes, otherwise the largest.
    pub fn largest(&self) -> f64 {
        match &self.storage {
            Storage::Bytes(_) => 1.0,
            _ => (0..self.len())
                .flat_map(|n| self.values(n..n + 1))
                .fold(0.0, |most, v| most.max(v.abs())),
        }
    }

    /// Bytes that one image takes on a GPU.
    pub fn bytes_on_gpu(&self) -> usize {
        self.shape.n_values() * if self.are_bytes() { 1 } else { size_of::<f32>() }
    }

    /// Copies some images to a GPU: bytes, or single precision.
    ///
    /// # Errors
    ///
    /// As [`Gpu::load`].
    pub fn load(&self, gpu: &dyn Gpu, images: Range<usize>) -> Result<Box<dyn Loaded>, GpuError> {
        let values = self.values_of(&images);
        match &self.storage {
            Storage::Bytes(all) => return gpu.load(GpuPixels::Bytes(&all[values])),
            Storage::Singles(all) if cfg!(target_endian = "little") => {
                // Values of a file need not be aligned for `f32`.
                let bytes = &all[4 * values.start..4 * values.end];
                if let Ok(values) = pulp::bytemuck::try_cast_slice(bytes) {
                    return gpu.load(GpuPixels::Singles(values));
                }
            }
            _ => {}
        }
        let singles: Vec<f32> = self.values(images).into_iter().map(|v| v as f32).collect();
        gpu.load(GpuPixels::Singles(&singles))
    }

    /// The values of some images, `[n, C, H, W]`.
    pub fn values(&self, images: Range<usize>) -> Vec<f64> {
        let values = self.values_of(&images);
        match &self.storage {
            Storage::Bytes(all) => all[values].iter().map(|&b| from_byte(b)).collect(),
            Storage::Singles(all) => {
                let all = &all.as_chunks().0[values];
                all.iter().map(|&b| f64::from(f32::from_le_bytes(b))).collect()
            }
            Storage::Doubles(all) => {
                all.as_chunks().0[values].iter().map(|&b| f64::from_le_bytes(b)).collect()
            }
            Storage::Values(all) => all[values].to_vec(),
        }
    }

    /// Fills `tile` with the first of `images`, as many as fit.
    pub fn fill_tile<T: Lane>(&self, images: Range<usize>, tile: &mut Tile<T>) {
        self.fill_tile_pixels(images, 0..self.shape.n_pixels(), tile);
    }

    /// Like [`Self::fill_tile`] for some pixels only; the others keep their values.
    pub fn fill_tile_pixels<T: Lane>(
        &self,
        images: Range<usize>,
        pixels: Range<usize>,
        tile: &mut Tile<T>,
    ) {
        let (shape, first) = (self.shape, images.start);
        let values = self.values_of(&images);
        match &self.storage {
            Storage::Bytes(all) => {
                let table = &*BYTES;
                let value = |b: u8| T::from_f64(table[usize::from(b)]);
                tile.fill_pixels(shape, first, &all[values], pixels, value);
            }
            Storage::Singles(all) => {
                let value = |b| T::from_f64(f64::from(f32::from_le_bytes(b)));
                tile.fill_pixels(shape, first, &all.as_chunks().0[values], pixels, value);
            }
            Storage::Doubles(all) => {
                let value = |b| T::from_f64(f64::from_le_bytes(b));
                tile.fill_pixels(shape, first, &all.as_chunks().0[values], pixels, value);
            }
            Storage::Values(all) => {
                tile.fill_pixels(shape, first, &all[values], pixels, T::from_f64);
            }
        }
    }

    /// Where the values of `images` are in the storage.
    fn values_of(&self, images: &Range<usize>) -> Range<usize> {
        let v = self.shape.n_values();
        images.start * v..images.end * v
    }
}

impl Storage {
    /// Number of values.
    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Singles(bytes) => bytes.len() / 4,
            Self::Doubles(bytes) => bytes.len() / 8,
            Self::Values(values) => values.len(),
        }
    }

    fn check(&self) -> Result<(), TheoryError> {
        match self {
            Self::Bytes(_) => Ok(()),
            Self::Singles(all) => {
                check_values(all.as_chunks().0.iter().map(|&b| f64::from(f32::from_le_bytes(b))))
            }
            Self::Doubles(all) => {
                check_values(all.as_chunks().0.iter().map(|&b| f64::from_le_bytes(b)))
            }
            Self::Values(all) => check_values(all.iter().copied()),
        }
    }
}

fn check_values(mut values: impl Iterator<Item = f64>) -> Result<(), TheoryError> {
    let wrong = |(_, v): &(usize, f64)| v.is_nan() || v.abs() > LARGEST_VALUE;
    match values.by_ref().enumerate().find(wrong) {
        Some((index, value)) => Err(TheoryError::NotAPixel { index, value }),
        None => Ok(()),
    }
}

/// Groups of `each` values at `indices`, one after the other.
pub(super) fn gather<T: Copy>(all: &[T], indices: &[usize], each: usize) -> Vec<T> {
    indices.iter().flat_map(|&i| &all[i * each..(i + 1) * each]).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_values_agree() {
        let shape = ImageShape::new(1, 1, 2);
        let bytes = ImagePixels::new(shape, Storage::Bytes(vec![0, 255].into())).unwrap();
        assert_eq!(bytes.values(0..1), [-1.0, 1.0]);
        let values = [0.5_f64, -1.0, 0.25, 2.0];
        let singles: Vec<u8> = values.iter().flat_map(|&v| (v as f32).to_le_bytes()).collect();
        let doubles: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        for storage in [Storage::Singles(singles.into()), Storage::Doubles(doubles.into())] {
            let images = ImagePixels::new(shape, storage).unwrap();
            assert_eq!((images.len(), images.values(1..2)), (2, vec![0.25, 2.0]));
            assert_eq!(images.select(&[1]).values(0..1), [0.25, 2.0]);
            let mut tile = Tile::<f64>::new(shape);
            images.fill_tile(1..2, &mut tile);
            let (first, second) = (tile.pixels(0..1, 1), tile.pixels(1..2, 1));
            assert!(first.iter().all(|&v| v == 0.25) && second.iter().all(|&v| v == 2.0));
        }
        let broken: Vec<u8> = [0.0_f64, f64::NAN].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert!(ImagePixels::new(shape, Storage::Doubles(broken.into())).is_err());
    }

    #[test]
    fn bad_values_are_refused() {
        let shape = ImageShape::new(1, 1, 2);
        for values in [vec![0.0; 3], vec![0.0, f64::NAN]] {
            assert!(ImagePixels::new(shape, Storage::Values(values)).is_err());
        }
    }
}
