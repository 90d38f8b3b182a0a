//! One matrix product over strided views of slices: the safe face of the `gemm` crate.
//!
//! candle's own `matmul` cannot write into part of a buffer or add to it, and copies views that are
//! neither row- nor column-major; convolution and attention need both. This is the only file of the
//! network code with `unsafe`: [`multiply`] checks every extent against its slice first, so callers
//! cannot reach outside their memory. Always single-threaded: callers spread images over threads
//! themselves, which keeps every sum in one fixed order.

use candle_core::WithDType;

/// The numbers the operations of this module work on.
pub trait Real: WithDType + std::ops::Neg<Output = Self> {
    fn exp(self) -> Self;
    fn sqrt(self) -> Self;
    fn larger(self, other: Self) -> Self;
}

impl Real for f32 {
    fn exp(self) -> Self {
        fast_exp(self)
    }

    fn sqrt(self) -> Self {
        f32::sqrt(self)
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

/// How a matrix lies in a slice: element (i, j) is at `i * row_stride + j * column_stride`.
#[derive(Clone, Copy, Debug)]
pub struct Strides {
    pub rows: usize,
    pub columns: usize,
    pub row_stride: usize,
    pub column_stride: usize,
}

impl Strides {
    /// A `rows x columns` matrix whose rows are `row_stride` apart and contiguous.
    pub fn by_rows(rows: usize, columns: usize, row_stride: usize) -> Self {
        Self { rows, columns, row_stride, column_stride: 1 }
    }

    pub fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }

    /// Number of slice elements up to the last one touched.
    fn extent(self) -> usize {
        (self.rows - 1) * self.row_stride + (self.columns - 1) * self.column_stride + 1
    }
}

/// What happens to the values that are in the product's place already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    Overwrite,
    Add,
}

/// `out (+)= lhs * rhs`. Panics on shapes that do not fit or leave their slice, a bug of ours.
#[allow(unsafe_code, reason = "the gemm crate takes pointers; extents are asserted first")]
pub fn multiply<T: Real>(
    how: Write,
    out: (&mut [T], Strides),
    lhs: (&[T], Strides),
    rhs: (&[T], Strides),
) {
    let ((out, o), (lhs, l), (rhs, r)) = (out, lhs, rhs);
    let (m, n, k) = (o.rows, o.columns, l.columns);
    assert!(l.rows == m && r.rows == k && r.columns == n, "{l:?} x {r:?} is no {o:?}");
    assert!(m > 0 && n > 0 && k > 0, "a product with an empty side");
    assert!(o.row_stride > 0 && o.column_stride > 0, "{o:?} would be written twice");
    let inside = o.extent() <= out.len() && l.extent() <= lhs.len() && r.extent() <= rhs.len();
    assert!(inside, "{o:?}, {l:?} or {r:?} leaves its slice");
    let (beta, read) = (T::one(), how == Write::Add);
    // SAFETY: all three extents lie inside their slices (asserted above); `out` is borrowed mutably,
    // so it overlaps neither operand. `T` is f32 or f64, which gemm implements; strides fit isize
    // because the slices they were checked against do.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            o.column_stride as isize,
            o.row_stride as isize,
            read,
            lhs.as_ptr(),
            l.column_stride as isize,
            l.row_stride as isize,
            rhs.as_ptr(),
            r.column_stride as isize,
            r.row_stride as isize,
            T::one(),
            beta,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
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

    #[test]
    fn products_of_strided_views_match_plain_loops() {
        let a: Vec<f64> = (0..40).map(|v| f64::from(v) * 0.3 - 4.0).collect();
        let b: Vec<f64> = (0..60).map(|v| f64::from(v % 7) - 2.0).collect();
        let (left, right) = (Strides::by_rows(3, 5, 8), Strides::by_rows(4, 5, 9).transposed());
        let mut out = vec![1.0; 24];
        multiply(Write::Add, (&mut out, Strides::by_rows(3, 4, 6)), (&a, left), (&b, right));
        for i in 0..3 {
            for j in 0..4 {
                let expected: f64 = 1.0 + (0..5).map(|k| a[i * 8 + k] * b[j * 9 + k]).sum::<f64>();
                assert!((out[i * 6 + j] - expected).abs() < 1e-12);
            }
        }
        assert_eq!(out[4], 1.0, "values between the rows stay");
    }

    #[test]
    #[should_panic(expected = "leaves its slice")]
    fn a_view_that_is_too_long_is_refused() {
        let (a, b, mut out) = ([1.0_f32; 6], [1.0_f32; 6], [0.0_f32; 3]);
        let square = Strides::by_rows(2, 2, 2);
        multiply(
            Write::Overwrite,
            (&mut out, square),
            (&a, Strides::by_rows(2, 3, 3)),
            (&b, Strides::by_rows(3, 2, 2)),
        );
    }
}
