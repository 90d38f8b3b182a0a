//! The matrix product that convolution and attention are computed with.
//!
//! ```text
//! out[m][j] (+)= sum_k left[m][k] right[k][j]          j = 0 .. n, contiguous in `out` and `right`
//! ```
//!
//! Rows and columns are given as tables of their first indices ([`Places`]), not as strides. The shifted rows of a padded image, or
//! a transposed view, are then operands without copying or packing, on which general libraries spend most of their time
//! at our sizes (a few hundred by a few hundred). Each piece of `out`, up to eight rows by three vectors, stays in
//! registers during the sum over k. Sums run in the order of k for any number of threads, because callers distribute
//! whole products over threads.
//!
//! With [`super::bf16`], this is the only `unsafe` code of theory and networks on the CPU. [`multiply`] first checks the largest index of each
//! table against its slice, without overflow; tables and slices are borrowed until it returns, so they cannot change.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::lane::Lane;

/// Whether a product overwrites its place or is added to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    Overwrite,
    Add,
}

/// First indices of rows or columns, and the largest of them.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    pub(super) all: &'a [usize],
    largest: Option<usize>,
}

impl<'a> Places<'a> {
    /// These indices, whose largest is looked for.
    pub fn of(all: &'a [usize]) -> Self {
        Self { all, largest: all.iter().copied().max() }
    }
}

/// A table of first indices that is used for many products.
#[derive(Clone, Debug)]
pub struct PlaceTable {
    all: Vec<usize>,
    largest: Option<usize>,
}

impl PlaceTable {
    /// A table of these indices.
    pub fn new(all: Vec<usize>) -> Self {
        let largest = all.iter().copied().max();
        Self { all, largest }
    }

    /// All of them.
    pub fn all(&self) -> Places<'_> {
        Places { all: &self.all, largest: self.largest }
    }

    /// Those of `range`.
    ///
    /// # Panics
    ///
    /// If there are fewer.
    pub fn part(&self, range: Range<usize>) -> Places<'_> {
        Places::of(&self.all[range])
    }
}

/// The left factor: element (m, k) is `values[rows[m] + columns[k]]`.
#[derive(Clone, Copy, Debug)]
pub struct Left<'a, T> {
    pub values: &'a [T],
    pub rows: Places<'a>,
    pub columns: Places<'a>,
}

/// The right factor: element (k, j) is `values[rows[k] + j]`.
#[derive(Clone, Copy, Debug)]
pub struct Right<'a, T> {
    pub values: &'a [T],
    pub rows: Places<'a>,
}

/// `out[rows[m] + j] (+)= sum_k left[m][k] right[k][j]` for `j < n`, where `out` is a pair of values and first indices
/// of rows.
///
/// # Panics
///
/// If the sizes of the factors do not match, or an index is outside its slice.
pub fn multiply<T: Lane>(
    how: Write,
    n: usize,
    (out, out_rows): (&mut [T], Places<'_>),
    left: Left<'_, T>,
    right: Right<'_, T>,
) {
    if !check(n, (out.len(), out_rows), &left, &right) {
        return;
    }
    Arch::new().dispatch(Product { how, n, out, out_rows: out_rows.all, left, right });
}

/// Checks that the operands of a product of `n` columns lie in their slices. Returns whether there is anything to compute.
///
/// # Panics
///
/// As [`multiply`].
pub(super) fn check<T>(
    n: usize,
    (out_len, out_rows): (usize, Places<'_>),
    left: &Left<'_, T>,
    right: &Right<'_, T>,
) -> bool {
    // Whether `count` values from `first` on lie in a slice of `len`.
    let holds = |len: usize, first: usize, count: usize| {
        first.checked_add(count).is_some_and(|end| end <= len)
    };
    assert_eq!(
        out_rows.all.len(),
        left.rows.all.len(),
        "rows of the product and of its left factor"
    );
    assert_eq!(
        left.columns.all.len(),
        right.rows.all.len(),
        "columns of the left, rows of the right"
    );
    let (Some(out_last), Some(left_last)) = (out_rows.largest, left.rows.largest) else {
        return false;
    };
    assert!(holds(out_len, out_last, n), "the product leaves its slice");
    if let (Some(column), Some(row)) = (left.columns.largest, right.rows.largest) {
        let first = left_last.checked_add(column);
        let is_inside = first.is_some_and(|first| holds(left.values.len(), first, 1));
        assert!(is_inside, "the left factor leaves its slice");
        assert!(holds(right.values.len(), row, n), "the right factor leaves its slice");
    }
    true
}

/// `0, step, 2 step, ..`, `n` of them: the table of a matrix with a constant stride.
pub fn every(step: usize, n: usize) -> PlaceTable {
    PlaceTable::new((0..n).map(|i| i * step).collect())
}

/// A product whose extents [`multiply`], which alone makes one, has checked.
struct Product<'a, T> {
    how: Write,
    n: usize,
    out: &'a mut [T],
    out_rows: &'a [usize],
    left: Left<'a, T>,
    right: Right<'a, T>,
}

/// Vectors of a row of `out` that are computed together.
const VECTORS_MAX: usize = 3;

impl<T: Lane> WithSimd for Product<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let lanes = T::n_lanes::<S>();
        // The rest of a row that may be overwritten takes a whole vector, moved back into the row: some
        // columns are computed twice.
        let may_overlap = self.how == Write::Overwrite;
        let n_vectors = if may_overlap { self.n.div_ceil(lanes) } else { self.n / lanes };
        // Pieces of about equal width, since narrow ones are less efficient.
        let widest = n_vectors.div_ceil(n_vectors.div_ceil(VECTORS_MAX).max(1));
        let mut start = 0;
        let mut n_left = if self.n < lanes { 0 } else { n_vectors };
        while n_left > 0 {
            let vectors = n_left.min(widest).min(self.n / lanes);
            start = start.min(self.n - vectors * lanes);
            self.columns(simd, start, vectors);
            start += vectors * lanes;
            n_left -= vectors;
        }
        if start < self.n {
            self.one_by_one(start);
        }
    }
}

