//! The softmax attention operation over all pixels of an image, with a gradient that recomputes the weights.
//!
//! ```text
//! S[p, r] = sum_d q[d, p] k[d, r] / sqrt(D)      A = softmax_r(S)      o[d, p] = sum_r A[p, r] v[d, r]
//! dA[p, r] = sum_d do[d, p] v[d, r]              dS = A (dA - sum_r A dA)
//! dq = dS k / sqrt(D)      dk = dS^T q / sqrt(D)      dv[d, r] = sum_p do[d, p] A[p, r]
//! ```
//!
//! Queries, keys and values are one tensor `[B, 3, heads, D, P]`, the result of three 1x1 convolutions joined along
//! channels. Threads process one image and head at a time, and keep the weights of `QUERIES` queries at a time, where
//! candle's composed operations keep several whole P x P maps per head and image.
//! (`candle_nn::ops::softmax_last_dim` would drop the gradient.)

use std::ops::Range;

use candle_core::{D, Result, Shape, Tensor};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::candle_numbers::Real;
use super::operation_times::Work;
use super::spare_buffers::SpareBuffers;
use super::tensor::{Computed, Gradients, Op, Operation, channels_first, channels_last};
use crate::simd::Lane;
use crate::simd::lane::n_lanes;
use crate::simd::matrix_product::{Left, PlaceTable, Right, Write, every, multiply};

/// Attends with `qkv`, `[B, 3, heads, D, P]`; returns mixed values, `[B, heads, D, P]`.
///
/// # Errors
///
/// If a tensor operation fails; on the CPU, if `qkv` has not five dimensions, or is neither in `f32` nor in
/// `f64`.
pub fn attend(qkv: &Tensor) -> Result<Tensor> {
    if qkv.device().is_cpu() {
        return qkv.contiguous()?.apply_op1(Op(Attend));
    }
    mix(&weights(qkv)?, qkv)
}

/// Attention logits `S` [B, heads, P, P].
///
/// # Errors
///
/// If `qkv` has too few dimensions, or a tensor operation fails.
pub fn logits(qkv: &Tensor) -> Result<Tensor> {
    let (q, k) = (part(qkv, 0)?, part(qkv, 1)?);
    let width = q.dim(2)? as f64;
    q.transpose(2, 3)?.contiguous()?.matmul(&k)? * width.sqrt().recip()
}

/// Attention weights `A` [B, heads, P, P]; rows sum to one.
///
/// # Errors
///
/// As [`logits`].
pub fn weights(qkv: &Tensor) -> Result<Tensor> {
    candle_nn::ops::softmax(&logits(qkv)?, D::Minus1)
}

/// Values of `qkv` mixed by given weights [B, heads, P, P]: [B, heads, D, P].
///
/// # Errors
///
/// If the shapes of `weights` and `qkv` do not fit, or a tensor operation fails.
pub fn mix(weights: &Tensor, qkv: &Tensor) -> Result<Tensor> {
    mix_values(weights, &part(qkv, 2)?)
}

/// Values [B, heads, D, P] mixed by weights [B, heads, P, P]: [B, heads, D, P].
///
/// # Errors
///
/// As [`mix`].
pub fn mix_values(weights: &Tensor, values: &Tensor) -> Result<Tensor> {
    values.matmul(&weights.transpose(2, 3)?.contiguous()?)
}

/// Queries (0), keys (1) or values (2).
fn part(qkv: &Tensor, which: usize) -> Result<Tensor> {
    qkv.narrow(1, which, 1)?.squeeze(1)?.contiguous()
}

/// Sizes of one call and the tables of its products.
pub(super) struct Sizes {
    pub heads: usize,
    width: usize,
    pub n_pixels: usize,
    /// Channels rounded up to full vectors, for sums with channels in the lanes.
    lanes: usize,
    /// Values of a vector.
    n_lanes: usize,
    /// Where channels start in `[D, P]`.
    channels: PlaceTable,
    /// Pixels of one channel.
    pixels: PlaceTable,
    /// Where keys start in a map `[P, QUERIES]`.
    keys: PlaceTable,
    /// Where pixels start in `[P, lanes]`.
    last: PlaceTable,
}

/// Queries that are processed together. Only the map of their weights, `[P, QUERIES]`, is kept of the P x P weights;
/// each column is one query, so a vector holds as many queries as it has lanes.
pub(super) const QUERIES: usize = 48;

