//! Patch posteriors on GPUs: the same sums as [`super::kernels`], where a GPU does them sooner.
//!
//! ```text
//! GPUs: who computes which images -> plan, evidence: what kernels are told and answer     -> GPU: one that computes
//!                                                                                            cuda.rs, or a test's
//! ```
//!
//! A dictionary knows its GPUs ([`super::TrainingImages::gpu_placement`]); machines over it ask them first and compute
//! themselves where GPUs cannot help. The kernels (`kernels/*.cuh`) are written in what C and CUDA C++ share, so that
//! `tests/emulator` checks the very files that nvcc compiles on any machine with a C compiler.

pub mod device;
pub mod plan;
pub mod check;
pub mod evidence;
pub mod kernel;
pub mod placement;
pub mod posteriors;
#[cfg(feature = "cuda")]
mod cuda_images;
#[cfg(feature = "cuda")]
pub mod cuda;

pub use device::{Ceilings, Gpu, GpuError, GpuPixels, Loaded};
pub use placement::Gpus;