impl<T: Lane> Product<'_, T> {
    /// Columns from `start` on, as many as `vectors` hold.
    #[inline(always)]
    fn columns<S: Simd>(&mut self, simd: S, start: usize, vectors: usize) {
        match vectors {
            1 => self.all_rows::<S, 1>(simd, start),
            2 => self.all_rows::<S, 2>(simd, start),
            _ => self.all_rows::<S, VECTORS_MAX>(simd, start),
        }
    }

    #[inline(always)]
    fn all_rows<S: Simd, const V: usize>(&mut self, simd: S, start: usize) {
        // AVX-512 and NEON have 32 registers, AVX2 has 16.
        let has_many = cfg!(target_arch = "aarch64") || size_of::<T::Vector<S>>() >= 64;
        let mut row = 0;
        while row < self.out_rows.len() {
            row += match self.out_rows.len() - row {
                8.. if has_many => self.piece::<S, 8, V>(simd, row, start),
                4.. => self.piece::<S, 4, V>(simd, row, start),
                2.. => self.piece::<S, 2, V>(simd, row, start),
                _ => self.piece::<S, 1, V>(simd, row, start),
            };
        }
    }

    /// `M` rows by `V` vectors, in registers; returns `M`. There are `M` rows from `first_row` on, and `start` and `V`
    /// vectors end at `n` or before: `all_rows` and `with_simd` see to it.
    #[inline(always)]
    #[allow(unsafe_code, reason = "a bounds check for each operand would cost more than the sums")]
    fn piece<S: Simd, const M: usize, const V: usize>(
        &mut self,
        simd: S,
        first_row: usize,
        start: usize,
    ) -> usize {
        let mut sums = [[T::splat(simd, T::ZERO); V]; M];
        let mut left = [self.left.values.as_ptr(); M];
        for (left, &row) in left.iter_mut().zip(&self.left.rows.all[first_row..]) {
            // Wrapping, because nothing is said of where rows start that have no column.
            *left = left.wrapping_add(row);
        }
        let right = self.right.values.as_ptr();
        for (&column, &row) in self.left.columns.all.iter().zip(self.right.rows.all) {
            let mut factors = sums[0];
            for (v, factor) in factors.iter_mut().enumerate() {
                let at = row + start + v * T::n_lanes::<S>();
                debug_assert!(start + (v + 1) * T::n_lanes::<S>() <= self.n);
                // SAFETY: `start` and V vectors of `n_lanes` values end at n or before, and `multiply` has checked that
                // `rows[k] + n` is at most the length of `right.values`. A vector is its lanes and any bits are one
                // (`Lane` is sealed); it need not be aligned.
                *factor = unsafe { right.add(at).cast::<T::Vector<S>>().read_unaligned() };
            }
            for m in 0..M {
                // SAFETY: `multiply` has checked that `rows[m] + columns[k]` is below the length of `left.values` for
                // all m and k, so the row's start and the value are both in it.
                let factor = T::splat(simd, unsafe { *left[m].add(column) });
                for v in 0..V {
                    sums[m][v] = T::mul_add(simd, factor, factors[v], sums[m][v]);
                }
            }
        }
        for (m, sums) in sums.iter().enumerate() {
            let at = self.out_rows[first_row + m] + start;
            let out = T::vectors_mut::<S>(&mut self.out[at..at + V * T::n_lanes::<S>()]);
            for (out, &sum) in out.iter_mut().zip(sums) {
                *out = if self.how == Write::Add { T::plus(simd, *out, sum) } else { sum };
            }
        }
        M
    }

    /// Columns from `start` on that are too few for a vector.
    fn one_by_one(&mut self, start: usize) {
        for (&out_row, &left_row) in self.out_rows.iter().zip(self.left.rows.all) {
            for j in start..self.n {
                let mut sum = T::ZERO;
                for (&column, &row) in self.left.columns.all.iter().zip(self.right.rows.all) {
                    sum += self.left.values[left_row + column] * self.right.values[row + j];
                }
                let out = &mut self.out[out_row + j];
                *out = if self.how == Write::Add { *out + sum } else { sum };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Values that sum exactly, so that every order of summation agrees.
    fn integers<T: Lane>(n: usize, seed: usize) -> Vec<T> {
        (0..n).map(|i| T::from_f64(((i * 7 + seed) % 11) as f64 - 5.0)).collect()
    }

    fn matches_plain_loops<T: Lane>(how: Write, m: usize, n: usize, k: usize) {
        // A transposed left factor, rows with gaps and out of order everywhere.
        let steps = |step: usize, n: usize| -> Vec<usize> { (0..n).map(|i| i * step).collect() };
        let (left_rows, columns) = (steps(1, m), steps(m + 2, k));
        let right_rows: Vec<usize> = steps(n + 3, k).into_iter().rev().collect();
        let out_rows: Vec<usize> = steps(n + 1, m).into_iter().rev().collect();
        let left = integers::<T>((m + 2) * k, 1);
        let right = integers::<T>((n + 3) * k, 2);
        let before = integers::<T>((n + 1) * m, 3);
        let mut expected = before.clone();
        for (&o, &l) in out_rows.iter().zip(&left_rows) {
            for j in 0..n {
                let terms =
                    columns.iter().zip(&right_rows).map(|(&c, &r)| left[l + c] * right[r + j]);
                let sum = terms.fold(T::ZERO, |a, b| a + b);
                expected[o + j] = if how == Write::Add { before[o + j] + sum } else { sum };
            }
        }
        let mut out = before;
        let (rows, columns) = (Places::of(&left_rows), Places::of(&columns));
        let left = Left { values: &left, rows, columns };
        let right = Right { values: &right, rows: Places::of(&right_rows) };
        multiply(how, n, (&mut out, Places::of(&out_rows)), left, right);
        assert_eq!(out, expected);
    }

    proptest! {
        #[test]
        fn products_match_plain_loops_at_any_size(m in 1..20_usize, n in 1..150_usize, k in 0..30_usize) {
            for how in [Write::Overwrite, Write::Add] {
                matches_plain_loops::<f32>(how, m, n, k);
                matches_plain_loops::<f64>(how, m, n, k);
            }
        }
    }

    /// What `multiply` says of tables that lead outside; all slices hold six values.
    fn refusal(n: usize, out: usize, row: usize, column: usize, right: usize) -> String {
        let product = || {
            let (values, mut to) = ([1.0_f32; 6], [0.0; 6]);
            let (rows, columns, right, out) = ([row], [column], [right], [out]);
            let (rows, columns) = (Places::of(&rows), Places::of(&columns));
            let left = Left { values: &values, rows, columns };
            let right = Right { values: &values, rows: Places::of(&right) };
            multiply(Write::Overwrite, n, (&mut to, Places::of(&out)), left, right);
        };
        let panic = std::panic::catch_unwind(product).unwrap_err();
        (*panic.downcast::<&str>().unwrap()).to_owned()
    }

    #[test]
    fn tables_that_lead_outside_are_refused_also_where_the_sum_overflows() {
        const FAR: usize = usize::MAX - 2;
        let (of_left, of_right) = ("the left factor", "the right factor");
        for (n, out, row, column, right, whose) in [
            (6, 1, 0, 0, 0, "the product"),
            (6, FAR, 0, 0, 0, "the product"),
            (FAR, 6, 0, 0, 0, "the product"),
            (6, 0, 5, 1, 0, of_left),
            (6, 0, FAR, 5, 0, of_left),
            (6, 0, 3, FAR, 0, of_left),
            (6, 0, 0, 0, 1, of_right),
            (6, 0, 0, 0, FAR, of_right),
        ] {
            assert_eq!(refusal(n, out, row, column, right), format!("{whose} leaves its slice"));
        }
    }

    #[test]
    fn a_product_without_columns_is_zero_wherever_its_rows_start() {
        let mut out = [1.0_f32; 40];
        let (rows, none) = (Places::of(&[7, usize::MAX]), Places::of(&[]));
        let left = Left { values: &[], rows, columns: none };
        let right = Right { values: &[], rows: none };
        multiply(Write::Overwrite, 20, (&mut out, Places::of(&[0, 20])), left, right);
        assert_eq!(out, [0.0; 40]);
    }
}
