//! The discrete Fourier transform of one plane of an image.
//!
//! ```text
//! X[u,v] = sum_{r,c} x[r,c] exp(-2 pi i (u r / H + v c / W))
//! ```
//!
//! Two products with dense matrices, along rows and then down columns: `H W (H + W)` operations, few for images of at
//! most 256 pixels a side, and any side will do. The transform of real values is Hermitian, so only the frequencies
//! `v <= W / 2` are kept.

use std::f64::consts::TAU;

use faer::c64;

/// Tables for planes of one size.
#[derive(Debug)]
pub struct ImageDft {
    pub(super) height: usize,
    pub(super) width: usize,
    /// `exp(-2 pi i u r / H)`, `[H, H]`.
    pub(super) down: Vec<c64>,
    /// `exp(-2 pi i v c / W)`, `[W, W / 2 + 1]`: column c, frequency v.
    pub(super) along: Vec<c64>,
}

impl ImageDft {
    /// Tables for planes of `height` rows and `width` columns.
    pub fn new(height: usize, width: usize) -> Self {
        // Reduced first: the angle of a product of two indices would lose digits.
        let root = |i: usize, len: usize| c64::cis(-TAU * (i % len) as f64 / len as f64);
        let half = width / 2 + 1;
        let down = (0..height * height).map(|at| root(at / height * (at % height), height));
        let along = (0..width * half).map(|at| root(at / half * (at % half), width));
        Self { height, width, down: down.collect(), along: along.collect() }
    }

    /// Frequencies along an axis of rows that are kept, `W / 2 + 1`.
    pub(super) fn half(&self) -> usize {
        self.width / 2 + 1
    }

    /// Number of frequencies that are kept, `F = H (W / 2 + 1)`.
    pub fn n_frequencies(&self) -> usize {
        self.height * self.half()
    }

    /// The transform `[H, W / 2 + 1]` of a plane `[H, W]`.
    pub fn forward(&self, plane: &[f64]) -> Vec<c64> {
        let half = self.half();
        let mut lines = vec![c64::ZERO; self.n_frequencies()];
        for (line, row) in lines.chunks_exact_mut(half).zip(plane.chunks_exact(self.width)) {
            for (&value, roots) in row.iter().zip(self.along.chunks_exact(half)) {
                line.iter_mut().zip(roots).for_each(|(sum, root)| *sum += root * value);
            }
        }
        let mut spectrum = vec![c64::ZERO; self.n_frequencies()];
        let rows = spectrum.chunks_exact_mut(half).zip(self.down.chunks_exact(self.height));
        for (to, roots) in rows {
            for (root, line) in roots.iter().zip(lines.chunks_exact(half)) {
                to.iter_mut().zip(line).for_each(|(sum, value)| *sum += root * value);
            }
        }
        spectrum
    }

    /// The plane `[H, W]` of a transform `[H, W / 2 + 1]` of real values.
    pub fn inverse(&self, spectrum: &[c64]) -> Vec<f64> {
        let (half, n_pixels) = (self.half(), self.height * self.width);
        let mut plane = Vec::with_capacity(n_pixels);
        let mut line = vec![c64::ZERO; half];
        for roots in self.down.chunks_exact(self.height) {
            line.fill(c64::ZERO);
            for (root, row) in roots.iter().zip(spectrum.chunks_exact(half)) {
                let root = root.conj();
                line.iter_mut().zip(row).for_each(|(sum, value)| *sum += root * value);
            }
            // Every frequency stands for itself and its conjugate, unless they are the same.
            for (v, value) in line.iter_mut().enumerate() {
                *value *= if (2 * v).is_multiple_of(self.width) { 1.0 } else { 2.0 };
            }
            plane.extend(self.along.chunks_exact(half).map(|roots| {
                let pairs = line.iter().zip(roots);
                pairs.map(|(a, b)| a.re * b.re + a.im * b.im).sum::<f64>() / n_pixels as f64
            }));
        }
        plane
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::ImageShape;
    use crate::random::noise_seeds;

    #[test]
    fn the_transform_is_its_definition_and_can_be_inverted() {
        for (height, width) in [(1, 1), (1, 6), (5, 1), (4, 6), (5, 7), (8, 3)] {
            let plane = noise_seeds(2, 0, 1, ImageShape::new(1, height, width)).into_values();
            let dft = ImageDft::new(height, width);
            let spectrum = dft.forward(&plane);
            assert_eq!(spectrum.len(), dft.n_frequencies());
            for (at, found) in spectrum.iter().enumerate() {
                let (u, v) = (at / (width / 2 + 1), at % (width / 2 + 1));
                let term = |(p, x): (usize, &f64)| {
                    let (row, column) = ((p / width) as f64, (p % width) as f64);
                    let turns = u as f64 * row / height as f64 + v as f64 * column / width as f64;
                    c64::cis(-TAU * turns) * *x
                };
                let expected: c64 = plane.iter().enumerate().map(term).sum();
                assert!((found - expected).norm() < 1e-12, "{height}x{width}: {u}, {v}");
            }
            let back = dft.inverse(&spectrum);
            assert!(back.iter().zip(&plane).all(|(a, b)| (a - b).abs() < 1e-13));
        }
    }
}
