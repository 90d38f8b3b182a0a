//! The machine `attention-optimal`: its function class, and the interface of what solves for it.
//!
//! A network whose attention layer is followed by nothing nonlinear computes, before the sampler's clamp,
//!
//! ```text
//! x0hat(p) = g(Omega(p)) + sum_h sum_r A_h[p,r] u_h(Omega(r))       A_h[p,.] = softmax_r( q_h(Omega(p)) . k_h(Omega(r)) / sqrt(D) )
//! ```
//!
//! with any functions g, u_h, q_h, k_h of one noisy patch. The machine is the member of this class of least expected
//! error on the training images (docs/theory.md section 12), held to the pixel range where the network is. Finding it takes attention layers and optimisers, which
//! `theory` does not know: the owner of the training images gives them an [`OptimumSolver`].

use std::fmt::Debug;

use super::patch_pools_ls_els_bbels::Pool;
use super::training_pixels::ImagePixels;
use crate::diffusion::{AttentionMaps, DenoiseError, Denoised, NoiseLevel};
use crate::image::ImageBatch;

/// What is known of a network whose best estimate is looked for; with the patch side, its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttentionClass {
    /// Patches that its convolutions can tell apart: `els` or `bbels`.
    pub pool: Pool,
    pub heads: usize,
    /// Channels per head of queries and keys.
    pub head_width: usize,
    /// How attention weights are computed: a word of `network.attention`.
    pub weights: &'static str,
    /// Whether features are normalised over channels before queries and keys.
    pub normalise: bool,
    /// Whether a layer with a nonlinearity follows the attention: the estimate is then any function of a pixel's own patch
    /// and what attention brings it.
    pub joint_readout: bool,
    /// Whether estimates are held to the pixel range [-1, 1].
    pub clamp: bool,
}

/// What is asked of the attention of an estimate.
#[derive(Clone, Copy, Debug)]
pub enum AttentionQuery<'a> {
    /// Nothing.
    None,
    /// The maps that it is computed with, if it attends at its level.
    Own,
    /// That these maps, `[B, heads, P, P]`, take their place.
    Given(&'a AttentionMaps),
}

/// Finds the best members of classes, one per noise level, and evaluates them.
pub trait OptimumSolver: Debug + Send + Sync {
    /// The estimates `x0hat` of `x`, `[B, C, H, W]`, by the best member of `class` with patches of side `k`, solved for
    /// `images` if it is not known yet; with its attention maps, or computed with others, as `attention` says.
    ///
    /// # Errors
    ///
    /// If there are too many patches, the class cannot be computed, or [`DenoiseError::Cancelled`] if solving was stopped.
    fn denoise(
        &self,
        class: &AttentionClass,
        k: usize,
        images: &ImagePixels,
        x: &ImageBatch,
        level: NoiseLevel,
        attention: AttentionQuery<'_>,
    ) -> Result<Denoised, DenoiseError>;

    /// Whether [`Self::denoise`] would not have to solve first, which takes a minute.
    fn is_solved(&self, class: &AttentionClass, k: usize, images: &ImagePixels) -> bool;
}
