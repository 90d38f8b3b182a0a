//! The k x k neighbourhoods of an image as the columns of a matrix ("im2col"), for same padding.
//!
//! ```text
//! columns[((c * k + ky) * k + kx) * n + (row - first) * W + x] = image[c, row + ky - r, x + kx - r]
//! ```
//!
//! with r = k / 2, n the number of pixels gathered, and zeros or the wrapped-around pixel beyond the
//! border. A band of rows is gathered at a time, so that the matrix stays in the cache.

use std::ops::Range;

use super::matrix::Real;
use crate::network::config::Padding;

/// A convolution's sizes.
#[derive(Clone, Copy, Debug)]
pub struct Geometry {
    pub c_in: usize,
    pub c_out: usize,
    pub height: usize,
    pub width: usize,
    pub kernel: usize,
    pub padding: Padding,
}

/// Values of a band's matrix: 512 kB in single precision, about half of a core's second-level cache.
const BAND_VALUES: usize = 1 << 17;

impl Geometry {
    pub fn n_pixels(&self) -> usize {
        self.height * self.width
    }

    /// Rows of the patch matrix, `C_in * k * k`.
    pub fn depth(&self) -> usize {
        self.c_in * self.kernel * self.kernel
    }

    /// Row ranges of about equal size whose patch matrices fit the cache.
    pub fn bands(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let height = self.height;
        let rows_max = (BAND_VALUES / (self.depth() * self.width)).clamp(1, height);
        let rows = height.div_ceil(height.div_ceil(rows_max));
        (0..height).step_by(rows).map(move |first| first..(first + rows).min(height))
    }

    /// Room for the largest band's matrix.
    pub fn band_values(&self) -> usize {
        self.bands().map(|band| band.len()).max().unwrap_or(0) * self.width * self.depth()
    }
}

/// Fills `columns` with the patches of the pixels in `band`; returns how many pixels these are.
pub fn gather<T: Real>(
    image: &[T],
    geometry: &Geometry,
    band: &Range<usize>,
    columns: &mut [T],
) -> usize {
    let Geometry { height, width, kernel, padding, .. } = *geometry;
    let radius = kernel / 2;
    let n = band.len() * width;
    let mut targets = columns.chunks_exact_mut(n);
    for plane in image.chunks_exact(height * width) {
        for ky in 0..kernel {
            for (kx, target) in (0..kernel).zip(&mut targets) {
                for (row, target) in band.clone().zip(target.chunks_exact_mut(width)) {
                    match beyond(row + ky, radius, height, padding) {
                        Some(y) => shift(&plane[y * width..][..width], kx, radius, padding, target),
                        None => target.fill(T::zero()),
                    }
                }
            }
        }
    }
    n
}

/// Index `padded - radius` of a side of `length`, wrapped or `None` beyond the border.
fn beyond(padded: usize, radius: usize, length: usize, padding: Padding) -> Option<usize> {
    match padding {
        Padding::Zeros => padded.checked_sub(radius).filter(|&index| index < length),
        // A kernel may be larger than the image: keep the difference above zero before wrapping.
        Padding::Circular => Some((padded + radius * length - radius) % length),
    }
}

/// One row, shifted by `kx - radius`.
fn shift<T: Real>(source: &[T], kx: usize, radius: usize, padding: Padding, target: &mut [T]) {
    let width = source.len();
    if kx.abs_diff(radius) >= width {
        for (x, target) in target.iter_mut().enumerate() {
            *target = beyond(x + kx, radius, width, padding).map_or(T::zero(), |x| source[x]);
        }
        return;
    }
    let (inside, edge, wrapped) = if kx >= radius {
        let ahead = kx - radius;
        let (inside, edge) = target.split_at_mut(width - ahead);
        inside.copy_from_slice(&source[ahead..]);
        (inside, edge, &source[..ahead])
    } else {
        let behind = radius - kx;
        let (edge, inside) = target.split_at_mut(behind);
        inside.copy_from_slice(&source[..width - behind]);
        (inside, edge, &source[width - behind..])
    };
    debug_assert_eq!(inside.len() + edge.len(), width);
    match padding {
        Padding::Zeros => edge.fill(T::zero()),
        Padding::Circular => edge.copy_from_slice(wrapped),
    }
}