impl Sizes {
    pub fn of<T: Real>(qkv: &Shape) -> Result<(usize, Self)> {
        let (batch, _, heads, width, n_pixels) = qkv.dims5()?;
        let lanes = width.next_multiple_of(n_lanes::<T>());
        let sizes = Self {
            heads,
            width,
            n_pixels,
            lanes,
            n_lanes: n_lanes::<T>(),
            channels: every(n_pixels, width),
            pixels: every(1, n_pixels),
            keys: every(QUERIES, n_pixels),
            last: every(lanes, n_pixels),
        };
        Ok((batch, sizes))
    }

    /// Values of one head's queries.
    pub fn per_head(&self) -> usize {
        self.width * self.n_pixels
    }

    /// The q, k and v of one head of an image, `[3, heads, D, P]`.
    pub fn head<'a, T>(&self, image: &'a [T], head: usize) -> [&'a [T]; 3] {
        [0, 1, 2].map(|which| {
            let start = (which * self.heads + head) * self.per_head();
            &image[start..start + self.per_head()]
        })
    }

    /// Ranges of queries, [`QUERIES`] at most: whole vectors but for the last, and about equally many in each, since a
    /// range of less than a vector would take a product value by value.
    pub fn blocks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (n, lanes) = (self.n_pixels, self.n_lanes);
        let n_vectors = n.div_ceil(lanes);
        let n_blocks = n_vectors.div_ceil(QUERIES / lanes);
        let start = move |block: usize| {
            let (each, more) = (n_vectors / n_blocks, n_vectors % n_blocks);
            n.min(lanes * (block * each + block.min(more)))
        };
        (0..n_blocks).map(move |block| start(block)..start(block + 1))
    }

    pub fn scale(&self) -> f64 {
        (self.width as f64).sqrt().recip()
    }

    /// `out[r, p] = sum_d of_keys[d, r] of_queries[d, p]` for the queries of one block.
    pub fn pairs<T: Real>(
        &self,
        of_keys: &[T],
        of_queries: &[T],
        block: &Range<usize>,
        out: &mut [T],
    ) {
        let left = Left { values: of_keys, rows: self.pixels.all(), columns: self.channels.all() };
        let right = Right { values: &of_queries[block.start..], rows: self.channels.all() };
        multiply(Write::Overwrite, block.len(), (out, self.keys.all()), left, right);
    }

    /// `out[d, p] = sum_r of_keys[d, r] map[r, p]` for the queries of one block.
    fn gather<T: Real>(&self, of_keys: &[T], map: &[T], block: &Range<usize>, out: &mut [T]) {
        let left = Left { values: of_keys, rows: self.channels.all(), columns: self.pixels.all() };
        let right = Right { values: map, rows: self.keys.all() };
        let out = (&mut out[block.start..], self.channels.all());
        multiply(Write::Overwrite, block.len(), out, left, right);
    }

    /// `out[r, d] += sum_p map[r, p] of_queries[p, d]` over the queries of one block.
    fn scatter<T: Real>(&self, map: &[T], of_queries: &[T], block: &Range<usize>, out: &mut [T]) {
        let columns = self.pixels.part(0..block.len());
        let left = Left { values: map, rows: self.keys.all(), columns };
        let right = Right { values: of_queries, rows: self.last.part(block.clone()) };
        multiply(Write::Add, self.lanes, (out, self.last.all()), left, right);
    }
}

/// Turns the first `n_queries` columns of a map `[P, QUERIES]` of products into `exp2(factor (s - max s))` and their
/// sums.
struct Exponentials<'a, T> {
    n_queries: usize,
    map: &'a mut [T],
    sums: &'a mut [T; QUERIES],
    factor: T,
}

impl<T: Lane> WithSimd for Exponentials<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let map = T::vectors_mut::<S>(self.map);
        let sums = T::vectors_mut::<S>(self.sums);
        let factor = T::splat(simd, self.factor);
        let n = sums.len();
        let used = self.n_queries.div_ceil(T::n_lanes::<S>());
        for (v, sum) in sums.iter_mut().enumerate().take(used) {
            let mut largest = map[v];
            for row in map.chunks_exact(n) {
                largest = T::larger(simd, largest, row[v]);
            }
            let mut total = T::splat(simd, T::ZERO);
            for row in map.chunks_exact_mut(n) {
                row[v] = T::exp2(simd, T::times(simd, factor, T::minus(simd, row[v], largest)));
                total = T::plus(simd, total, row[v]);
            }
            *sum = total;
        }
    }
}

