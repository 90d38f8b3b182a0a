//! The inner loops of the patch machines: logits over a whole dictionary, log-sum-exp per pixel.
//!
//! [`mod@reference`] is the specification. [`box_sums`] computes the same faster and is tested against it: it sums
//! squared differences of [`tile`]s of images over [`windows`] and adds the results to running [`posterior`]s, over
//! [`posterior_over_all_images`] or [`posterior_per_image`]. All are generic over the number type (see
//! [`super::machine::Precision`]).

pub mod reference;
pub mod tile;
pub mod weighted_windows;
pub mod windows;
pub mod posterior;
pub mod posterior_over_all_images;
pub mod posterior_per_image;
pub mod box_sums;
#[cfg(test)]
pub mod test_case;

use super::patch_pools_ls_els_bbels::Pool;
use super::patch_window::PatchWindow;
use crate::diffusion::NoiseLevel;
use crate::image::ImageShape;
use crate::simd::Lane;

/// `abar / (2 sigma^2)`: logits are minus this times squared distances to `x_t / sqrt(abar)`.
pub fn logit_scale(level: NoiseLevel) -> f64 {
    level.abar / (2.0 * level.variance())
}

/// One noisy image against one patch dictionary.
#[derive(Clone, Copy, Debug)]
pub struct PatchQuery<'a, T> {
    pub shape: ImageShape,
    pub pool: Pool,
    pub k: usize,
    pub window: PatchWindow,
    /// `x_t / sqrt(abar)`, `[C, H, W]`: dividing the query spares scaling the dictionary.
    pub x: &'a [T],
    /// `abar / (2 sigma^2)`, so that `L = -logit_scale * || x / sqrt(abar) - phi ||^2`, each pixel weighted by the window.
    pub logit_scale: f64,
}

impl<T> PatchQuery<'_, T> {
    /// The same query with other values, such as the same ones rounded.
    pub fn with_values<'b, U>(&self, x: &'b [U]) -> PatchQuery<'b, U> {
        let &Self { shape, pool, k, window, logit_scale, .. } = self;
        PatchQuery { shape, pool, k, window, x, logit_scale }
    }
}

impl<T: Lane> PatchQuery<'_, T> {
    /// The values in single precision, as GPUs take them.
    pub fn singles(&self) -> Vec<f32> {
        self.x.iter().map(|value| value.to_f64() as f32).collect()
    }
}
