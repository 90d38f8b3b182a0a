//! Posteriors on GPUs: the same sums as [`super::cpu_posteriors`].
//!
//! ```text
//! posteriors   functions by machine
//!   sums_over_gpus     sums over a dictionary whose images are on several GPUs
//!     shares_in_gpu_memory   which GPU holds which images
//!     launch_arguments, evidence   arguments and results of the kernels
//!     gpu_interface    the interface of a GPU: cuda_device.rs, or the emulator of the tests
//! ```
//!
//! A dictionary holds its GPUs ([`super::TrainingImages::gpu_placement`]); [`super::dictionary_sums_on_gpu_or_cpu`] uses them if there are
//! any and falls back to the CPU. The kernels (`kernels/*.cuh`) are written in the common subset of C and CUDA C++, so
//! that `tests/emulator` can test the files that nvcc compiles on any host with a C compiler.

pub mod gpu_interface;
pub mod launch_arguments;
pub mod launch_limits_check;
pub mod evidence;
pub mod kernel_choice;
pub mod shares_in_gpu_memory;
pub mod sums_over_gpus;
pub mod posteriors;
#[cfg(feature = "cuda")]
mod cuda_images;
#[cfg(feature = "cuda")]
pub mod cuda_device;

pub use gpu_interface::{Ceilings, Gpu, GpuError, GpuPixels, Loaded};
pub use shares_in_gpu_memory::Gpus;
