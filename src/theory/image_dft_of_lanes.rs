//! The transforms of [`super::image_dft`] for as many planes as a vector has lanes, one plane per lane.
//!
//! A plane is `[P, lanes]`, a transform `[F, 2, lanes]`: for each frequency the real and then the imaginary parts. Every
//! operation is on whole vectors, so planes of any size are transformed at the full speed of the processor.

use pulp::Simd;

use super::image_dft::ImageDft;
use crate::simd::{Buffer, Lane, lane::n_lanes};

/// Transforms of one size, with the memory of their first pass.
#[derive(Debug)]
pub struct LanesDft<'a> {
    dft: &'a ImageDft,
    /// Transforms along rows, `[H, W / 2 + 1, 2, lanes]`.
    lines: Buffer<f64>,
}

impl<'a> LanesDft<'a> {
    /// Transforms with the tables of `dft`.
    pub fn new(dft: &'a ImageDft) -> Self {
        Self { dft, lines: Buffer::zeros(2 * dft.n_frequencies() * n_lanes::<f64>()) }
    }

    /// The transforms `[F, 2, lanes]` of `plane`, `[P, lanes]`, of which the first vector and then every `step`-th belong to
    /// the planes.
    #[inline(always)]
    pub fn forward<S: Simd>(
        &mut self,
        simd: S,
        plane: &[S::f64s],
        step: usize,
        spectrum: &mut [S::f64s],
    ) {
        let zero = simd.splat_f64s(0.0);
        let (width, half) = (self.dft.width, self.dft.half());
        let lines = f64::vectors_mut::<S>(&mut self.lines);
        lines.fill(zero);
        // Not exact: of a channel after the first, the last row ends early.
        let rows = plane.chunks(width * step).zip(lines.chunks_exact_mut(2 * half));
        for (row, line) in rows {
            let values = row.iter().step_by(step).zip(self.dft.along.chunks_exact(half));
            for (&value, roots) in values {
                for (sum, root) in line.chunks_exact_mut(2).zip(roots) {
                    sum[0] = simd.mul_add_e_f64s(simd.splat_f64s(root.re), value, sum[0]);
                    sum[1] = simd.mul_add_e_f64s(simd.splat_f64s(root.im), value, sum[1]);
                }
            }
        }
        spectrum.fill(zero);
        let rows = spectrum.chunks_exact_mut(2 * half);
        for (to, roots) in rows.zip(self.dft.down.chunks_exact(self.dft.height)) {
            for (root, line) in roots.iter().zip(lines.chunks_exact(2 * half)) {
                add_product::<S>(simd, (root.re, root.im), line, to);
            }
        }
    }

    /// The planes `[P, lanes]` of the transforms `spectrum`, `[F, 2, lanes]`, of real values.
    #[inline(always)]
    pub fn inverse<S: Simd>(&mut self, simd: S, spectrum: &[S::f64s], plane: &mut [S::f64s]) {
        let zero = simd.splat_f64s(0.0);
        let (width, half, n_pixels) = (self.dft.width, self.dft.half(), plane.len());
        let line = &mut f64::vectors_mut::<S>(&mut self.lines)[..2 * half];
        let rows = plane.chunks_exact_mut(width).zip(self.dft.down.chunks_exact(self.dft.height));
        for (row, roots) in rows {
            line.fill(zero);
            for (root, from) in roots.iter().zip(spectrum.chunks_exact(2 * half)) {
                add_product::<S>(simd, (root.re, -root.im), from, line);
            }
            // Every frequency stands for itself and its conjugate, unless they are the same.
            for (v, value) in line.chunks_exact_mut(2).enumerate() {
                let n_same = if (2 * v).is_multiple_of(width) { 1.0 } else { 2.0 };
                let scale = simd.splat_f64s(n_same / n_pixels as f64);
                value.iter_mut().for_each(|value| *value = simd.mul_f64s(*value, scale));
            }
            for (to, roots) in row.iter_mut().zip(self.dft.along.chunks_exact(half)) {
                let (mut re, mut im) = (zero, zero);
                for (value, root) in line.chunks_exact(2).zip(roots) {
                    re = simd.mul_add_e_f64s(simd.splat_f64s(root.re), value[0], re);
                    im = simd.mul_add_e_f64s(simd.splat_f64s(root.im), value[1], im);
                }
                *to = simd.add_f64s(re, im);
            }
        }
    }
}

