//! The interface of a GPU that holds training images and sums over them.
//!
//! [`super::sums_over_gpus`] drives it; `cuda_images.rs` implements it on NVIDIA GPUs and `tests/emulator` in C on
//! the CPU.

use thiserror::Error;

use super::evidence::{FoundEvidence, Mask, Votes};
use super::launch_arguments::{Found, Launch};
use crate::image::ImageShape;

/// Why a GPU could not compute.
#[derive(Debug, Error)]
pub enum GpuError {
    #[error("{gpu} has no room for {bytes} bytes")]
    OutOfMemory { gpu: String, bytes: usize },
    #[error("{gpu} cannot hold what images of {shape} need: {problem}")]
    TooLarge { gpu: String, shape: ImageShape, problem: String },
    #[error("{gpu} failed: {problem}")]
    Failed { gpu: String, problem: String },
}

/// Training images in a format that GPUs take, `[n, C, H, W]`.
#[derive(Clone, Copy, Debug)]
pub enum GpuPixels<'a> {
    /// Mapped to [-1, 1] by `b / 127.5 - 1`.
    Bytes(&'a [u8]),
    Singles(&'a [f32]),
}

impl GpuPixels<'_> {
    /// Size in bytes.
    pub fn n_bytes(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Singles(values) => size_of_val(*values),
        }
    }

    /// Whether values are bytes.
    pub fn is_bytes(&self) -> bool {
        matches!(self, Self::Bytes(_))
    }
}

/// Measured peak rates of a GPU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ceilings {
    /// Bytes read plus bytes written by a copy.
    pub bytes_per_s: f64,
    /// In single precision.
    pub multiply_adds_per_s: f64,
    pub exponentials_per_s: f64,
}

/// A GPU, or an emulator of one.
///
/// Every method fails with [`GpuError`] if the GPU does.
pub trait Gpu: Send + Sync {
    /// The name for users, such as `cuda:0`.
    fn name(&self) -> String;

    /// Bytes of memory that are free now.
    ///
    /// # Errors
    ///
    /// If the GPU fails.
    fn room(&self) -> Result<usize, GpuError>;

    /// Copies images to the memory of the GPU.
    ///
    /// # Errors
    ///
    /// If the GPU has no room for the images, or fails.
    fn load(&self, pixels: GpuPixels<'_>) -> Result<Box<dyn Loaded>, GpuError>;
}

/// Images in the memory of a GPU, freed when dropped.
///
/// Every method fails with [`GpuError::OutOfMemory`] if its temporary buffers do not fit, with [`GpuError::TooLarge`]
/// if no kernel takes images of this size, and with [`GpuError::Failed`] if the launch does not suit the images or the
/// GPU fails.
pub trait Loaded: Send + Sync {
    /// Posteriors of each of `queries`, `[n, C, H, W]`, over the images of the launch.
    ///
    /// # Errors
    ///
    /// See [`Loaded`].
    fn posteriors(&self, launch: &Launch, queries: &[f32]) -> Result<Found, GpuError>;

    /// Evidence of each image of the launch for one query, `[C, H, W]`.
    ///
    /// # Errors
    ///
    /// See [`Loaded`].
    fn evidence(&self, launch: &Launch, query: &[f32]) -> Result<FoundEvidence, GpuError>;

    /// The images mixed by `softmax_n(E[n,p] + lambda votes)`, as one block in the layout of `mix_images`.
    /// [`Votes::Images`] has one number for each image of the launch.
    ///
    /// # Errors
    ///
    /// See [`Loaded`].
    fn mixed(
        &self,
        launch: &Launch,
        query: &[f32],
        votes: Votes<'_>,
        lambda: f32,
    ) -> Result<Found, GpuError>;

    /// The images mixed at each coordinate by their masked distances to one query, in the layout of `mix_images` with a
    /// coordinate per pixel.
    ///
    /// # Errors
    ///
    /// See [`Loaded`].
    fn masked(&self, launch: &Launch, query: &[f32], mask: Mask<'_>) -> Result<Found, GpuError>;

    /// The images mixed at each pixel by the sum over the crops that hold it of the probabilities `exp(E[n,a] -
    /// log_sums[a])`, a the centre of a crop; in the layout of `mix_crops`.
    ///
    /// # Errors
    ///
    /// See [`Loaded`].
    fn crops(&self, launch: &Launch, query: &[f32], log_sums: &[f32]) -> Result<Found, GpuError>;

    /// `sum_n exp(E[n,p] - log_sums[p]) exp(E[n,r] - log_sums[r])`, `[P, P]`.
    ///
    /// # Errors
    ///
    /// See [`Loaded`].
    fn co_origin(
        &self,
        launch: &Launch,
        query: &[f32],
        log_sums: &[f32],
    ) -> Result<Vec<f32>, GpuError>;
}
