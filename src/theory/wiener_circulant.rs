//! The circulant Gaussian machine: the best linear denoiser among those that commute with circular translations.
//!
//! It is the Wiener filter ([`super::wiener`]) of the data set with every circular shift of its images. Its mean is one
//! value per channel, and its covariance S depends only on the displacement of two pixels, so the Fourier transform splits
//! it into one C x C block per spatial frequency u:
//!
//! ```text
//! S(u)     = 1 / (N P) sum_n F_n(u) F_n(u)^H,    F_n = DFT(phi_n - mu),    P = H W
//! X0hat(u) = DFT(mu)(u) + sqrt(abar) S(u) (abar S(u) + sigma^2 I)^-1 DFT(x_t - sqrt(abar) mu)(u)
//! ```
//!
//! The blocks are decomposed once for all noise levels. Always in `f64`; there is no posterior over patches. (Derived
//! here; a translation-equivariant linear network can do no better.)

use faer::{Mat, Side, c64};
use rayon::prelude::*;

use super::error::TheoryError;
use super::image_dft::ImageDft;
use super::training_images::TrainingImages;
use crate::diffusion::NoiseLevel;

/// Images that are transformed at a time.
const BLOCK: usize = 256;

/// Mean and covariance of a dictionary at every circular shift, decomposed.
#[derive(Debug)]
pub struct CirculantWiener {
    /// Mean of each channel, `[C]`.
    mean: Vec<f64>,
    n_pixels: usize,
    dft: ImageDft,
    /// Eigenvalues of each block, `[F, C]`.
    variances: Vec<f64>,
    /// Eigenvectors of each block, one per row, `[F, C, C]`.
    directions: Vec<c64>,
}

impl CirculantWiener {
    /// The mean and the decomposed covariance of `images` at every circular shift.
    ///
    /// # Errors
    ///
    /// If the eigenvalues do not converge.
    pub fn new(images: &TrainingImages) -> Result<Self, TheoryError> {
        let shape = images.shape();
        let (n_channels, n_pixels) = (shape.channels, shape.n_pixels());
        let dft = ImageDft::new(shape.height, shape.width);
        let mean = channel_means(images);
        let blocks = blocks(images.len()).map(|(first, last)| {
            let mut sum = vec![c64::ZERO; dft.n_frequencies() * n_channels * n_channels];
            for image in images.values(first..last).chunks_exact(shape.n_values()) {
                add_outer_products(&spectra(&dft, image, &mean), n_channels, &mut sum);
            }
            sum
        });
        let mut sums = vec![c64::ZERO; dft.n_frequencies() * n_channels * n_channels];
        // In order, so that the result does not depend on the number of threads.
        for block in blocks.collect::<Vec<_>>() {
            sums.iter_mut().zip(block).for_each(|(sum, value)| *sum += value);
        }
        let scale = 1.0 / (images.len() * n_pixels) as f64;
        let (mut variances, mut directions) = (Vec::new(), Vec::new());
        for block in sums.chunks_exact(n_channels * n_channels) {
            let block =
                Mat::from_fn(n_channels, n_channels, |i, j| block[i * n_channels + j] * scale);
            let eigen = block
                .self_adjoint_eigen(Side::Lower)
                .map_err(|problem| TheoryError::Eigen { problem: format!("{problem:?}") })?;
            // Below zero only by rounding.
            variances.extend(eigen.S().column_vector().iter().map(|value| value.re.max(0.0)));
            let vectors = eigen.U();
            let rows = (0..n_channels).flat_map(|i| (0..n_channels).map(move |c| (c, i)));
            directions.extend(rows.map(|place| vectors[place]));
        }
        Ok(Self { mean, n_pixels, dft, variances, directions })
    }

    /// The posterior mean of one noisy image `x_t`, both `[C, H, W]`.
    pub fn denoise(&self, x: &[f64], level: NoiseLevel) -> Vec<f64> {
        let (signal, noise, n_channels) = (level.signal(), level.variance(), self.mean.len());
        let noisy_mean: Vec<f64> = self.mean.iter().map(|mean| signal * mean).collect();
        let mut spectra = spectra(&self.dft, x, &noisy_mean);
        let mut filtered = vec![c64::ZERO; n_channels];
        let blocks = self.variances.chunks_exact(n_channels);
        let blocks = blocks.zip(self.directions.chunks_exact(n_channels * n_channels));
        for ((variances, directions), values) in blocks.zip(spectra.chunks_exact_mut(n_channels)) {
            filtered.fill(c64::ZERO);
            for (direction, variance) in directions.chunks_exact(n_channels).zip(variances) {
                let pairs = direction.iter().zip(values.iter());
                let along: c64 = pairs.map(|(u, value)| u.conj() * value).sum();
                let gain = signal * variance / (level.abar * variance + noise);
                filtered.iter_mut().zip(direction).for_each(|(sum, u)| *sum += u * (along * gain));
            }
            values.copy_from_slice(&filtered);
        }
        let plane = |(c, mean): (usize, &f64)| {
            let spectrum: Vec<c64> = spectra.iter().skip(c).step_by(n_channels).copied().collect();
            let mean = *mean;
            self.dft.inverse(&spectrum).into_iter().map(move |value| mean + value)
        };
        let mut x0 = Vec::with_capacity(n_channels * self.n_pixels);
        self.mean.iter().enumerate().for_each(|channel| x0.extend(plane(channel)));
        x0
    }
}

/// First and last of each block of `n` images.
fn blocks(n: usize) -> impl IndexedParallelIterator<Item = (usize, usize)> {
    let first = |block| block * BLOCK;
    (0..n.div_ceil(BLOCK)).into_par_iter().map(move |block| (first(block), first(block + 1).min(n)))
}

