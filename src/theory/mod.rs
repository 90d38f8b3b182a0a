//! Score machines: what analytic theory says a network must make of a noisy image.
//!
//! A [`Machine`] is a [`crate::diffusion::Denoiser`] computed from training images alone: the exact
//! posterior mean under assumptions about what the network can see (a patch, its place, attention).
//!
//! ```text
//! spec (which machine) + images (dictionary) -> machine -> patches | ideal | wiener | masked | composite | attention_machine
//!                                                             passes: over the dictionary, in pieces
//!                                                             kernels: logits, then weights
//!                                                             GPU: the same on GPUs
//! ```
//!
//! Deliberately absent: networks (a sibling; their attention maps arrive as plain arrays), training.

pub mod patches;
pub mod spec;
pub mod error;
pub mod names;
pub mod pixels;
pub mod images;
pub mod weights;
pub mod estimate;
pub mod evidence;
pub mod kernels;
pub mod gpu;
pub mod passes;
pub mod cpu;
pub mod backend;
pub mod ideal;
pub mod wiener;
pub mod masked;
pub mod composite;
pub mod attention_provider;
pub mod pooled;
pub mod portions;
pub mod attention_machine;
pub mod machine;
pub mod sweep;

pub use attention_provider::{AttentionProvider, FixedAttention, RecordedAttention};
pub use error::TheoryError;
pub use images::TrainingImages;
pub use kernels::Precision;
pub use machine::Machine;
