//! Networks on NVIDIA GPUs: training steps and forward passes as fixed commands that a GPU records once and replays.
//!
//! candle's gradients cost a GPU a zeroed buffer and an addition each, and its convolutions' never use cuDNN. Here a
//! network becomes a list of commands over fixed buffers ([`plan`]): matrix products (cuBLAS), convolutions (cuDNN) and
//! our kernels for what lies between them (`kernels/`). The list is made without a GPU, so tests run the very same one
//! on the CPU against the networks' operations (`tests/emulator`).
//!
//! Reading order: [`plan`] (commands), [`check`] (whether they fit), [`parameters`] (where they lie), [`layers`], `forward`, `attention_commands` and `gradients`
//! (each layer's commands), [`network`] (the walk), [`sampling`] (a forward pass), `cuda` and `libraries` (a GPU that
//! obeys), `predictor` and `on_gpu` (forward passes where sampling asks for them).

pub mod plan;
pub mod check;
pub mod parameters;
pub mod layers;
mod forward;
mod gradients;
mod attention_commands;
pub mod network;
pub mod sampling;
#[cfg(feature = "cudnn")]
pub mod error;
#[cfg(feature = "cudnn")]
pub mod cuda;
#[cfg(feature = "cudnn")]
mod libraries;
#[cfg(feature = "cudnn")]
pub mod predictor;
#[cfg(feature = "cudnn")]
pub(super) mod bound_predictor;
