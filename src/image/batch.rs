//! A batch of images, and the shape, pixel range and channel order used throughout the lab.
//!
//! An [`ImageBatch`] is the type of noise seeds, noisy states and clean estimates at the
//! [`crate::diffusion::Denoiser`] seam. It holds `f64` so that sampling and agreement do not lose precision for
//! machines that compute in double precision; batches here are small (a hundred seeds of 32x32x3 take 2.5 MB).
//! Training data use another format: see [`crate::dataset`].
//!
//! ```text
//! values[((b * C + c) * H + row) * W + column]      clean images are in [-1, 1]
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

    /// Validates a shape read from a file; `None` if it has no values, or too many to count. A file without
    /// images can claim any shape without containing a single byte of it.
    pub fn of_file(channels: usize, height: usize, width: usize) -> Option<Self> {
        let n_pixels = height.checked_mul(width)?;
        let n_values = n_pixels.checked_mul(channels)?;
        // The square of the pixel count and the size in bytes must not overflow either.
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
    /// Wraps `values`, `[B, C, H, W]`.
    ///
    /// # Panics
    ///
    /// If they do not fill a whole number of images.
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

    /// Values of one image, `[C, H, W]`.
    pub fn image(&self, index: usize) -> &[f64] {
        let n = self.shape.n_values();
        &self.values[index * n..(index + 1) * n]
    }

    /// Iterates over the images, each `[C, H, W]`.
    pub fn iter(&self) -> std::slice::ChunksExact<'_, f64> {
        self.values.chunks_exact(self.shape.n_values())
    }

    /// Copies images `start..start + n` into a new batch.
    pub fn slice(&self, start: usize, n: usize) -> Self {
        let v = self.shape.n_values();
        Self::new(self.shape, self.values[start * v..(start + n) * v].to_vec())
    }

    /// Appends the images of `other`.
    ///
    /// # Panics
    ///
    /// If the shapes differ.
    pub fn append(&mut self, other: &Self) {
        assert_eq!(self.shape, other.shape, "only batches of one shape can be joined");
        self.values.extend_from_slice(&other.values);
    }
}

/// Converts a pixel value in [-1, 1] to a byte: -1 becomes 0, 1 becomes 255, values outside are clamped, NaN
/// becomes 0.
pub fn to_byte(value: f64) -> u8 {
    // `as` saturates and maps NaN to 0, as required.
    ((value + 1.0) * 127.5).round() as u8
}

/// Converts a byte to a pixel value in [-1, 1]; the inverse of [`to_byte`].
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
