//! The estimate of one image by a machine.

use super::posterior_weights::Accumulator;
use crate::diffusion::{AttentionMaps, Provenance};

/// The estimate of one image, with its diagnostics. `image` of a [`Provenance`] counts in the filtered dictionary.
#[derive(Debug, Default)]
pub struct Estimate {
    /// Posterior mean, `[C, H, W]`.
    pub x0: Vec<f64>,
    /// Posterior entropy of each pixel in nats, `[H, W]`; empty for machines without a posterior over images.
    pub entropy_nats: Vec<f64>,
    /// The entry of the largest weight at each pixel, `[H, W]`; empty as above.
    pub provenance: Vec<Provenance>,
    /// The attention that was used; attention machine only, on request.
    pub attention: Option<AttentionMaps>,
}

impl Estimate {
    /// The estimate from a posterior at each pixel.
    pub fn from_pixels(posteriors: &Accumulator) -> Self {
        Self {
            x0: posteriors.mean(),
            entropy_nats: (0..posteriors.n_pixels()).map(|p| posteriors.entropy(p)).collect(),
            provenance: posteriors.best.clone(),
            attention: None,
        }
    }
}