/// From exponentials and `dA` to `A` and `dS`, the first `n_queries` columns of `[P, QUERIES]` both.
struct Slopes<'a, T> {
    n_queries: usize,
    map: &'a mut [T],
    slopes: &'a mut [T],
    inverses: &'a [T; QUERIES],
    scale: T,
}

impl<T: Lane> WithSimd for Slopes<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (map, slopes) = (T::vectors_mut::<S>(self.map), T::vectors_mut::<S>(self.slopes));
        let inverses = T::vectors::<S>(self.inverses);
        let scale = T::splat(simd, self.scale);
        let n = inverses.len();
        let used = self.n_queries.div_ceil(T::n_lanes::<S>());
        for (v, &inverse) in inverses.iter().enumerate().take(used) {
            let mut mean = T::splat(simd, T::ZERO);
            for (map, slopes) in map.chunks_exact_mut(n).zip(slopes.chunks_exact(n)) {
                map[v] = T::times(simd, map[v], inverse);
                mean = T::mul_add(simd, map[v], slopes[v], mean);
            }
            for (map, slopes) in map.chunks_exact(n).zip(slopes.chunks_exact_mut(n)) {
                let centred = T::minus(simd, slopes[v], mean);
                slopes[v] = T::times(simd, T::times(simd, map[v], scale), centred);
            }
        }
    }
}

/// Exponentials of one block's logits into `map`; returns one over their sums.
fn weigh<T: Real>(
    sizes: &Sizes,
    [q, k]: [&[T]; 2],
    block: &Range<usize>,
    map: &mut [T],
) -> [T; QUERIES] {
    sizes.pairs(k, q, block, map);
    let mut sums = [T::ZERO; QUERIES];
    let factor = T::number(sizes.scale() * std::f64::consts::LOG2_E);
    let n_queries = block.len();
    Arch::new().dispatch(Exponentials { n_queries, map, sums: &mut sums, factor });
    sums.map(|sum| T::one() / sum)
}

struct Attend;

impl Operation<1> for Attend {
    const NAME: &'static str = "attend";
    const WORK: Option<Work> = Some(Work::Attention);

    fn compute<T: Real>(&self, [qkv]: [&[T]; 1], [shape]: [&Shape; 1]) -> Computed<T> {
        let (batch, sizes) = Sizes::of::<T>(shape)?;
        let shape = Shape::from((batch, sizes.heads, sizes.width, sizes.n_pixels));
        Ok((forward(qkv, &sizes, batch), shape))
    }

    fn gradients(&self, [qkv]: [&Tensor; 1], _out: &Tensor, dout: &Tensor) -> Gradients<1> {
        Ok([Some(qkv.apply_op2_no_bwd(&dout.contiguous()?, &Op(AttendGradient))?)])
    }
}

fn forward<T: Real>(qkv: &[T], sizes: &Sizes, batch: usize) -> Vec<T> {
    let per_image = 3 * sizes.heads * sizes.per_head();
    let mut out = vec![T::ZERO; batch * sizes.heads * sizes.per_head()];
    let heads = out.par_chunks_mut(sizes.per_head()).enumerate();
    let spare = SpareBuffers::default();
    heads.for_each(|(index, out)| {
        let room = || vec![T::ZERO; sizes.n_pixels * QUERIES];
        spare.with(room, |map| {
            let image = &qkv[index / sizes.heads * per_image..][..per_image];
            let [q, k, v] = sizes.head(image, index % sizes.heads);
            for block in sizes.blocks() {
                let inverses = weigh(sizes, [q, k], &block, map);
                sizes.gather(v, map, &block, out);
                for channel in out.chunks_exact_mut(sizes.n_pixels) {
                    let values = channel[block.clone()].iter_mut();
                    values.zip(&inverses).for_each(|(value, &inverse)| *value *= inverse);
                }
            }
        });
    });
    out
}

/// `dqkv` from (`qkv`, `dout`).
struct AttendGradient;

