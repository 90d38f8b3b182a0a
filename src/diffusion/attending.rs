//! Denoisers whose attention maps can be read and replaced.

use super::attention_maps::AttentionMaps;
use super::denoiser::{DenoiseError, Denoised, Denoiser};
use super::noise_schedule::NoiseLevel;
use crate::image::ImageBatch;

/// A denoiser with an attention layer: what it makes of a noisy image given its attention maps.
pub trait Attending: Denoiser {
    /// The attention maps at the noisy state `x`, `[B, heads, P, P]`; `None` where it does not attend at this level.
    ///
    /// # Errors
    ///
    /// As [`Denoiser::denoise`], and if it has no attention layer.
    fn own_maps(
        &self,
        x: &ImageBatch,
        level: NoiseLevel,
    ) -> Result<Option<AttentionMaps>, DenoiseError>;

    /// The estimate `x0hat` of `x` with `maps` in place of its own. With its own maps, it is that of
    /// [`Denoiser::denoise`] up to rounding.
    ///
    /// # Errors
    ///
    /// As [`Self::own_maps`], and if `maps` are of another number of images, heads or pixels.
    fn denoise_with_maps(
        &self,
        x: &ImageBatch,
        level: NoiseLevel,
        maps: &AttentionMaps,
    ) -> Result<Denoised, DenoiseError>;
}

impl AttentionMaps {
    /// Refuses maps that are not of `n_images` images, `n_heads` heads and `n_pixels` pixels.
    ///
    /// # Errors
    ///
    /// [`DenoiseError::Unusable`] with both sizes, in the name of `denoiser`.
    pub fn check_sizes(
        &self,
        denoiser: &str,
        (n_images, n_heads, n_pixels): (usize, usize, usize),
    ) -> Result<(), DenoiseError> {
        let found = (self.len(), self.n_heads(), self.n_pixels());
        if found == (n_images, n_heads, n_pixels) {
            return Ok(());
        }
        let problem = format!(
            "attention maps are of '{} images, {} heads and {} pixels', but are needed for {n_images} images, {n_heads} \
             heads and {n_pixels} pixels",
            found.0, found.1, found.2
        );
        Err(DenoiseError::Unusable { denoiser: denoiser.to_owned(), problem })
    }
}
