//! A batch of images: the one shape, pixel range and channel order that the whole lab agrees on.
//!
//! An [`ImageBatch`] is what crosses the [`crate::diffusion::Denoiser`] seam: noise seeds, noisy
//! states and clean estimates. It holds `f64` so that sampling and agreement never lose digits of a
//! machine that computes in double precision; batches at this seam are small (a hundred seeds of
//! 32x32x3 are 2.5 MB). Training data are not kept in this form: see [`crate::dataset`].
//!
//! ```text
//! values[((b * C + c) * H + row) * W + column]      clean images lie in [-1, 1]
//! ```

use std::fmt;

/// Channels, height and width of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ImageShape {
    pub channels: usize,
    pub height: usize,
    pub width: usize,
}

impl ImageShape {
    pub fn new(channels: usize, height: usize, width: usize) -> Self {
        Self { channels, height, width }
    }

    /// A shape that a file claims; `None` without any value, or with more values than can be counted. A file without
    /// images can claim any shape without holding a byte of it.
    pub fn of_file(channels: usize, height: usize, width: usize) -> Option<Self> {
        let n_pixels = height.checked_mul(width)?;
        let n_values = n_pixels.checked_mul(channels)?;
        // Squares of pixel counts and bytes of values are counted, too.
        let is_counted =
            n_pixels.checked_mul(n_pixels).is_some() && n_values.checked_mul(8).is_some();
        (n_values > 0 && is_counted).then(|| Self::new(channels, height, width))
    }

    /// Number of pixel positions, `H * W`.
    pub fn n_pixels(&self) -> usize {
        self.height * self.width
    }

    /// Number of values, `C * H * W`.
    pub fn n_values(&self) -> usize {
        self.channels * self.n_pixels()
    }
}

impl fmt::Display for ImageShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.channels, self.height, self.width)
    }
}

/// A batch of equally shaped images, `[B, C, H, W]`, row-major, `f64`.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageBatch {
    shape: ImageShape,
    values: Vec<f64>,
}

impl ImageBatch {
    /// Wraps `values`; panics unless they fill a whole number of images, which is a bug of ours.
    pub fn new(shape: ImageShape, values: Vec<f64>) -> Self {
        assert!(shape.n_values() > 0, "an image of shape {shape} has no values");
        assert_eq!(
            values.len() % shape.n_values(),
            0,
            "{} values are no whole number of {shape} images",
            values.len()
        );
        Self { shape, values }
    }

    pub fn zeros(shape: ImageShape, n_images: usize) -> Self {
        Self::new(shape, vec![0.0; n_images * shape.n_values()])
    }

    pub fn shape(&self) -> ImageShape {
        self.shape
    }

    /// Number of images, `B`.
    pub fn len(&self) -> usize {
        self.values.len() / self.shape.n_values()
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub fn values(&self) -> &[f64] {
        &self.values
    }

    pub fn values_mut(&mut self) -> &mut [f64] {
        &mut self.values
    }

    pub fn into_values(self) -> Vec<f64> {
        self.values
    }

    /// One image's values, `[C, H, W]`.
    pub fn image(&self, index: usize) -> &[f64] {
        let n = self.shape.n_values();
        &self.values[index * n..(index + 1) * n]
    }

    pub fn image_mut(&mut self, index: usize) -> &mut [f64] {
        let n = self.shape.n_values();
        &mut self.values[index * n..(index + 1) * n]
    }

    /// The images, each `[C, H, W]`.
    pub fn iter(&self) -> std::slice::ChunksExact<'_, f64> {
        self.values.chunks_exact(self.shape.n_values())
    }

    /// Images `start..start + n` as a batch of their own.
    pub fn slice(&self, start: usize, n: usize) -> Self {
        let v = self.shape.n_values();
        Self::new(self.shape, self.values[start * v..(start + n) * v].to_vec())
    }

    /// Appends the images of `other`, which must have the same shape.
    pub fn append(&mut self, other: &Self) {
        assert_eq!(self.shape, other.shape, "only batches of one shape can be joined");
        self.values.extend_from_slice(&other.values);
    }
}

/// One pixel value in [-1, 1] as a byte: -1 is 0, 1 is 255, anything outside is clamped, NaN is 0.
pub fn to_byte(value: f64) -> u8 {
    // `as` saturates and maps NaN to 0, which is what a picture should do.
    ((value + 1.0) * 127.5).round() as u8
}

/// A byte as a pixel value in [-1, 1]; the inverse of [`to_byte`].
pub fn from_byte(byte: u8) -> f64 {
    f64::from(byte) / 127.5 - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_the_round_trip() {
        for byte in 0..=255 {
            assert_eq!(to_byte(from_byte(byte)), byte);
        }
    }

    #[test]
    fn values_outside_the_range_are_clamped() {
        assert_eq!((to_byte(-3.0), to_byte(3.0), to_byte(f64::NAN)), (0, 255, 0));
    }

    #[test]
    fn slices_and_append_are_inverse() {
        let shape = ImageShape::new(1, 2, 2);
        let all = ImageBatch::new(shape, (0..12).map(f64::from).collect());
        let mut joined = all.slice(0, 1);
        joined.append(&all.slice(1, 2));
        assert_eq!(joined, all);
    }
}
