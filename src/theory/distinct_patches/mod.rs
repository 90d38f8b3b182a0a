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
//! [`patch_table`] finds the distinct patches, once per dictionary and patch side; [`patch_weights`] sums weights over
//! them, with one query pixel per vector lane; [`posteriors`] has the same functions as [`super::cpu_posteriors`]; and
//! [`cost_estimate`] predicts which of the two is faster. Entropies count every copy. Provenance is the first of equal
//! patches in the dictionary.

pub mod patch_table;
pub mod patch_weights;
pub mod cost_estimate;
pub mod posteriors;

#[cfg(test)]
mod distinct_tests;

pub use patch_table::{DistinctCache, DistinctPatches};