/// The mean of each channel over all images and pixels, `[C]`.
fn channel_means(images: &TrainingImages) -> Vec<f64> {
    let shape = images.shape();
    let n = (images.len() * shape.n_pixels()) as f64;
    let sums = blocks(images.len()).map(|(first, last)| {
        let mut sums = vec![0.0; shape.channels];
        for image in images.values(first..last).chunks_exact(shape.n_values()) {
            let planes = image.chunks_exact(shape.n_pixels());
            sums.iter_mut().zip(planes).for_each(|(sum, plane)| *sum += plane.iter().sum::<f64>());
        }
        sums
    });
    let sums: Vec<Vec<f64>> = sums.collect();
    (0..shape.channels).map(|c| sums.iter().map(|block| block[c]).sum::<f64>() / n).collect()
}

/// The transforms of the planes of an image `[C, H, W]` less `mean` of each channel, `[F, C]`.
fn spectra(dft: &ImageDft, image: &[f64], mean: &[f64]) -> Vec<c64> {
    let n_channels = mean.len();
    let mut all = vec![c64::ZERO; dft.n_frequencies() * n_channels];
    let planes = image.chunks_exact(image.len() / n_channels);
    for (c, (plane, mean)) in planes.zip(mean).enumerate() {
        let plane: Vec<f64> = plane.iter().map(|value| value - mean).collect();
        let to = all[c..].iter_mut().step_by(n_channels);
        to.zip(dft.forward(&plane)).for_each(|(to, value)| *to = value);
    }
    all
}

/// Adds `F(u) F(u)^H` at each frequency to `sums`, `[F, C, C]`.
fn add_outer_products(spectra: &[c64], n_channels: usize, sums: &mut [c64]) {
    let blocks = sums.chunks_exact_mut(n_channels * n_channels);
    for (block, values) in blocks.zip(spectra.chunks_exact(n_channels)) {
        for (row, a) in block.chunks_exact_mut(n_channels).zip(values) {
            row.iter_mut().zip(values).for_each(|(sum, b)| *sum += a * b.conj());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::wiener::Wiener;
    use super::*;
    use crate::diffusion::Schedule;
    use crate::image::ImageShape;
    use crate::random::noise_seeds;

    const SHAPES: [(usize, usize, usize); 4] = [(1, 4, 4), (3, 4, 6), (2, 5, 3), (1, 1, 7)];

    fn shapes() -> impl Iterator<Item = ImageShape> {
        SHAPES.into_iter().map(|(c, h, w)| ImageShape::new(c, h, w))
    }

    fn random(seed: u64, n: usize, shape: ImageShape) -> Vec<f64> {
        noise_seeds(seed, 0, n, shape).into_values()
    }

    fn filter(shape: ImageShape, images: Vec<f64>) -> CirculantWiener {
        CirculantWiener::new(&TrainingImages::from_values(shape, images).unwrap()).unwrap()
    }

    fn gap(a: &[f64], b: &[f64]) -> f64 {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    }

    /// Every image of `images` moved by (rows, columns).
    fn roll(shape: ImageShape, images: &[f64], rows: usize, columns: usize) -> Vec<f64> {
        let (h, w) = (shape.height, shape.width);
        let pixel = |plane: &[f64], p: usize| plane[(p / w + rows) % h * w + (p % w + columns) % w];
        let planes = images.chunks_exact(h * w);
        planes.flat_map(|plane| (0..h * w).map(move |p| pixel(plane, p))).collect()
    }

    #[test]
    fn it_is_the_dense_filter_of_every_shift_of_the_images() {
        for (shape, n) in shapes().flat_map(|shape| [1, 3, 40].map(|n| (shape, n))) {
            let images = random(5, n, shape);
            let circulant = filter(shape, images.clone());
            let all: Vec<f64> = (0..shape.n_pixels())
                .flat_map(|s| roll(shape, &images, s / shape.width, s % shape.width))
                .collect();
            let dense = Wiener::new(&TrainingImages::from_values(shape, all).unwrap()).unwrap();
            let x = random(6, 1, shape);
            for t in [0.1, 0.5, 0.9] {
                let level = Schedule::Cosine.level(t);
                let (a, b) = (circulant.denoise(&x, level), dense.denoise(&x, level));
                assert!(gap(&a, &b) < 1e-9, "{n} images of {shape}, t = {t}: {}", gap(&a, &b));
            }
        }
    }

    #[test]
    fn it_commutes_with_shifts() {
        for shape in shapes() {
            let filter = filter(shape, random(5, 6, shape));
            let (x, level) = (random(6, 1, shape), Schedule::Cosine.level(0.6));
            let before = roll(shape, &filter.denoise(&x, level), 2, 5);
            let after = filter.denoise(&roll(shape, &x, 2, 5), level);
            assert!(gap(&before, &after) < 1e-12, "{shape}");
        }
    }

    #[test]
    fn without_noise_the_input_is_left_and_in_pure_noise_the_mean() {
        for shape in shapes() {
            let filter = filter(shape, random(5, 40, shape));
            let x = random(6, 1, shape);
            let clean = NoiseLevel { t: 0.0, abar: 1.0 - 1e-12 };
            assert!(gap(&filter.denoise(&x, clean), &x) < 1e-8, "{shape}");
            let means = filter.mean.iter().flat_map(|&mean| vec![mean; shape.n_pixels()]);
            let noise = NoiseLevel { t: 1.0, abar: 1e-24 };
            assert!(gap(&filter.denoise(&x, noise), &means.collect::<Vec<_>>()) < 1e-9, "{shape}");
        }
    }
}
