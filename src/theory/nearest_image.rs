//! `nearest`: the training image nearest to `x_t / sqrt(abar)`, the limit of `ideal` as its noise vanishes.
//!
//! ```text
//! x0hat = phi_n,   n = argmin_n || x_t / sqrt(abar) - phi_n ||^2          (the first of equals)
//! ```
//!
//! A baseline for final samples: it copies a training image at every noise level. Always on the CPU in doubles, because
//! of two images at almost the same distance single precision may choose the farther one.

use super::cpu_posteriors::whole_images;
use super::estimate_of_one_image::Estimate;
use super::training_pixels::ImagePixels;

/// The nearest image of each query. `queries` are `x_t / sqrt(abar)`, `[C, H, W]`; `logit_scale` is `abar / (2 sigma^2)`,
/// on which the choice does not depend.
pub fn nearest_images(
    images: &ImagePixels,
    queries: &[Vec<f64>],
    logit_scale: f64,
) -> Vec<Estimate> {
    // The largest weight of `ideal` is that of the nearest image, and provenance names it.
    let mut estimates = whole_images(images, queries, false, logit_scale);
    for estimate in &mut estimates {
        let image = estimate.provenance[0].image as usize;
        estimate.x0 = images.values(image..image + 1);
        estimate.entropy_nats.fill(0.0);
    }
    estimates
}
