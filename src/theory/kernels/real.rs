//! The two precisions a machine can compute in.
//!
//! Only the inner loops are generic: squared differences, logits and weights. What is kept for long
//! (running sums, evidence) is `f64` in both.

use std::fmt::Debug;
use std::ops::{Add, AddAssign, Mul, Neg, Sub};

use crate::theory::images::TrainingImages;

/// Precision of a machine's inner loops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// About a third of the time of `F64`. The score stays within 5e-4 of the largest score (see
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
    /// The logit of an entry that is not in the pool: finite, so that differences are no NaN.
    const NEVER: Self;
    /// `-ln` of the share of the whole weight that pruning may drop, per pixel.
    const PRUNED_NATS: f64;

    fn from_f64(value: f64) -> Self;
    fn to_f64(self) -> f64;
    /// `exp` of a number that is at most about 0; exactly 0 where it would underflow.
    fn exp_negative(self) -> Self;
    /// The dictionary in this precision.
    fn dictionary(images: &TrainingImages) -> &[Self];
}

impl Real for f64 {
    const ZERO: Self = 0.0;
    const NEVER: Self = -1e30;
    const PRUNED_NATS: f64 = 41.0;

    fn from_f64(value: f64) -> Self {
        value
    }

    fn to_f64(self) -> f64 {
        self
    }

    fn exp_negative(self) -> Self {
        self.exp()
    }

    fn dictionary(images: &TrainingImages) -> &[Self] {
        images.doubles()
    }
}

impl Real for f32 {
    const ZERO: Self = 0.0;
    const NEVER: Self = -1e30;
    const PRUNED_NATS: f64 = 18.0;

    fn from_f64(value: f64) -> Self {
        value as f32
    }

    fn to_f64(self) -> f64 {
        f64::from(self)
    }

    /// `2^n e^f` with `n = round(x / ln 2)` and a polynomial for `e^f`, `|f| <= ln(2) / 2`: no branch
    /// and no call, so that the compiler turns a loop of it into vector code.
    #[inline(always)]
    fn exp_negative(self) -> Self {
        // Adding and subtracting 1.5 * 2^23 rounds to the nearest integer.
        const ROUND: f32 = 12_582_912.0;
        // ln 2 in two parts; `n * LN2_HIGH` is exact.
        const LN2_HIGH: f32 = 0.693_359_4;
        const LN2_LOW: f32 = -2.121_944_4e-4;
        let x = if self < -87.0 { -87.0 } else { self };
        let shifted = x * std::f32::consts::LOG2_E + ROUND;
        let n = shifted - ROUND;
        let f = (x - n * LN2_HIGH) - n * LN2_LOW;
        // Taylor to the sixth power: the rest is below 2e-7 at |f| = 0.3466.
        let p = 1.0 / 24.0 + f * (1.0 / 120.0 + f * (1.0 / 720.0 + f * (1.0 / 5040.0)));
        let p = 1.0 + f * (1.0 + f * (0.5 + f * (1.0 / 6.0 + f * p)));
        // The low bits of `shifted` hold n; move them into the exponent.
        let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
        if self < -87.0 { 0.0 } else { p * power }
    }

    fn dictionary(images: &TrainingImages) -> &[Self] {
        images.singles()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vector_exponential_is_right_to_four_ulp() {
        for i in 0..87_000 {
            let x = -(i as f32) * 1e-3;
            let exact = f64::from(x).exp();
            let error = (f64::from(x.exp_negative()) - exact).abs() / exact;
            assert!(error < 4.0 * f64::from(f32::EPSILON), "exp({x}) is off by {error}");
        }
        assert_eq!(0.0_f32.exp_negative(), 1.0);
        assert_eq!(f32::NEVER.exp_negative(), 0.0);
        assert_eq!((-1000.0_f32).exp_negative(), 0.0);
    }
}
