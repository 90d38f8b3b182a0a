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
//!   wiener    closed form
//! ```
//!
//! Deliberately absent: networks (a sibling; their attention maps arrive as plain arrays), training.

pub mod patches;
pub mod spec;
pub mod error;
pub mod names;
pub mod pixels;
pub mod images;
pub mod posterior_weights;
pub mod estimate;
pub mod evidence;
pub mod kernels;
pub mod gpu;
pub mod cpu_passes;
pub mod cpu;
pub mod distinct;
pub mod backend;
pub mod ideal;
pub mod wiener;
pub mod ls_wiener;
pub mod pspc;
pub mod attention_provider;
pub mod pooled;
pub mod evidence_portions;
pub mod attention_weights;
pub mod attention_machine;
pub mod machine;
pub mod settings_sweep;

pub use attention_provider::{AttentionProvider, FixedAttention, RecordedAttention};
pub use error::TheoryError;
pub use images::TrainingImages;
pub use machine::{Machine, Precision};