/// Adds the product of a complex number and the complex vectors `from`, `[n, 2]`, to `to`.
#[inline(always)]
pub fn add_product<S: Simd>(simd: S, (re, im): (f64, f64), from: &[S::f64s], to: &mut [S::f64s]) {
    let (re, im, minus_im) = (simd.splat_f64s(re), simd.splat_f64s(im), simd.splat_f64s(-im));
    for (to, from) in to.chunks_exact_mut(2).zip(from.chunks_exact(2)) {
        to[0] = simd.mul_add_e_f64s(re, from[0], simd.mul_add_e_f64s(minus_im, from[1], to[0]));
        to[1] = simd.mul_add_e_f64s(re, from[1], simd.mul_add_e_f64s(im, from[0], to[1]));
    }
}

#[cfg(test)]
mod tests {
    use pulp::{Arch, WithSimd};

    use super::*;
    use crate::image::ImageShape;
    use crate::random::noise_seeds;

    /// Forward and back: transforms `[F, 2, lanes]` and planes.
    struct RoundTrip<'a> {
        dft: &'a ImageDft,
        /// `[P, 2, lanes]`, of which only the second vectors are part of the planes.
        planes: &'a Buffer<f64>,
    }

    impl WithSimd for RoundTrip<'_> {
        type Output = (Buffer<f64>, Buffer<f64>);

        fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
            let mut lanes = LanesDft::new(self.dft);
            let mut spectrum = Buffer::zeros(2 * self.dft.n_frequencies() * n_lanes::<f64>());
            let mut back = Buffer::zeros(self.planes.len() / 2);
            let values = f64::vectors::<S>(self.planes);
            lanes.forward::<S>(simd, &values[1..], 2, f64::vectors_mut::<S>(&mut spectrum));
            let plane = f64::vectors_mut::<S>(&mut back);
            lanes.inverse::<S>(simd, f64::vectors::<S>(&spectrum), plane);
            (spectrum, back)
        }
    }

    #[test]
    fn every_lane_has_the_transform_of_its_plane() {
        let n_lanes = n_lanes::<f64>();
        for (height, width) in [(1, 1), (1, 6), (5, 1), (4, 6), (5, 7), (8, 3)] {
            let (dft, n_pixels) = (ImageDft::new(height, width), height * width);
            let noise = noise_seeds(2, 0, n_lanes, ImageShape::new(1, height, width));
            let mut planes = Buffer::zeros(n_pixels * 2 * n_lanes);
            for (lane, plane) in noise.iter().enumerate() {
                for (p, value) in plane.iter().enumerate() {
                    planes[p * 2 * n_lanes + lane] = f64::NAN;
                    planes[(p * 2 + 1) * n_lanes + lane] = *value;
                }
            }
            let (spectrum, back) = Arch::new().dispatch(RoundTrip { dft: &dft, planes: &planes });
            for (lane, plane) in noise.iter().enumerate() {
                for (at, value) in dft.forward(plane).iter().enumerate() {
                    let [re, im] = [0, 1].map(|i| spectrum[(2 * at + i) * n_lanes + lane]);
                    let gap = (re - value.re).abs().max((im - value.im).abs());
                    assert!(gap < 1e-12, "{height}x{width}, frequency {at}: {gap}");
                }
                for (p, value) in plane.iter().enumerate() {
                    assert!((back[p * n_lanes + lane] - value).abs() < 1e-13, "{height}x{width}");
                }
            }
        }
    }
}
