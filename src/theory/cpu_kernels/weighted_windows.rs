//! Sliding weighted sums over k neighbours, along a line and down rows: one multiplication and addition per neighbour.
//!
//! Unlike the sums of [`super::windows`] these cost more the larger k is: weights cannot be shared between windows.
//! Neighbours are added in the order of their offsets everywhere, so that equal patches are equally far to the last bit.

use pulp::Simd;

use crate::simd::Lane;

/// `out[j] = sum_o weights[o] line[j + o]`.
#[inline(always)]
pub fn along_a_line<S: Simd, T: Lane>(
    simd: S,
    weights: &[T],
    line: &[T::Vector<S>],
    out: &mut [T::Vector<S>],
) {
    let n = out.len();
    match weights.len() {
        3 => sum::<S, T, 3>(simd, weights, std::array::from_fn(|o| &line[o..o + n]), out),
        5 => sum::<S, T, 5>(simd, weights, std::array::from_fn(|o| &line[o..o + n]), out),
        7 => sum::<S, T, 7>(simd, weights, std::array::from_fn(|o| &line[o..o + n]), out),
        9 => sum::<S, T, 9>(simd, weights, std::array::from_fn(|o| &line[o..o + n]), out),
        k => {
            for (o, &weight) in weights[..k].iter().enumerate() {
                add::<S, T>(simd, o == 0, weight, &line[o..o + n], out);
            }
        }
    }
}

/// `out[j] = sum_o weights[o] row_o[j]`, where row `o` of `out.len()` vectors is number `(first + o) mod k` of `rows`.
#[inline(always)]
pub fn down_rows<S: Simd, T: Lane>(
    simd: S,
    weights: &[T],
    rows: &[T::Vector<S>],
    first: usize,
    out: &mut [T::Vector<S>],
) {
    let (n, k) = (out.len(), weights.len());
    match k {
        3 => sum::<S, T, 3>(simd, weights, ring::<_, 3>(rows, n, first), out),
        5 => sum::<S, T, 5>(simd, weights, ring::<_, 5>(rows, n, first), out),
        7 => sum::<S, T, 7>(simd, weights, ring::<_, 7>(rows, n, first), out),
        9 => sum::<S, T, 9>(simd, weights, ring::<_, 9>(rows, n, first), out),
        k => {
            for (o, &weight) in weights[..k].iter().enumerate() {
                let at = (first + o) % k * n;
                add::<S, T>(simd, o == 0, weight, &rows[at..at + n], out);
            }
        }
    }
}

/// `K` rows of `n` vectors from row `first` of a ring of `K` on.
#[inline(always)]
fn ring<V, const K: usize>(rows: &[V], n: usize, first: usize) -> [&[V]; K] {
    std::array::from_fn(|o| &rows[(first + o) % K * n..][..n])
}

#[inline(always)]
fn sum<S: Simd, T: Lane, const K: usize>(
    simd: S,
    weights: &[T],
    terms: [&[T::Vector<S>]; K],
    out: &mut [T::Vector<S>],
) {
    let weights: [T::Vector<S>; K] = std::array::from_fn(|o| T::splat(simd, weights[o]));
    for (j, out) in out.iter_mut().enumerate() {
        let mut sum = T::times(simd, weights[0], terms[0][j]);
        for o in 1..K {
            sum = T::mul_add(simd, weights[o], terms[o][j], sum);
        }
        *out = sum;
    }
}

/// Adds one weighted term to `out`, or replaces it by that.
#[inline(always)]
fn add<S: Simd, T: Lane>(
    simd: S,
    is_first: bool,
    weight: T,
    term: &[T::Vector<S>],
    out: &mut [T::Vector<S>],
) {
    let weight = T::splat(simd, weight);
    for (out, &term) in out.iter_mut().zip(term) {
        *out = match is_first {
            true => T::times(simd, weight, term),
            false => T::mul_add(simd, weight, term, *out),
        };
    }
}
