//! Training images: crafted sets that come with a rule, and files of real images.
//!
//! A [`Dataset`] holds bytes, because every source we read is 8-bit: compact (60,000 images of 32x32
//! are 61 MB) and exact in whatever precision a machine computes. Bytes map to [-1, 1] by
//! `b / 127.5 - 1` ([`crate::image::from_byte`]). Nothing in here knows about noise or networks.

use crate::image::{ImageBatch, ImageShape, from_byte};

/// A set of equally shaped 8-bit images.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// What it is called in captions and reports.
    pub name: String,
    shape: ImageShape,
    pixels: Vec<u8>,
    labels: Option<Vec<u8>>,
}

impl Dataset {
    /// Wraps pixels `[N, C, H, W]`; panics unless they fill whole images, which is a bug of ours.
    pub fn new(
        name: impl Into<String>,
        shape: ImageShape,
        pixels: Vec<u8>,
        labels: Option<Vec<u8>>,
    ) -> Self {
        assert!(pixels.len().is_multiple_of(shape.n_values()), "ragged images");
        Self { name: name.into(), shape, pixels, labels }
    }

    pub fn shape(&self) -> ImageShape {
        self.shape
    }

    /// Number of images, `N`.
    pub fn len(&self) -> usize {
        self.pixels.len() / self.shape.n_values()
    }

    pub fn is_empty(&self) -> bool {
        self.pixels.is_empty()
    }

    /// All pixels, `[N, C, H, W]`.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// One image's bytes, `[C, H, W]`.
    pub fn image(&self, index: usize) -> &[u8] {
        let n = self.shape.n_values();
        &self.pixels[index * n..(index + 1) * n]
    }

    /// Class labels, `[N]`, where the source has them.
    pub fn labels(&self) -> Option<&[u8]> {
        self.labels.as_deref()
    }

    /// Images `start..start + n` with values in [-1, 1].
    pub fn batch(&self, start: usize, n: usize) -> ImageBatch {
        let v = self.shape.n_values();
        let bytes = &self.pixels[start * v..(start + n) * v];
        ImageBatch::new(self.shape, bytes.iter().map(|&b| from_byte(b)).collect())
    }
}
