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

macro_rules! real {
    ($type:ty) => {
        impl Real for $type {
            fn exp(self) -> Self {
                <$type>::exp(self)
            }

            fn sqrt(self) -> Self {
                <$type>::sqrt(self)
            }

            fn larger(self, other: Self) -> Self {
                if other > self { other } else { self }
            }
        }
    };
}

real!(f32);
real!(f64);

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
