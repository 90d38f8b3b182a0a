//! The matrix product of factors in bfloat16 that sums in single precision.
//!
//! ```text
//! out[m][j] (+)= sum_k left[m][k] right[k][j]          k in pairs; see [`super::matrix_product`] for the tables
//! ```
//!
//! A pair of bfloat16 values, the even k in the lower half, is one `u32`: the processor multiplies both and adds both
//! products to a single (`vdpbf16ps` of AVX-512 BF16: AMD Zen 4 and later, Intel Cooper Lake and Sapphire Rapids and
//! later), twice as many products per instruction as in single precision. Rounding to bfloat16 (8 bits of mantissa, to
//! nearest even) changes a value by at most 2^-9 of it.

use super::matrix_product::{Left, Places, Right, Write};

/// Numbers per vector.
pub const LANES: usize = 16;

/// Proof that the processor has the instructions.
#[derive(Clone, Copy, Debug)]
pub struct Bf16Instructions(());

impl Bf16Instructions {
    const MISSING: &str = "this processor lacks avx512_bf16, the products of bfloat16 values";

    /// The instructions, if the processor has them.
    ///
    /// # Errors
    ///
    /// The feature that it lacks, for users.
    pub fn detect() -> Result<Self, String> {
        #[cfg(target_arch = "x86_64")]
        {
            let has_all = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512bf16");
            if has_all {
                return Ok(Self(()));
            }
        }
        Err(Self::MISSING.to_owned())
    }

    /// Pairs of neighbours: `to[i] = (from[2 i], from[2 i + 1])`.
    ///
    /// # Panics
    ///
    /// If `from` is not twice as long as `to`.
    pub fn pair_neighbours(self, from: &[f32], to: &mut [u32]) {
        assert_eq!(from.len(), 2 * to.len(), "values and pairs of neighbours");
        #[cfg(target_arch = "x86_64")]
        #[expect(unsafe_code, reason = "the compiler does not know what was detected")]
        // SAFETY: `self` exists, so `detect` has found the features.
        unsafe {
            x86::pair_neighbours(from, to);
        }
        #[cfg(not(target_arch = "x86_64"))]
        unreachable!("{}", Self::MISSING);
    }

    /// Pairs of two rows: `to[j] = (even[j], odd[j])`; a missing row is zero.
    ///
    /// # Panics
    ///
    /// If the lengths differ.
    pub fn pair_rows(self, even: &[f32], odd: Option<&[f32]>, to: &mut [u32]) {
        assert!(even.len() == to.len() && odd.is_none_or(|odd| odd.len() == to.len()));
        #[cfg(target_arch = "x86_64")]
        #[expect(unsafe_code, reason = "the compiler does not know what was detected")]
        // SAFETY: `self` exists, so `detect` has found the features.
        unsafe {
            x86::pair_rows(even, odd, to);
        }
        #[cfg(not(target_arch = "x86_64"))]
        unreachable!("{}", Self::MISSING);
    }

