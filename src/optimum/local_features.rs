//! What a function of one noisy patch may use: its exact posterior moments.
//!
//! Any function of the patch is allowed. The posterior over the distinct patches of the dictionary is a sufficient
//! statistic of the patch for everything about the image, so nothing is lost by starting from it; few of its moments are
//! kept ([`PatchMoments`]), each in units of its standard deviation over the dictionary.

use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;

use crate::diffusion::NoiseLevel;
use crate::image::ImageBatch;
use crate::theory::distinct_patches::patch_moments::PatchMoments;

/// A batch of noisy images as a function of the class takes it.
pub struct LocalFeatures {
    /// The noise level of each image.
    pub levels: Vec<NoiseLevel>,
    /// The estimates of `els` or `bbels`, `[B, C, H, W]`.
    pub local: Tensor,
    /// Scaled moments, `[B, M, H, W]`.
    pub scaled: Tensor,
}

impl LocalFeatures {
    /// The features of noisy images at one level each.
    ///
    /// # Errors
    ///
    /// If a tensor cannot be made.
    pub fn new(
        moments: &PatchMoments,
        noisy: &ImageBatch,
        levels: Vec<NoiseLevel>,
    ) -> Result<Self> {
        let shape = moments.shape();
        let n_local = shape.n_values();
        let images: Vec<(&[f64], NoiseLevel)> = noisy.iter().zip(levels.iter().copied()).collect();
        let mut of_images: Vec<Vec<f32>> =
            images.into_par_iter().map(|(x, level)| moments.of_image(x, level)).collect();
        let local: Vec<f32> =
            of_images.iter().flat_map(|image| &image[..n_local]).copied().collect();
        for image in &mut of_images {
            let planes = image.chunks_exact_mut(shape.n_pixels());
            for (plane, scale) in planes.zip(moments.scales()) {
                let (mean, factor) = (scale.mean as f32, (1.0 / scale.deviation) as f32);
                plane.iter_mut().for_each(|v| *v = (*v - mean) * factor);
            }
        }
        let sizes = |channels| (noisy.len(), channels, shape.height, shape.width);
        Ok(Self {
            levels,
            local: Tensor::from_vec(local, sizes(shape.channels), &Device::Cpu)?,
            scaled: Tensor::from_vec(of_images.concat(), sizes(moments.n_moments()), &Device::Cpu)?,
        })
    }
}
