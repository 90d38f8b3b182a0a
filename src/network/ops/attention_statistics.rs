//! Per-pixel statistics of softmax attention, computed without keeping a map.
//!
//! ```text
//! 0  entropy of query p      -sum_r A[p, r] ln A[p, r]       = ln Z - sum_r A[p, r] (S[p, r] - max_r S)
//! 1  distance of query p      sum_r A[p, r] |p - r|
//! 2  largest logit of query p max_r S[p, r]
//! 3  weight received by key r mean_p A[p, r]
//! ```
//!
//! with `Z = sum_r exp(S[p, r] - max_r S)`. One pass over the blocks of [`super::softmax_attention`].

use candle_core::{Error, Result, Shape, Tensor, WithDType};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::candle_numbers::Real;
use super::operation_times::Work;
use super::softmax_attention::{QUERIES, Sizes};
use super::tensor::{Computed, Op, Operation};
use crate::diffusion::Grid;
use crate::simd::Lane;

/// Number of statistics per pixel.
pub const N_FIGURES: usize = 4;

/// The statistics above, `[B, heads, 4, P]`, of `qkv`, `[B, 3, heads, D, P]`, over the pixels of `grid`. CPU only; no
/// gradient.
///
/// # Errors
///
/// If `grid` does not have `P` pixels.
pub fn attention_figures(qkv: &Tensor, grid: Grid) -> Result<Tensor> {
    qkv.contiguous()?.apply_op1_no_bwd(&Op(AttentionFigures { grid }))
}

struct AttentionFigures {
    grid: Grid,
}

impl Operation<1> for AttentionFigures {
    const NAME: &'static str = "attention-figures";
    const WORK: Option<Work> = Some(Work::Attention);

    fn compute<T: Real>(&self, [qkv]: [&[T]; 1], [shape]: [&Shape; 1]) -> Computed<T> {
        let (batch, sizes) = Sizes::of::<T>(shape)?;
        let (found, expected) = (self.grid.n_pixels(), sizes.n_pixels);
        if found != expected {
            let problem = format!("attention over {expected} pixels has no grid of {found}");
            return Err(Error::Msg(problem));
        }
        let shape = Shape::from((batch, sizes.heads, N_FIGURES, sizes.n_pixels));
        Ok((figures(qkv, &sizes, batch, self.grid), shape))
    }
}

fn figures<T: Real>(qkv: &[T], sizes: &Sizes, batch: usize, grid: Grid) -> Vec<T> {
    let n_pixels = sizes.n_pixels;
    // Rows are keys, padded to whole blocks of queries.
    let stride = n_pixels.next_multiple_of(QUERIES);
    let mut distances = vec![T::ZERO; n_pixels * stride];
    for (r, row) in distances.chunks_exact_mut(stride).enumerate() {
        let each = row.iter_mut().enumerate().take(n_pixels);
        each.for_each(|(p, value)| *value = T::number(grid.distance(p, r)));
    }
    let mut out = vec![T::ZERO; batch * sizes.heads * N_FIGURES * n_pixels];
    let heads = out.par_chunks_mut(N_FIGURES * n_pixels).enumerate();
    heads.for_each_init(
        || vec![T::ZERO; n_pixels * QUERIES],
        |map, (index, out)| {
            let per_image = 3 * sizes.heads * sizes.per_head();
            let image = &qkv[index / sizes.heads * per_image..][..per_image];
            let [q, k, _] = sizes.head(image, index % sizes.heads);
            let (rows, received) = out.split_at_mut(3 * n_pixels);
            for block in sizes.blocks() {
                sizes.pairs(k, q, &block, map);
                let mut columns = Columns::default();
                let sums = &mut columns;
                let distances = &distances[block.start..];
                let factor = T::number(sizes.scale() * std::f64::consts::LOG2_E);
                Arch::new().dispatch(Pass { map, distances, stride, sums, factor });
                for (i, p) in block.clone().enumerate() {
                    let scale = T::number(sizes.scale());
                    let total = columns.totals[i];
                    rows[p] = T::number(WithDType::to_f64(total).ln())
                        - scale * columns.slopes[i] / total;
                    rows[n_pixels + p] = columns.distances[i] / total;
                    rows[2 * n_pixels + p] = scale * columns.largest[i];
                }
                let share =
                    columns.totals.map(|total| T::one() / (total * T::number(n_pixels as f64)));
                for (received, row) in received.iter_mut().zip(map.chunks_exact(QUERIES)) {
                    let some = row[..block.len()].iter().zip(&share);
                    *received = some.fold(*received, |sum, (&e, &share)| sum + e * share);
                }
            }
        },
    );
    out
}

