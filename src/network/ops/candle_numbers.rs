//! The numbers that network operations work on: those of candle that have vectors.

use candle_core::WithDType;

use crate::simd::Lane;

/// The numbers the operations of this module work on.
pub trait Real: WithDType + Lane {
    fn sqrt(self) -> Self;

    /// `self` unless `other` is larger.
    fn larger(self, other: Self) -> Self {
        if other > self { other } else { self }
    }

    /// Both parents have a `from_f64`; this is one name for either.
    fn number(value: f64) -> Self {
        <Self as WithDType>::from_f64(value)
    }
}

impl Real for f32 {
    fn sqrt(self) -> Self {
        f32::sqrt(self)
    }
}

impl Real for f64 {
    fn sqrt(self) -> Self {
        f64::sqrt(self)
    }
}
