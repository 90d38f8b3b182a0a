//! The result of one forward pass of a network.

use candle_core::Tensor;

use super::attention_layer::AttentionRecord;

/// What a network predicts for a batch.
pub struct Prediction {
    /// Predicted noise `eps_hat`, `[B, C, H, W]`.
    pub eps: Tensor,
    /// Attention of the final layer, as far as the [`super::AttentionDetail`] of the call asks for it.
    pub record: AttentionRecord,
}
