//! A set of images: bytes of one shape, with optional labels and an optional rule.

use bytes::Bytes;

use super::crafted_rule::Rule;
use crate::image::{Augmentation, ImageBatch, ImageShape, from_byte};

/// A set of equally shaped 8-bit images.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Name in captions and reports.
    pub name: String,
    shape: ImageShape,
    pixels: Bytes,
    labels: Option<Vec<u8>>,
    rule: Option<Rule>,
    /// See [`Dataset::notices`].
    notices: Vec<String>,
    /// See [`Dataset::facts`].
    facts: Vec<String>,
}

impl Dataset {
    /// Wraps bytes `[N, C, H, W]`.
    ///
    /// # Panics
    ///
    /// If they do not fill a whole number of images, or if the labels do not match; readers check files before.
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
        Self {
            name: name.into(),
            shape,
            pixels,
            labels,
            rule: None,
            notices: Vec::new(),
            facts: Vec::new(),
        }
    }

    pub(super) fn with_rule(mut self, rule: Rule) -> Self {
        self.rule = Some(rule);
        self
    }

    pub(super) fn with_notices(mut self, notices: Vec<String>) -> Self {
        self.notices = notices;
        self
    }

    pub(super) fn with_facts(mut self, facts: Vec<String>) -> Self {
        self.facts = facts;
        self
    }

    /// How the reader understood its source, one sentence each: names, layout, value range, resampling, classes.
    pub fn facts(&self) -> &[String] {
        &self.facts
    }

    /// Notices for the user about parts of the source files that were left out or look wrong, one sentence
    /// each.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// The rule that all images follow, for crafted sets.
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

    /// All pixels as a shared handle, without copying.
    pub fn shared_pixels(&self) -> Bytes {
        self.pixels.clone()
    }

    /// Bytes of one image, `[C, H, W]`.
    pub fn image(&self, index: usize) -> &[u8] {
        let n = self.shape.n_values();
        &self.pixels[index * n..(index + 1) * n]
    }

    /// Class labels, `[N]`, if the source has them.
    pub fn labels(&self) -> Option<&[u8]> {
        self.labels.as_deref()
    }

    /// Number of classes, if there are labels: one more than the largest label.
    pub fn n_classes(&self) -> Option<usize> {
        let labels = self.labels.as_ref()?;
        Some(labels.iter().max().map_or(1, |&largest| usize::from(largest) + 1))
    }

    /// The classes below [`Self::n_classes`] that no image has, in order.
    pub fn classes_without_images(&self) -> Vec<u8> {
        let labels = self.labels.as_deref().unwrap_or_default();
        let mut is_present = [false; 256];
        labels.iter().for_each(|&label| is_present[usize::from(label)] = true);
        let largest = labels.iter().copied().max().unwrap_or(0);
        (0..largest).filter(|&class| !is_present[usize::from(class)]).collect()
    }

    /// Images `start..start + n` with values in [-1, 1].
    pub fn batch(&self, start: usize, n: usize) -> ImageBatch {
        let v = self.shape.n_values();
        let bytes = &self.pixels[start * v..(start + n) * v];
        ImageBatch::new(self.shape, bytes.iter().map(|&b| from_byte(b)).collect())
    }

    /// A new set with the first `n` images (or all, if there are fewer), sharing the pixels.
    pub fn first(&self, n: usize) -> Self {
        let n = n.min(self.len());
        Self {
            pixels: self.pixels.slice(..n * self.shape.n_values()),
            labels: self.labels.as_ref().map(|labels| labels[..n].to_vec()),
            ..self.clone()
        }
    }

    /// A new set with the copies that `augmentation` adds, in the order of [`Augmentation::copies`]; without any, the same
    /// set, sharing the pixels.
    ///
    /// # Panics
    ///
    /// If images of this shape have no such copies.
    pub fn augmented(&self, augmentation: Augmentation) -> Self {
        if augmentation == Augmentation::None {
            return self.clone();
        }
        Self {
            pixels: augmentation.copies(self.shape, &self.pixels).into(),
            labels: self.labels.as_ref().map(|labels| labels.repeat(augmentation.n_copies())),
            ..self.clone()
        }
    }

    /// A new set with the given images in that order, and the same name and rule.
    pub fn select(&self, indices: &[usize]) -> Self {
        Self {
            pixels: indices.iter().flat_map(|&i| self.image(i)).copied().collect::<Vec<_>>().into(),
            labels: self.labels.as_ref().map(|l| indices.iter().map(|&i| l[i]).collect()),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_between_labels_are_classes_without_images() {
        let labelled = |labels: &[u8]| {
            let pixels = vec![0; labels.len()];
            Dataset::new("set", ImageShape::new(1, 1, 1), pixels, Some(labels.to_vec()))
        };
        let gaps = labelled(&[5, 1, 3, 1]);
        assert_eq!((gaps.n_classes(), gaps.classes_without_images()), (Some(6), vec![0, 2, 4]));
        let consecutive = labelled(&[1, 0, 2]);
        assert_eq!(
            (consecutive.n_classes(), consecutive.classes_without_images()),
            (Some(3), vec![])
        );
        let unlabelled = Dataset::new("set", ImageShape::new(1, 1, 1), vec![0], None);
        assert_eq!((unlabelled.n_classes(), unlabelled.classes_without_images()), (None, vec![]));
    }
}