/// Sums over keys for each query of a block.
struct Columns<T> {
    largest: [T; QUERIES],
    totals: [T; QUERIES],
    /// Of exponentials times products less the largest one.
    slopes: [T; QUERIES],
    distances: [T; QUERIES],
}

impl<T: Real> Default for Columns<T> {
    fn default() -> Self {
        let zeros = [T::ZERO; QUERIES];
        Self { largest: zeros, totals: zeros, slopes: zeros, distances: zeros }
    }
}

/// Turns columns of a map `[P, QUERIES]` of products into exponentials and sums them up.
struct Pass<'a, T> {
    map: &'a mut [T],
    /// Rows start `stride` apart.
    distances: &'a [T],
    stride: usize,
    sums: &'a mut Columns<T>,
    factor: T,
}

impl<T: Lane> WithSimd for Pass<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let map = T::vectors_mut::<S>(self.map);
        let factor = T::splat(simd, self.factor);
        let n = QUERIES / T::n_lanes::<S>();
        let zero = T::splat(simd, T::ZERO);
        for v in 0..n {
            let mut largest = map[v];
            for row in map.chunks_exact(n) {
                largest = T::larger(simd, largest, row[v]);
            }
            let (mut total, mut slope, mut far) = (zero, zero, zero);
            let distances = self.distances.chunks(self.stride);
            for (row, distances) in map.chunks_exact_mut(n).zip(distances) {
                let below = T::minus(simd, row[v], largest);
                let e = T::exp2(simd, T::times(simd, factor, below));
                total = T::plus(simd, total, e);
                slope = T::mul_add(simd, e, below, slope);
                far = T::mul_add(simd, e, T::vectors::<S>(&distances[..QUERIES])[v], far);
                row[v] = e;
            }
            let sums = &mut *self.sums;
            T::vectors_mut::<S>(&mut sums.largest)[v] = largest;
            T::vectors_mut::<S>(&mut sums.totals)[v] = total;
            T::vectors_mut::<S>(&mut sums.slopes)[v] = slope;
            T::vectors_mut::<S>(&mut sums.distances)[v] = far;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::ops::softmax_attention::{logits, weights};
    use crate::network::ops::tensor::check;

    #[test]
    fn figures_are_those_of_the_whole_maps() {
        for ([batch, heads, width], [height, across], circular) in [
            ([2, 1, 4], [2, 3], true),
            ([1, 2, 5], [1, 1], false),
            ([3, 2, 17], [7, 13], true),
            ([1, 1, 8], [12, 12], false),
        ] {
            let grid = Grid { height, width: across, circular };
            let n = grid.n_pixels();
            let qkv = (check::pseudo_random(&[batch, 3, heads, width, n], 1) * 3.0).unwrap();
            let found = attention_figures(&qkv, grid).unwrap();
            let maps = weights(&qkv).unwrap();
            let distances: Vec<f64> = (0..n * n).map(|i| grid.distance(i / n, i % n)).collect();
            let distances = Tensor::from_vec(distances, (1, 1, n, n), qkv.device()).unwrap();
            let entropy = (&maps * maps.log().unwrap()).unwrap().sum(3).unwrap().neg().unwrap();
            let distance = maps.broadcast_mul(&distances).unwrap().sum(3).unwrap();
            let largest = logits(&qkv).unwrap().max(3).unwrap();
            let received = maps.mean(2).unwrap();
            let expected = Tensor::stack(&[entropy, distance, largest, received], 2).unwrap();
            check::assert_close(&found, &expected, 1e-12);
        }
    }

    #[test]
    fn large_logits_leave_no_entropy() {
        let grid = Grid { height: 3, width: 3, circular: true };
        let qkv = (check::pseudo_random(&[1, 3, 1, 4, 9], 1) * 1e4).unwrap();
        let found = attention_figures(&qkv, grid).unwrap().flatten_all().unwrap();
        let found = found.to_vec1::<f64>().unwrap();
        assert!(found.iter().all(|v| v.is_finite()) && found[0].abs() < 1e-9);
    }
}
