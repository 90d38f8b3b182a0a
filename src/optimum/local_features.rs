//! What a function of one noisy patch may use: its exact posterior moments, scaled for one noise level.
//!
//! Any function of the patch is allowed. The posterior over the distinct patches of the dictionary is a sufficient statistic of
//! the patch for everything about the image, so nothing is lost by starting from it; few of its moments are kept
//! ([`PatchMoments`]). At high noise a moment varies by a small share of what it varies by in the data: divided by its
//! standard deviation over noisy patches of the level, gradient descent is well conditioned.

use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;

use crate::diffusion::NoiseLevel;
use crate::image::ImageBatch;
use crate::theory::distinct_patches::patch_moments::PatchMoments;

/// Smallest standard deviation that a moment is divided by.
const DEVIATION_MIN: f64 = 1e-6;

/// Mean and standard deviation of each moment at one noise level.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    pub means: Vec<f32>,
    pub deviations: Vec<f32>,
}

/// A batch of noisy images as a function of the class takes it.
pub struct LocalFeatures {
    /// The estimates of `els` or `bbels`, `[B, C, H, W]`.
    pub local: Tensor,
    /// Scaled moments, `[B, M, H, W]`.
    pub scaled: Tensor,
}

impl Scale {
    /// The scale of the moments of `noisy` images.
    pub fn of(moments: &PatchMoments, noisy: &ImageBatch, level: NoiseLevel) -> Self {
        let (n_pixels, images) = (moments.shape().n_pixels(), of_images(moments, noisy, level));
        let n = (images.len() * n_pixels) as f64;
        let of_moment = |m: usize| {
            let planes = images.iter().map(|image| &image[m * n_pixels..(m + 1) * n_pixels]);
            let values = || planes.clone().flatten().map(|&v| f64::from(v));
            let mean = values().sum::<f64>() / n;
            let variance = values().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
            (mean as f32, variance.sqrt().max(DEVIATION_MIN) as f32)
        };
        let (means, deviations) = (0..moments.n_moments()).map(of_moment).unzip();
        Self { means, deviations }
    }
}

impl LocalFeatures {
    /// The features of noisy images at `level`.
    ///
    /// # Errors
    ///
    /// If a tensor cannot be made.
    pub fn new(
        moments: &PatchMoments,
        scale: &Scale,
        noisy: &ImageBatch,
        level: NoiseLevel,
    ) -> Result<Self> {
        let shape = moments.shape();
        let n_local = shape.n_values();
        let mut images = of_images(moments, noisy, level);
        let local: Vec<f32> = images.iter().flat_map(|image| &image[..n_local]).copied().collect();
        for image in &mut images {
            let planes = image.chunks_exact_mut(shape.n_pixels());
            for (plane, (mean, deviation)) in planes.zip(scale.means.iter().zip(&scale.deviations))
            {
                plane.iter_mut().for_each(|v| *v = (*v - mean) / deviation);
            }
        }
        let sizes = |channels| (noisy.len(), channels, shape.height, shape.width);
        Ok(Self {
            local: Tensor::from_vec(local, sizes(shape.channels), &Device::Cpu)?,
            scaled: Tensor::from_vec(images.concat(), sizes(moments.n_moments()), &Device::Cpu)?,
        })
    }
}

/// The moments of each image, `[M, P]`.
fn of_images(moments: &PatchMoments, noisy: &ImageBatch, level: NoiseLevel) -> Vec<Vec<f32>> {
    let images: Vec<&[f64]> = noisy.iter().collect();
    images.into_par_iter().map(|x| moments.of_image(x, level)).collect()
}
