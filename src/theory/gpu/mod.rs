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

pub mod plan;
pub mod check;
pub mod evidence;
pub mod kernel;
pub mod placement;
pub mod published;
#[cfg(feature = "cuda")]
mod cuda_images;
#[cfg(feature = "cuda")]
pub mod cuda;

pub use placement::Gpus;

use thiserror::Error;

use crate::image::ImageShape;
use evidence::{FoundEvidence, Mask, Votes};
use plan::{Found, Launch};

/// Why a GPU did not answer.
#[derive(Debug, Error)]
pub enum GpuError {
    #[error("{gpu} has no room for {bytes} bytes")]
    OutOfMemory { gpu: String, bytes: usize },
    #[error("{gpu} cannot hold what images of {shape} need: {problem}")]
    TooLarge { gpu: String, shape: ImageShape, problem: String },
    #[error("{gpu} failed: {problem}")]
    Failed { gpu: String, problem: String },
}

/// Training images as a GPU takes them, `[n, C, H, W]`.
#[derive(Clone, Copy, Debug)]
pub enum GpuPixels<'a> {
    /// Mapped to [-1, 1] by `b / 127.5 - 1`.
    Bytes(&'a [u8]),
    Singles(&'a [f32]),
}

impl GpuPixels<'_> {
    pub fn n_bytes(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Singles(values) => size_of_val(*values),
        }
    }

    pub fn is_bytes(&self) -> bool {
        matches!(self, Self::Bytes(_))
    }
}

/// What a GPU reaches at best.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ceilings {
    /// Read and written, by a copy.
    pub bytes_per_s: f64,
    /// Of single precision.
    pub multiply_adds_per_s: f64,
    pub exponentials_per_s: f64,
}

/// One graphics GPU, or what stands for one.
pub trait Gpu: Send + Sync {
    /// As people know it, such as `cuda:0`.
    fn name(&self) -> String;

    /// Bytes that images may take now.
    fn room(&self) -> Result<usize, GpuError>;

    /// Puts images where kernels read them.
    fn load(&self, pixels: GpuPixels<'_>) -> Result<Box<dyn Loaded>, GpuError>;
}

/// Images on a GPU, until dropped.
pub trait Loaded: Send + Sync {
    /// Posteriors of `queries` [n, C, H, W], one after the other, over the images that the launch names.
    fn posteriors(&self, launch: &Launch, queries: &[f32]) -> Result<Found, GpuError>;

    /// What each of these images says about one query [C, H, W].
    fn evidence(&self, launch: &Launch, query: &[f32]) -> Result<FoundEvidence, GpuError>;

    /// The images mixed by `softmax_n(E[n,p] + lambda votes)`, as one block in the layout of `mix_images`; votes an image
    /// are for the images of the launch.
    fn mixed(
        &self,
        launch: &Launch,
        query: &[f32],
        votes: Votes<'_>,
        lambda: f32,
    ) -> Result<Found, GpuError>;

    /// The values of images mixed, coordinate by coordinate, by their distances to one query through a mask; in the layout
    /// of `mix_images` with a coordinate for a pixel.
    fn masked(&self, launch: &Launch, query: &[f32], mask: Mask<'_>) -> Result<Found, GpuError>;

    /// The images mixed by the crops that hold a pixel, whose chances are `exp(E[n,a] - log_sums[a])` by their centres a; in
    /// the layout of `mix_crops`.
    fn crops(&self, launch: &Launch, query: &[f32], log_sums: &[f32]) -> Result<Found, GpuError>;

    /// `sum_n exp(E[n,p] - log_sums[p]) exp(E[n,r] - log_sums[r])`, `[P, P]`.
    fn co_origin(
        &self,
        launch: &Launch,
        query: &[f32],
        log_sums: &[f32],
    ) -> Result<Vec<f32>, GpuError>;
}
