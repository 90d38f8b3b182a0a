//! Networks that predict noise: ResNet and UNet, optionally with a final self-attention layer.
//!
//! Deliberately absent: score machines (a sibling), training loops, files.
//!
//! Reading order: [`network_config`] (the choices), [`parameters`] (named, seeded), [`ops`] (fast and correct
//! tensor operations), [`time_and_class_embedding`], [`basic_layers`], [`resnet`], [`unet`], [`attention_layer`] (the
//! final layer), [`network_model`] (one network), [`network_denoiser`] (the network as a [`crate::diffusion::Denoiser`]),
//! [`gpu`] (the same on NVIDIA GPUs).

pub mod network_config;
pub mod parameters;
pub mod ops;
pub mod time_and_class_embedding;
pub mod basic_layers;
pub mod resnet;
pub mod unet;
pub mod attention_layer;
pub mod network_model;
pub mod network_denoiser;
pub mod gpu;

pub use attention_layer::{AttentionDetail, AttentionRecord, Mode, Prediction};
pub use network_denoiser::NetworkDenoiser;
pub use network_model::Network;
pub use parameters::{NetworkError, TensorMap};
