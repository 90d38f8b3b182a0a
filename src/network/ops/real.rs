//! The numbers that network operations work on: those of candle that have vectors.

use candle_core::{CpuStorage, Error, Result, WithDType};

use crate::simd::Lane;

/// The numbers the operations of this module work on.
pub trait Real: WithDType + Lane {
    fn exp(self) -> Self;
    fn sqrt(self) -> Self;
    fn larger(self, other: Self) -> Self;

    /// All values of a storage of this type.
    fn of_storage(storage: &mut CpuStorage) -> Result<&mut [Self]>;

    /// Both parents have a `from_f64`; this is one name for either.
    fn number(value: f64) -> Self {
        <Self as WithDType>::from_f64(value)
    }
}

impl Real for f32 {
    fn exp(self) -> Self {
        fast_exp(self)
    }

    fn sqrt(self) -> Self {
        f32::sqrt(self)
    }

    fn of_storage(storage: &mut CpuStorage) -> Result<&mut [Self]> {
        match storage {
            CpuStorage::F32(values) => Ok(values),
            _ => Err(Error::Msg("f32 values were expected".to_owned())),
        }
    }

    fn larger(self, other: Self) -> Self {
        if other > self { other } else { self }
    }
}

impl Real for f64 {
    fn exp(self) -> Self {
        f64::exp(self)
    }

    fn sqrt(self) -> Self {
        f64::sqrt(self)
    }

    fn of_storage(storage: &mut CpuStorage) -> Result<&mut [Self]> {
        match storage {
            CpuStorage::F64(values) => Ok(values),
            _ => Err(Error::Msg("f64 values were expected".to_owned())),
        }
    }

    fn larger(self, other: Self) -> Self {
        if other > self { other } else { self }
    }
}

/// `exp(x)` for x <= 88 to within 3e-7 relative; below -87 it stays at 1.6e-38. NaN stays NaN.
///
/// `x = n ln 2 + r`, |r| <= ln(2) / 2, and a Taylor polynomial in r. Free of calls and branches, so that a
/// loop over it becomes vector instructions, which the library's `expf` prevents: a row of attention
/// is mostly exponentials.
fn fast_exp(x: f32) -> f32 {
    /// 1.5 * 2^23: adding it rounds to an integer, which then sits in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    /// ln 2 in two parts, the first exact in few bits, so that `n * LN2_HIGH` is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = if x < -87.0 { -87.0 } else { x };
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = x - n * LN2_HIGH - n * LN2_LOW;
    let terms = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    let series = terms.iter().fold(0.0, |sum, term| sum * r + term);
    // 2^n: n + 127 as the exponent's bits; the upper bits of `rounded` are shifted out.
    let power = f32::from_bits(rounded.to_bits().wrapping_add(127) << 23);
    series * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_exponential_is_right_to_rounding() {
        for i in -8700..=880 {
            let x = i as f32 * 0.01 + 0.003;
            let (found, expected) = (f64::from(fast_exp(x)), f64::from(x).exp());
            assert!((found / expected - 1.0).abs() < 3e-7, "exp({x}) = {found}, not {expected}");
        }
        assert_eq!(fast_exp(0.0), 1.0);
        assert!(fast_exp(f32::NEG_INFINITY) < 2e-38 && fast_exp(f32::NAN).is_nan());
    }
}
