//! A set of images: bytes of one shape, optionally with labels and a rule.

use bytes::Bytes;

use super::rule::Rule;
use crate::image::{ImageBatch, ImageShape, from_byte};

/// A set of equally shaped 8-bit images.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// The name in captions and reports.
    pub name: String,
    shape: ImageShape,
    pixels: Bytes,
    labels: Option<Vec<u8>>,
    rule: Option<Rule>,
    /// See [`Dataset::notices`].
    notices: Vec<String>,
}

impl Dataset {
    /// Wraps `[N, C, H, W]` bytes; panics if they are no whole number of images or the labels do not
    /// fit, which is a bug of ours: readers check files before.
    pub fn new(
        name: impl Into<String>,
        shape: ImageShape,
        pixels: impl Into<Bytes>,
        labels: Option<Vec<u8>>,
    ) -> Self {
        let pixels = pixels.into();
        assert!(shape.n_values() > 0, "an image of shape {shape} has no values");
        assert!(pixels.len().is_multiple_of(shape.n_values()), "ragged {shape} images");
        if let Some(labels) = &labels {
            assert_eq!(labels.len() * shape.n_values(), pixels.len(), "one label per image");
        }
        Self { name: name.into(), shape, pixels, labels, rule: None, notices: Vec::new() }
    }

    pub(super) fn with_rule(mut self, rule: Rule) -> Self {
        self.rule = Some(rule);
        self
    }

    pub(super) fn with_notices(mut self, notices: Vec<String>) -> Self {
        self.notices = notices;
        self
    }

    /// Notices for users about what was left out of the files of the images or looks wrong in them, a sentence each.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// The rule of a crafted set.
    pub fn rule(&self) -> Option<&Rule> {
        self.rule.as_ref()
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

    /// All pixels, `[N, C, H, W]`, shared and not copied.
    pub fn shared_pixels(&self) -> Bytes {
        self.pixels.clone()
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

    /// A set of the first `n` images (all, if there are fewer) that shares their pixels.
    pub fn first(&self, n: usize) -> Self {
        let n = n.min(self.len());
        Self {
            name: self.name.clone(),
            shape: self.shape,
            pixels: self.pixels.slice(..n * self.shape.n_values()),
            labels: self.labels.as_ref().map(|labels| labels[..n].to_vec()),
            rule: self.rule.clone(),
            notices: self.notices.clone(),
        }
    }

    /// A set of the images at these indices, in that order, with the same name and rule.
    pub fn select(&self, indices: &[usize]) -> Self {
        Self {
            name: self.name.clone(),
            shape: self.shape,
            pixels: indices.iter().flat_map(|&i| self.image(i)).copied().collect::<Vec<_>>().into(),
            labels: self.labels.as_ref().map(|l| indices.iter().map(|&i| l[i]).collect()),
            rule: self.rule.clone(),
            notices: self.notices.clone(),
        }
    }
}
