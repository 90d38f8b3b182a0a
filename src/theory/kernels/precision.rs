//! The two floating-point precisions of a machine.
//!
//! It applies to the inner loops: squared differences, logits and weights. Running sums and evidence are `f64` in both.

/// Precision of a machine's inner loops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Several times as fast as `F64`. The score stays within 1e-3 of the largest score (see
    /// `tests/parity.rs` for the bound that is checked).
    #[default]
    F32,
    F64,
}