impl Operation<2> for AttendGradient {
    const NAME: &'static str = "attend-gradient";
    const WORK: Option<Work> = Some(Work::AttentionGradient);

    fn compute<T: Real>(&self, [qkv, dout]: [&[T]; 2], shapes: [&Shape; 2]) -> Computed<T> {
        let (_, sizes) = Sizes::of::<T>(shapes[0])?;
        Ok((backward(qkv, dout, &sizes), shapes[0].clone()))
    }
}

fn backward<T: Real>(qkv: &[T], dout: &[T], sizes: &Sizes) -> Vec<T> {
    let per_head = sizes.per_head();
    let per_image = 3 * sizes.heads * per_head;
    let mut out = vec![T::ZERO; qkv.len()];
    let images = out.par_chunks_mut(per_image).zip(qkv.par_chunks(per_image));
    let spare = SpareBuffers::default();
    images.zip(dout.par_chunks(sizes.heads * per_head)).for_each(|((out, image), dout)| {
        spare.with(
            || Room::new(sizes),
            |room| {
                for (head, dout) in dout.chunks_exact(per_head).enumerate() {
                    let places = [0, 1, 2].map(|which| {
                        let start = (which * sizes.heads + head) * per_head;
                        start..start + per_head
                    });
                    room.head_gradient(sizes, sizes.head(image, head), dout, out, places);
                }
            },
        );
    });
    out
}

/// Buffers of a thread for the gradient of one head.
struct Room<T> {
    map: Vec<T>,
    slopes: Vec<T>,
    /// q, dout, dk and dv with channels last, `[P, lanes]`.
    q: Vec<T>,
    dout: Vec<T>,
    dk: Vec<T>,
    dv: Vec<T>,
}

impl<T: Real> Room<T> {
    fn new(sizes: &Sizes) -> Self {
        let map = vec![T::ZERO; sizes.n_pixels * QUERIES];
        let last = vec![T::ZERO; sizes.n_pixels * sizes.lanes];
        Self {
            slopes: map.clone(),
            map,
            q: last.clone(),
            dout: last.clone(),
            dk: last.clone(),
            dv: last,
        }
    }

    /// Gradients of one head into `places` of `out`.
    fn head_gradient(
        &mut self,
        sizes: &Sizes,
        [q, k, v]: [&[T]; 3],
        dout: &[T],
        out: &mut [T],
        [dq_place, dk_place, dv_place]: [Range<usize>; 3],
    ) {
        let n_pixels = sizes.n_pixels;
        channels_last(q, n_pixels, &mut self.q, sizes.lanes);
        channels_last(dout, n_pixels, &mut self.dout, sizes.lanes);
        self.dk.fill(T::ZERO);
        self.dv.fill(T::ZERO);
        for block in sizes.blocks() {
            let inverses = weigh(sizes, [q, k], &block, &mut self.map);
            sizes.pairs(v, dout, &block, &mut self.slopes);
            let (map, slopes) = (&mut self.map, &mut self.slopes);
            let scale = T::number(sizes.scale());
            let (n_queries, inverses) = (block.len(), &inverses);
            Arch::new().dispatch(Slopes { n_queries, map, slopes, inverses, scale });
            sizes.gather(k, &self.slopes, &block, &mut out[dq_place.clone()]);
            sizes.scatter(&self.slopes, &self.q, &block, &mut self.dk);
            sizes.scatter(&self.map, &self.dout, &block, &mut self.dv);
        }
        for (from, place) in [(&self.dk, dk_place), (&self.dv, dv_place)] {
            channels_first(from, n_pixels, sizes.lanes, &mut out[place]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::ops::tensor::check;

    #[test]
    fn attention_and_its_gradient_match_the_composed_operations() {
        for shape in [[2, 3, 1, 4, 6], [3, 3, 2, 5, 7], [1, 3, 1, 1, 1], [2, 3, 2, 17, 101]] {
            check::same_values_and_gradients(
                &[check::pseudo_random(&shape, 1)],
                |v| attend(&v[0]),
                |v| mix(&weights(&v[0])?, &v[0]),
            );
        }
    }

    #[test]
    fn large_logits_do_not_overflow() {
        let qkv = (check::pseudo_random(&[1, 3, 1, 4, 9], 1) * 1e3).unwrap();
        let out = attend(&qkv).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
        assert!(out.iter().all(|v| v.is_finite()));
    }
}