    /// `out[rows[m] + j] (+)= sum_k left[m][k] right[k][j]` for `j < n`, where k counts pairs.
    ///
    /// # Panics
    ///
    /// If `n` is no multiple of [`LANES`], the sizes of the factors do not match, or an index is outside its slice.
    pub fn multiply(
        self,
        how: Write,
        n: usize,
        (out, out_rows): (&mut [f32], Places<'_>),
        left: Left<'_, u32>,
        right: Right<'_, u32>,
    ) {
        assert!(n.is_multiple_of(LANES), "{n} columns are no whole vectors");
        if !super::matrix_product::check(n, (out.len(), out_rows), &left, &right) {
            return;
        }
        #[cfg(target_arch = "x86_64")]
        #[expect(unsafe_code, reason = "the compiler does not know what was detected")]
        // SAFETY: `self` exists, so `detect` has found the features. `check` has found that for all m and k,
        // `out_rows[m] + n`, `left.rows[m] + left.columns[k] + 1` and `right.rows[k] + n` are at most the lengths of
        // their slices.
        unsafe {
            x86::multiply(how, n, (out, out_rows.all), &left, &right);
        }
        #[cfg(not(target_arch = "x86_64"))]
        unreachable!("{}: {how:?}", Self::MISSING);
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    #![allow(unsafe_code, reason = "a bounds check for each operand would cost more than the sums")]

    use std::arch::x86_64::{
        __m256bh, __m256i, __m512, __m512bh, __m512i, _mm512_add_ps, _mm512_cvtepu16_epi32,
        _mm512_cvtne2ps_pbh, _mm512_cvtneps_pbh, _mm512_dpbf16_ps, _mm512_loadu_ps,
        _mm512_or_si512, _mm512_set1_epi32, _mm512_setzero_ps, _mm512_slli_epi32, _mm512_storeu_ps,
    };

    use half::bf16;

    use super::LANES;
    use crate::simd::matrix_product::{Left, Right, Write};

    /// Vectors of a row of `out` that are computed together, as in [`crate::simd::matrix_product`].
    const VECTORS_MAX: usize = 3;

    fn pair(even: f32, odd: f32) -> u32 {
        let [even, odd] = [even, odd].map(|value| u32::from(bf16::from_f32(value).to_bits()));
        even | odd << 16
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    pub fn pair_neighbours(from: &[f32], to: &mut [u32]) {
        let mut values = from.chunks_exact(2 * LANES);
        let mut pairs = to.chunks_exact_mut(LANES);
        for (values, pairs) in (&mut values).zip(&mut pairs) {
            // SAFETY: a chunk is two vectors of values, or one of pairs; any bits are a vector, and neither is aligned.
            unsafe {
                let (low, high) =
                    (_mm512_loadu_ps(values.as_ptr()), _mm512_loadu_ps(values.as_ptr().add(LANES)));
                let rounded = _mm512_cvtne2ps_pbh(high, low);
                pairs.as_mut_ptr().cast::<__m512bh>().write_unaligned(rounded);
            }
        }
        let rest = values.remainder().chunks_exact(2).zip(pairs.into_remainder());
        rest.for_each(|(values, to)| *to = pair(values[0], values[1]));
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    pub fn pair_rows(even: &[f32], odd: Option<&[f32]>, to: &mut [u32]) {
        let n = to.len() / LANES * LANES;
        for at in (0..n).step_by(LANES) {
            // SAFETY: `at` and a vector end within all three slices, which are equally long; none is aligned.
            unsafe {
                let low = rounded(_mm512_loadu_ps(even.as_ptr().add(at)));
                let high = match odd {
                    Some(odd) => rounded(_mm512_loadu_ps(odd.as_ptr().add(at))),
                    None => rounded(_mm512_setzero_ps()),
                };
                let pairs = _mm512_or_si512(low, _mm512_slli_epi32::<16>(high));
                to.as_mut_ptr().add(at).cast::<__m512i>().write_unaligned(pairs);
            }
        }
        for at in n..to.len() {
            to[at] = pair(even[at], odd.map_or(0.0, |odd| odd[at]));
        }
    }

    /// The bits of bfloat16 values in the lower halves of lanes.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    fn rounded(values: __m512) -> __m512i {
        let narrow = _mm512_cvtneps_pbh(values);
        // SAFETY: both are 256 bits of sixteen numbers.
        _mm512_cvtepu16_epi32(unsafe { std::mem::transmute::<__m256bh, __m256i>(narrow) })
    }

    /// # Safety
    ///
    /// For all m and k, `out_rows[m] + n`, `left.rows[m] + left.columns[k] + 1` and `right.rows[k] + n` must be at most
    /// the lengths of their slices, and `n` a multiple of [`LANES`].
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    pub unsafe fn multiply(
        how: Write,
        n: usize,
        (out, out_rows): (&mut [f32], &[usize]),
        left: &Left<'_, u32>,
        right: &Right<'_, u32>,
    ) {
        let n_vectors = n / LANES;
        // Pieces of about equal width, since narrow ones are less efficient.
        let widest = n_vectors.div_ceil(n_vectors.div_ceil(VECTORS_MAX).max(1));
        let mut done = 0;
        while done < n_vectors {
            let vectors = widest.min(n_vectors - done);
            let (start, out) = (done * LANES, (&mut *out, out_rows));
            // SAFETY: the caller's, for columns within those of the whole product.
            unsafe {
                match vectors {
                    1 => all_rows::<1>(how, start, out, left, right),
                    2 => all_rows::<2>(how, start, out, left, right),
                    _ => all_rows::<VECTORS_MAX>(how, start, out, left, right),
                }
            }
            done += vectors;
        }
    }

    /// # Safety
    ///
    /// As for [`multiply`], with `V` vectors from `start` on in the product.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn all_rows<const V: usize>(
        how: Write,
        start: usize,
        (out, out_rows): (&mut [f32], &[usize]),
        left: &Left<'_, u32>,
        right: &Right<'_, u32>,
    ) {
        let mut row = 0;
        while row < out_rows.len() {
            let (place, out) = ((row, start), (&mut *out, out_rows));
            // SAFETY: the caller's, and there are as many rows from `row` on as each piece has.
            row += unsafe {
                match out_rows.len() - row {
                    8.. => piece::<8, V>(how, place, out, left, right),
                    4.. => piece::<4, V>(how, place, out, left, right),
                    2.. => piece::<2, V>(how, place, out, left, right),
                    _ => piece::<1, V>(how, place, out, left, right),
                }
            };
        }
    }

    /// `M` rows by `V` vectors, in registers; returns `M`.
    ///
    /// # Safety
    ///
    /// As for [`multiply`], with `M` rows from `row` on and `V` vectors from `start` on in the product.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn piece<const M: usize, const V: usize>(
        how: Write,
        (row, start): (usize, usize),
        (out, out_rows): (&mut [f32], &[usize]),
        left: &Left<'_, u32>,
        right: &Right<'_, u32>,
    ) -> usize {
        let mut sums = [[_mm512_setzero_ps(); V]; M];
        let mut rows = [left.values.as_ptr(); M];
        for (pointer, &first) in rows.iter_mut().zip(&left.rows.all[row..]) {
            *pointer = pointer.wrapping_add(first);
        }
        for (&column, &first) in left.columns.all.iter().zip(right.rows.all) {
            let mut factors = [_mm512_cvtne2ps_pbh(sums[0][0], sums[0][0]); V];
            for (v, factor) in factors.iter_mut().enumerate() {
                // SAFETY: the caller's, for column `start + v LANES` and a vector from there; it need not be aligned.
                *factor = unsafe {
                    let at = right.values.as_ptr().add(first + start + v * LANES);
                    at.cast::<__m512bh>().read_unaligned()
                };
            }
            for m in 0..M {
                // SAFETY: the caller's, for this row and column. Both types are 512 bits of any value.
                let factor = unsafe {
                    let pairs = _mm512_set1_epi32((*rows[m].add(column)).cast_signed());
                    std::mem::transmute::<__m512i, __m512bh>(pairs)
                };
                for v in 0..V {
                    sums[m][v] = _mm512_dpbf16_ps(sums[m][v], factor, factors[v]);
                }
            }
        }
        for (m, sums) in sums.iter().enumerate() {
            for (v, &sum) in sums.iter().enumerate() {
                // SAFETY: the caller's, for this row and a vector from `start + v LANES` on.
                unsafe {
                    let at = out.as_mut_ptr().add(out_rows[row + m] + start + v * LANES);
                    let before =
                        if how == Write::Add { _mm512_loadu_ps(at) } else { _mm512_setzero_ps() };
                    _mm512_storeu_ps(at, _mm512_add_ps(before, sum));
                }
            }
        }
        M
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;
    use proptest::prelude::*;

    use super::*;
    use crate::simd::matrix_product::every;

    /// Values in (-1, 1) without a pattern.
    fn values(n: usize, seed: u64) -> Vec<f32> {
        use rand::RngExt;
        let mut generator = crate::random::stream(seed, crate::random::Purpose::Weights, 5);
        (0..n).map(|_| generator.random_range(-1.0..1.0)).collect()
    }

    fn rounded(value: f32) -> f64 {
        f64::from(bf16::from_f32(value).to_f32())
    }

    /// The instructions, or `None` after saying that a test is skipped.
    pub fn instructions(test: &str) -> Option<Bf16Instructions> {
        use std::io::Write as _;
        Bf16Instructions::detect()
            .map_err(|reason| writeln!(std::io::stderr(), "SKIPPED {test}: {reason}"))
            .ok()
    }

    proptest! {
        /// Of values rounded to bfloat16, the product is exact but for the single-precision sums: 2^-23 a term.
        #[test]
        fn products_match_double_precision(m in 1..20_usize, vectors in 1..8_usize, pairs in 0..20_usize) {
            let Some(unit) = instructions("products of bfloat16 values") else { return Ok(()) };
            let (n, k) = (vectors * LANES, 2 * pairs);
            let (left, right) = (values(m * k, 1), values(k * n, 2));
            let mut left_pairs = vec![0; m * pairs];
            unit.pair_neighbours(&left, &mut left_pairs);
            let mut right_pairs = vec![0; pairs * n];
            for (rows, to) in right.chunks_exact(2 * n).zip(right_pairs.chunks_exact_mut(n)) {
                unit.pair_rows(&rows[..n], Some(&rows[n..]), to);
            }
            for how in [Write::Overwrite, Write::Add] {
                let before = values(m * n, 3);
                let mut out = before.clone();
                let (out_rows, rows, columns) = (every(n, m), every(pairs, m), every(1, pairs));
                let right_rows = every(n, pairs);
                let left_of =
                    Left { values: &left_pairs, rows: rows.all(), columns: columns.all() };
                let right_of = Right { values: &right_pairs, rows: right_rows.all() };
                unit.multiply(how, n, (&mut out, out_rows.all()), left_of, right_of);
                for (at, &found) in out.iter().enumerate() {
                    let (row, j) = (at / n, at % n);
                    let term = |i: usize| rounded(left[row * k + i]) * rounded(right[i * n + j]);
                    let start = if how == Write::Add { f64::from(before[at]) } else { 0.0 };
                    let exact = start + (0..k).map(term).sum::<f64>();
                    let bound = (k + 1) as f64 * f64::from(f32::EPSILON);
                    prop_assert!((f64::from(found) - exact).abs() <= bound, "{found} {exact}");
                }
            }
        }

        #[test]
        fn pairs_are_rounded_to_the_nearest_even(n in 0..70_usize) {
            let Some(unit) = instructions("pairs of bfloat16 values") else { return Ok(()) };
            let (even, odd) = (values(n, 1), values(n, 2));
            let bits = |value: f32| u32::from(bf16::from_f32(value).to_bits());
            let mut pairs = vec![0; n];
            unit.pair_rows(&even, Some(&odd), &mut pairs);
            for ((&pair, &even), &odd) in pairs.iter().zip(&even).zip(&odd) {
                prop_assert_eq!(pair, bits(even) | bits(odd) << 16);
            }
            unit.pair_rows(&even, None, &mut pairs);
            prop_assert!(pairs.iter().zip(&even).all(|(&pair, &even)| pair == bits(even)));
            let joined = [even, odd].concat();
            unit.pair_neighbours(&joined, &mut pairs);
            for (&pair, two) in pairs.iter().zip(joined.chunks_exact(2)) {
                prop_assert_eq!(pair, bits(two[0]) | bits(two[1]) << 16);
            }
        }
    }
}
