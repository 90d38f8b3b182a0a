//! Networks on NVIDIA GPUs: training steps and forward passes as fixed commands that a GPU records once and replays.
//!
//! candle's gradients cost a zeroed buffer and an addition each on a GPU, and those of its convolutions do not use
//! cuDNN. Here a network becomes a list of commands over fixed buffers ([`command_plan`]): matrix products (cuBLAS),
//! convolutions (cuDNN) and our kernels for everything else (`kernels/`). The list is built without a GPU, so
//! `tests/emulator` runs the same list on the CPU and compares it with the operations of the networks.
//!
//! Reading order: [`compute_type`] (number formats), [`command_plan`] (commands), [`command_check`] (their validation),
//! [`supported_networks`] (which networks have them), [`parameter_layout`] (their layout), [`layer_buffers`],
//! `layer_forward_commands`, `attention_commands` and `layer_gradient_commands` (the commands of each layer),
//! [`network_commands`] (all layers), [`sampling_commands`] (a forward pass), `cuda_engine` and `cublas_and_cudnn`
//! (execution on a GPU), `sampling_predictor` and `predictor_of_network` (forward passes for sampling).

pub mod compute_type;
pub mod command_plan;
pub mod command_check;
pub mod parameter_layout;
pub mod layer_buffers;
pub mod supported_networks;
mod layer_forward_commands;
mod layer_gradient_commands;
mod attention_commands;
pub mod network_commands;
pub mod sampling_commands;
#[cfg(feature = "cudnn")]
pub mod error;
#[cfg(feature = "cudnn")]
pub mod cuda_engine;
#[cfg(feature = "cudnn")]
mod cublas_and_cudnn;
#[cfg(feature = "cudnn")]
pub mod sampling_predictor;
#[cfg(feature = "cudnn")]
pub(super) mod predictor_of_network;
