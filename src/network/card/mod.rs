//! Networks on NVIDIA cards: training steps as fixed commands that a card records once and replays.
//!
//! candle's gradients cost a card a zeroed buffer and an addition each, and its convolutions' never use cuDNN. Here a
//! network becomes a list of commands over fixed buffers ([`plan`]): matrix products (cuBLAS), convolutions (cuDNN) and
//! our kernels for what lies between them (`kernels/`). The list is made without a card, so tests run the very same one
//! on the CPU against the networks' operations (`tests/emulator`).
//!
//! Reading order: [`plan`] (commands), [`parameters`] (where they lie), [`layers`], `forward`, `attention` and `gradients`
//! (each layer's commands), [`network`] (the walk), `cuda` (a card that obeys).

pub mod plan;
pub mod parameters;
pub mod layers;
mod forward;
mod gradients;
mod attention;
pub mod network;
#[cfg(feature = "cudnn")]
pub mod cuda;
