//! The interface of all denoisers: maps a noisy image to the posterior mean of the clean image.
//!
//! Networks (which predict the noise) and score machines (which compute the mean from training images) both implement
//! [`Denoiser`]. The other parametrisations follow from `x0hat`:
//! `eps_hat = (x_t - sqrt(abar) x0hat) / sigma` and `score = -eps_hat / sigma`.

use std::error::Error;

use thiserror::Error as ThisError;

use super::attention_entropy::AttentionStatistics;
use super::attention_maps::AttentionMaps;
use super::noise_schedule::NoiseLevel;
use crate::image::{ImageBatch, ImageShape, Symmetry};

/// Estimates the clean image from a noisy one at a known noise level.
pub trait Denoiser: Send + Sync {
    /// The posterior mean `x0hat` of each image in `x`, `[B, C, H, W]`, with the diagnostics that the denoiser is set to
    /// return. The result for one image does not depend on the others.
    ///
    /// # Errors
    ///
    /// If the shape, a value or the noise level is not valid for this denoiser, or the computation fails.
    fn denoise(&self, x: &ImageBatch, level: NoiseLevel) -> Result<Denoised, DenoiseError>;
}

/// The result of a denoiser.
#[derive(Clone, Debug)]
pub struct Denoised {
    /// `x0hat`, shaped like the input.
    pub x0: ImageBatch,
    /// Entropy and provenance of each pixel; score machines only, on request.
    pub posterior: Option<Posterior>,
    /// Attention weights; attention networks and the attention machine, on request.
    pub attention: Option<AttentionMaps>,
    /// Statistics of the attention; attention networks only, on request.
    pub attention_statistics: Option<AttentionStatistics>,
    /// Values of the batch that lay outside the pixel range [-1, 1] and were clamped to it; networks only.
    pub n_clamped: usize,
}

impl Denoised {
    /// An estimate without diagnostics.
    pub fn plain(x0: ImageBatch) -> Self {
        Self { x0, posterior: None, attention: None, attention_statistics: None, n_clamped: 0 }
    }

    /// The noise in `x` according to `x0hat`: `(x - sqrt(abar) x0hat) / sigma`.
    pub fn eps(&self, x: &ImageBatch, level: NoiseLevel) -> ImageBatch {
        let (signal, sigma) = (level.signal(), level.sigma());
        let eps = x.values().iter().zip(self.x0.values()).map(|(x, x0)| (x - signal * x0) / sigma);
        ImageBatch::new(x.shape(), eps.collect())
    }

    /// The score `grad log p_t(x) = -eps_hat / sigma`.
    pub fn score(&self, x: &ImageBatch, level: NoiseLevel) -> ImageBatch {
        let mut score = self.eps(x, level);
        let sigma = level.sigma();
        score.values_mut().iter_mut().for_each(|v| *v = -*v / sigma);
        score
    }
}

/// Per-pixel diagnostics of a posterior over training patches, `[B, H, W]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Posterior {
    /// Entropy `H(W_p)` in nats; its exponential is the effective number of patches.
    pub entropy_nats: Vec<f64>,
    /// The patch of the largest weight. Of a mirrored or turned copy, the place is that of the same pixel in its image.
    pub provenance: Vec<Provenance>,
    /// How each of these patches was mirrored or turned; empty if the dictionary has no such copies.
    pub symmetries: Vec<Symmetry>,
}

/// The centre of a training patch: which image, and where in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Provenance {
    pub image: u32,
    pub row: u16,
    pub column: u16,
}

/// Why an image could not be denoised.
#[derive(Debug, ThisError)]
pub enum DenoiseError {
    #[error("{denoiser}: the input holds {found} images but this denoiser works on {expected}")]
    Shape { denoiser: String, expected: ImageShape, found: ImageShape },
    #[error("{denoiser}: pixel {index} of the input is '{value}', which is not a finite number")]
    NotFinite { denoiser: String, index: usize, value: f64 },
    #[error("{denoiser} at t = {t}: {problem}")]
    Level { denoiser: String, t: f64, problem: String },
    #[error("{denoiser} cannot be used here: {problem}")]
    Unusable { denoiser: String, problem: String },
    #[error("sampling was cancelled")]
    Cancelled,
    #[error("{denoiser} failed")]
    Failed { denoiser: String, source: Box<dyn Error + Send + Sync> },
}
