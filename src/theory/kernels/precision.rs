//! The two precisions a machine can compute in.
//!
//! Only the inner loops are generic: squared differences, logits and weights. What is kept for long
//! (running sums, evidence) is `f64` in both.

/// Precision of a machine's inner loops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Several times as fast as `F64`. The score stays within 1e-3 of the largest score (see
    /// `tests/parity.rs` for the bound that is checked).
    #[default]
    F32,
    F64,
}
