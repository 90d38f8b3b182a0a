//! Patch machines over the distinct patches of a dictionary (docs/theory.md section 9).
//!
//! Crafted images and images with flat parts hold few distinct patches: the 20,736 patches of `glyphs-attention` are
//! copies of 1,057. Weights over distinct patches, multiplied by how often each occurs, are exactly those over all of
//! them:
//!
//! ```text
//! L[j,p] = -abar / (2 sigma^2) || x_p / sqrt(abar) - patch_j ||^2      one logit per distinct patch j
//! sum_q exp L[n,q,p] = sum_j count[n,j] exp L[j,p]                     count[n,j]: copies of j in image n
//! ```
//!
//! Two kinds of tables hold them, both with one query pixel per vector lane:
//!
//! - Of all images, where images repeat each other's patches: [`patch_table`] finds them, [`patch_weights`] sums weights over them,
//!   and [`posteriors`] has the same functions as [`super::cpu_posteriors`].
//! - Of each image, where images have flat parts: [`image_table`], [`strip_distances`], [`image_sums`] and
//!   [`image_posteriors`].
//!
//! [`cost_estimate`] predicts which is faster, or whether sums over all patches are, and [`cache`] keeps the tables of a
//! dictionary. Entropies count every copy. Provenance is the first of equal patches in the dictionary.

pub mod patch_table;
pub mod patch_weights;
pub mod posteriors;
pub mod patch_moments;
pub mod image_table;
pub mod strip_distances;
pub mod image_sums;
pub mod image_posteriors;
pub mod cost_estimate;
pub mod cache;

#[cfg(test)]
mod distinct_tests;

pub use cache::{DistinctCache, Tables};
