//! The two precisions a machine can compute in.
//!
//! Only the inner loops are generic: squared differences, logits and weights. What is kept for long
//! (running sums, evidence) is `f64` in both.

use std::fmt::Debug;
use std::ops::{Add, AddAssign, Mul, Neg, Sub};

/// Precision of a machine's inner loops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Several times as fast as `F64`. The score stays within 1e-3 of the largest score (see
    /// `tests/parity.rs` for the bound that is checked).
    #[default]
    F32,
    F64,
}

/// A floating-point type of the inner loops.
pub trait Real:
    Copy
    + Debug
    + Default
    + PartialOrd
    + Send
    + Sync
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + 'static
{
    const ZERO: Self;
    const INFINITY: Self;
    /// `-ln` of the share of the whole weight that pruning may drop, per pixel.
    const PRUNED_NATS: f64;

    fn from_f64(value: f64) -> Self;
    fn to_f64(self) -> f64;
}

impl Real for f64 {
    const ZERO: Self = 0.0;
    const INFINITY: Self = f64::INFINITY;
    const PRUNED_NATS: f64 = 41.0;

    fn from_f64(value: f64) -> Self {
        value
    }

    fn to_f64(self) -> f64 {
        self
    }
}

impl Real for f32 {
    const ZERO: Self = 0.0;
    const INFINITY: Self = f32::INFINITY;
    const PRUNED_NATS: f64 = 18.0;

    fn from_f64(value: f64) -> Self {
        value as f32
    }

    fn to_f64(self) -> f64 {
        f64::from(self)
    }
}
