//! Networks that predict noise: ResNet and UNet, optionally with a final self-attention layer.
//!
//! Deliberately absent: score machines (a sibling), training loops, files other than weights.

pub mod config;
