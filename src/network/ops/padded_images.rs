//! Padded images, on which a convolution is a matrix product of shifted rows.
//!
//! ```text
//! padded[c, y, x] = image[c, y - r, x - r]        r = k / 2; zeros or the wrapped-around pixel outside
//! ```
//!
//! With rows of `W + 2r` values one after the other, pixel (y, x) of the image shifted by (ky, kx) is at
//! `(y + ky) (W + 2r) + x + kx`: the same distance from pixel to pixel for every shift.

use super::candle_numbers::Real;
use crate::network::network_config::Padding;

/// Sizes of a convolution.
#[derive(Clone, Copy, Debug)]
pub struct Geometry {
    pub c_in: usize,
    pub c_out: usize,
    pub height: usize,
    pub width: usize,
    pub kernel: usize,
    pub padding: Padding,
}

impl Geometry {
    /// Pixels of an image.
    pub fn n_pixels(&self) -> usize {
        self.height * self.width
    }

    /// Values of an input image.
    pub fn n_in(&self) -> usize {
        self.c_in * self.n_pixels()
    }

    /// Values of an output image.
    pub fn n_out(&self) -> usize {
        self.c_out * self.n_pixels()
    }

    /// Weights of one output channel, `C_in * k * k`.
    pub fn depth(&self) -> usize {
        self.c_in * self.kernel * self.kernel
    }

    fn padded_width(&self) -> usize {
        self.width + self.kernel - 1
    }

    fn padded_plane(&self) -> usize {
        (self.height + self.kernel - 1) * self.padded_width()
    }

    /// Values of a padded image.
    pub fn padded_values(&self) -> usize {
        self.c_in * self.padded_plane()
    }

    /// Values from the first image pixel of a padded plane to the last, with the padding between the rows.
    pub fn padded_run(&self) -> usize {
        (self.height - 1) * self.padded_width() + self.width
    }

    /// Where the padded image starts that weight (c, ky, kx) sees.
    pub fn shifted_rows(&self) -> Vec<usize> {
        let (k, plane, width) = (self.kernel, self.padded_plane(), self.padded_width());
        let shift = |i: usize| i / (k * k) * plane + i / k % k * width + i % k;
        (0..self.depth()).map(shift).collect()
    }

    /// Where pixels are in a padded plane, counted from the first.
    pub fn pixel_places(&self) -> Vec<usize> {
        (0..self.n_pixels())
            .map(|p| p / self.width * self.padded_width() + p % self.width)
            .collect()
    }

    /// One plane out of a run, without what lies between the rows.
    pub fn narrow<T: Copy>(&self, run: &[T], plane: &mut [T]) {
        let rows = run.chunks(self.padded_width());
        for (from, to) in rows.zip(plane.chunks_exact_mut(self.width)) {
            to.copy_from_slice(&from[..self.width]);
        }
    }
}

/// `image` `[C, H, W]` with `addend` `[C]` (or nothing) on every pixel and its border around it: `image`
/// itself if that is the same, else made in `room`.
pub fn pad<'a, T: Real>(
    image: &'a [T],
    addend: &[T],
    geometry: &Geometry,
    room: &'a mut [T],
) -> &'a [T] {
    let Geometry { height, width, kernel, .. } = *geometry;
    if kernel == 1 && addend.is_empty() {
        return image;
    }
    let radius = kernel / 2;
    let planes = room.chunks_exact_mut(geometry.padded_plane());
    for (channel, (plane, padded)) in image.chunks_exact(height * width).zip(planes).enumerate() {
        let addend = addend.get(channel).copied().unwrap_or(T::ZERO);
        let rows = padded.chunks_exact_mut(geometry.padded_width()).skip(radius);
        for (row, target) in plane.chunks_exact(width).zip(rows) {
            for (target, &value) in target[radius..radius + width].iter_mut().zip(row) {
                *target = value + addend;
            }
        }
        border(padded, geometry);
    }
    room
}

/// Fills a padded plane's border from what it surrounds: columns first, then whole rows.
fn border<T: Real>(padded: &mut [T], geometry: &Geometry) {
    let Geometry { height, width, kernel, padding, .. } = *geometry;
    let radius = kernel / 2;
    let stride = geometry.padded_width();
    for row in padded.chunks_exact_mut(stride).skip(radius).take(height) {
        for x in (0..radius).chain(radius + width..stride) {
            let inside = beyond(x, radius, width, padding);
            row[x] = inside.map_or(T::ZERO, |inside| row[radius + inside]);
        }
    }
    for y in (0..radius).chain(radius + height..height + 2 * radius) {
        match beyond(y, radius, height, padding) {
            Some(inside) => {
                let start = (radius + inside) * stride;
                padded.copy_within(start..start + stride, y * stride);
            }
            None => padded[y * stride..][..stride].fill(T::ZERO),
        }
    }
}

/// Index `padded - radius` of a side of `length`, wrapped or `None` beyond the border.
pub fn beyond(padded: usize, radius: usize, length: usize, padding: Padding) -> Option<usize> {
    match padding {
        Padding::Zeros => padded.checked_sub(radius).filter(|&index| index < length),
        // A kernel may be larger than the image: any number of times round.
        Padding::Circular => {
            let mut index = padded + (radius * length - radius);
            while index >= length {
                index -= length;
            }
            Some(index)
        }
    }
}
