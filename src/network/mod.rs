//! Networks that predict noise: ResNet and UNet, optionally with a final self-attention layer.
//!
//! Deliberately absent: score machines (a sibling), training loops, files.
//!
//! Reading order: [`config`] (the choices), [`parameters`] (named, seeded), [`ops`] (fast and correct
//! tensor operations), [`embedding`], [`blocks`], [`resnet`], [`unet`], [`attention_layer`] (the final layer), [`model`]
//! (one network), [`denoiser`] (the network as a [`crate::diffusion::Denoiser`]), [`gpu`] (the same on NVIDIA GPUs).

pub mod config;
pub mod parameters;
pub mod ops;
pub mod embedding;
pub mod blocks;
pub mod resnet;
pub mod unet;
pub mod attention_layer;
pub mod model;
pub mod denoiser;
pub mod gpu;

pub use attention_layer::{AttentionDetail, AttentionRecord, Mode, Prediction};
pub use denoiser::NetworkDenoiser;
pub use model::Network;
pub use parameters::{NetworkError, TensorMap};
