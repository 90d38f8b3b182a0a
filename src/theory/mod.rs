//! Score machines: denoisers that analytic theory predicts networks to approximate.
//!
//! A [`Machine`] is a [`crate::diffusion::Denoiser`] computed from training images alone: the exact posterior mean under
//! assumptions about what the network can see (a patch, its place, attention). docs/theory.md states each one.
//!
//! ```text
//! machine   one spec (which machine) over one dictionary of images
//!   backend   chooses GPUs or the CPU for
//!     cpu             passes over the dictionary: kernels, ideal, masked, composite
//!     distinct        the same for patches, over distinct ones where they are few
//!     gpu::posteriors the same on GPUs
//!   evidence_portions, attention_machine   evidence for each image, shared along attention
//!   nearest_image, smoothed_ideal, subset_of_images    of or near `ideal`
//!   wiener, wiener_circulant    closed form
//!   attention_optimal           interface of the machine that `optimum` solves
//! ```
//!
//! Deliberately absent: networks (a sibling; their attention maps arrive as plain arrays), training.

pub mod patch_pools_ls_els_bbels;
pub mod patch_window;
pub mod attention_optimal;
pub mod machine_spec;
pub mod error;
pub mod machine_names;
pub mod training_pixels;
pub mod training_images;
pub mod posterior_weights;
pub mod estimate_of_one_image;
pub mod image_evidence;
pub mod cpu_kernels;
pub mod gpu;
pub mod parallel_passes_over_dictionary;
mod image_dft;
mod image_dft_of_lanes;
pub mod es_by_fourier_transform;
pub mod cpu_posteriors;
pub mod distinct_patches;
pub mod dictionary_sums_on_gpu_or_cpu;
pub mod ideal_and_es;
pub mod nearest_image;
pub mod smoothed_ideal;
pub mod subset_of_images;
pub mod wiener;
pub mod wiener_circulant;
pub mod ls_wiener;
pub mod pspc;
pub mod attention_of_network_or_file;
pub mod pooled_attention_source;
pub mod evidence_in_portions;
pub mod attention_sources;
pub mod attention_machine;
pub mod machine;
pub mod attention_settings_sweep;
#[cfg(test)]
mod nearest_smoothed_subset_tests;
#[cfg(test)]
mod augmented_dictionary_tests;
#[cfg(test)]
mod patch_window_tests;

pub use attention_of_network_or_file::{AttentionProvider, FixedAttention, RecordedAttention};
pub use error::TheoryError;
pub use machine::{Machine, Precision};
pub use training_images::TrainingImages;
