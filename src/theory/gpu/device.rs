//! The interface of a GPU that holds training images and sums over them.
//!
//! [`super::placement`] drives it; `cuda_images.rs` implements it on NVIDIA GPUs and `tests/emulator` in C on the CPU.

use thiserror::Error;

use super::evidence::{FoundEvidence, Mask, Votes};
use super::plan::{Found, Launch};
use crate::image::ImageShape;

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
