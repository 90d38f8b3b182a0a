//! Softmax attention over all pixels of an image, with a gradient that recomputes the weights.
//!
//! ```text
//! S[p, r] = sum_d q[d, p] k[d, r] / sqrt(D)      A = softmax_r(S)      o[d, p] = sum_r A[p, r] v[d, r]
//! dA[p, r] = sum_d do[d, p] v[d, r]              dS = A (dA - sum_r A dA)
//! dq = dS k / sqrt(D)      dk = dS^T q / sqrt(D)      dv[d, r] = sum_p do[d, p] A[p, r]
//! ```
//!
//! Queries, keys and values travel as one tensor [B, 3, heads, D, P], which is what three 1x1
//! convolutions joined along channels give. One image and head at a time, spread over threads: no
//! P x P map outlives its head, where candle's composed operations keep several per head and image.
//! (`candle_nn::ops::softmax_last_dim` would drop the gradient.)

use candle_core::{CpuStorage, CustomOp1, CustomOp2, D, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::matrix::{Real, Strides, Write, multiply};
use super::tensor::{by_dtype, values};

/// `qkv` [B, 3, heads, D, P] to [B, heads, D, P].
pub fn attend(qkv: &Tensor) -> Result<Tensor> {
    if qkv.device().is_cpu() {
        return qkv.contiguous()?.apply_op1(Attend);
    }
    mix(&weights(qkv)?, qkv)
}

/// Attention logits `S` [B, heads, P, P].
pub fn logits(qkv: &Tensor) -> Result<Tensor> {
    let (q, k) = (part(qkv, 0)?, part(qkv, 1)?);
    let width = q.dim(2)? as f64;
    q.transpose(2, 3)?.contiguous()?.matmul(&k)? * width.sqrt().recip()
}

/// Attention weights `A` [B, heads, P, P]; rows sum to one.
pub fn weights(qkv: &Tensor) -> Result<Tensor> {
    candle_nn::ops::softmax(&logits(qkv)?, D::Minus1)
}

/// Values of `qkv` mixed by given weights [B, heads, P, P]: [B, heads, D, P].
pub fn mix(weights: &Tensor, qkv: &Tensor) -> Result<Tensor> {
    part(qkv, 2)?.matmul(&weights.transpose(2, 3)?.contiguous()?)
}

/// Queries (0), keys (1) or values (2).
fn part(qkv: &Tensor, which: usize) -> Result<Tensor> {
    qkv.narrow(1, which, 1)?.squeeze(1)?.contiguous()
}

/// Sizes of one call.
#[derive(Clone, Copy)]
struct Sizes {
    heads: usize,
    width: usize,
    n_pixels: usize,
}

impl Sizes {
    fn of(qkv: &Layout) -> Result<(usize, Self)> {
        let (batch, _, heads, width, n_pixels) = qkv.shape().dims5()?;
        Ok((batch, Self { heads, width, n_pixels }))
    }

    /// Values of one head's queries.
    fn per_head(self) -> usize {
        self.width * self.n_pixels
    }

    /// One head's q, k and v out of one image's `[3, heads, D, P]`.
    fn head<T>(self, image: &[T], head: usize) -> [&[T]; 3] {
        [0, 1, 2].map(|which| {
            let start = (which * self.heads + head) * self.per_head();
            &image[start..start + self.per_head()]
        })
    }

    /// `[D, P]`.
    fn feature(self) -> Strides {
        Strides::by_rows(self.width, self.n_pixels, self.n_pixels)
    }

    /// `[P, P]`.
    fn map(self) -> Strides {
        Strides::by_rows(self.n_pixels, self.n_pixels, self.n_pixels)
    }

    fn scale<T: Real>(self) -> T {
        T::from_f64((self.width as f64).sqrt().recip())
    }
}

/// `A` of one head into `map`.
fn softmax_map<T: Real>(sizes: Sizes, q: &[T], k: &[T], map: &mut [T]) {
    let left = sizes.feature().transposed();
    multiply(Write::Overwrite, (map, sizes.map()), (q, left), (k, sizes.feature()));
    let scale = sizes.scale::<T>();
    for row in map.chunks_exact_mut(sizes.n_pixels) {
        let largest = fold(row, row[0], T::larger);
        row.iter_mut().for_each(|v| *v = Real::exp((*v - largest) * scale));
        let inverse = T::one() / fold(row, T::zero(), |a, b| a + b);
        row.iter_mut().for_each(|v| *v *= inverse);
    }
}

/// A reduction in eight interleaved parts: a fixed order that becomes vector instructions.
fn fold<T: Real>(row: &[T], start: T, combine: impl Fn(T, T) -> T) -> T {
    let mut parts = [start; 8];
    let mut chunks = row.chunks_exact(8);
    for chunk in &mut chunks {
        parts.iter_mut().zip(chunk).for_each(|(part, &v)| *part = combine(*part, v));
    }
    let rest = chunks.remainder().iter().fold(start, |total, &v| combine(total, v));
    parts.into_iter().fold(rest, combine)
}

struct Attend;

impl CustomOp1 for Attend {
    fn name(&self) -> &'static str {
        "attend"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, sizes) = Sizes::of(layout)?;
        by_dtype!(qkv, T => {
            let out = forward(values::<T>(qkv, layout)?, sizes, batch);
            let shape = Shape::from((batch, sizes.heads, sizes.width, sizes.n_pixels));
            Ok((candle_core::WithDType::to_cpu_storage_owned(out), shape))
        })
    }

    fn bwd(&self, qkv: &Tensor, _out: &Tensor, dout: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(qkv.apply_op2_no_bwd(&dout.contiguous()?, &AttendGradient)?))
    }
}

fn forward<T: Real>(qkv: &[T], sizes: Sizes, batch: usize) -> Vec<T> {
    let per_image = 3 * sizes.heads * sizes.per_head();
    let mut out = vec![T::zero(); batch * sizes.heads * sizes.per_head()];
    let heads = out.par_chunks_mut(sizes.per_head()).enumerate();
    heads.for_each_init(
        || vec![T::zero(); sizes.n_pixels * sizes.n_pixels],
        |map, (index, out)| {
            let image = &qkv[index / sizes.heads * per_image..][..per_image];
            let [q, k, v] = sizes.head(image, index % sizes.heads);
            softmax_map(sizes, q, k, map);
            let right = sizes.map().transposed();
            multiply(Write::Overwrite, (out, sizes.feature()), (v, sizes.feature()), (map, right));
        },
    );
    out
}

/// `dqkv` from (`qkv`, `dout`).
struct AttendGradient;

impl CustomOp2 for AttendGradient {
    fn name(&self) -> &'static str {
        "attend-gradient"
    }

    fn cpu_fwd(
        &self,
        qkv: &CpuStorage,
        layout: &Layout,
        dout: &CpuStorage,
        dout_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (_, sizes) = Sizes::of(layout)?;
        by_dtype!(qkv, T => {
            let (qkv, dout) = (values::<T>(qkv, layout)?, values::<T>(dout, dout_layout)?);
            let dqkv = backward(qkv, dout, sizes);
            Ok((candle_core::WithDType::to_cpu_storage_owned(dqkv), layout.shape().clone()))
        })
    }
}

fn backward<T: Real>(qkv: &[T], dout: &[T], sizes: Sizes) -> Vec<T> {
    let (per_head, area) = (sizes.per_head(), sizes.n_pixels * sizes.n_pixels);
    let per_image = 3 * sizes.heads * per_head;
    let mut out = vec![T::zero(); qkv.len()];
    let images = out.par_chunks_mut(per_image).zip(qkv.par_chunks(per_image));
    images.zip(dout.par_chunks(sizes.heads * per_head)).for_each_init(
        || (vec![T::zero(); area], vec![T::zero(); area]),
        |(map, slope), ((out, image), dout)| {
            for head in 0..sizes.heads {
                let dout = &dout[head * per_head..(head + 1) * per_head];
                let [dq, dk, dv] = [0, 1, 2].map(|which| (which * sizes.heads + head) * per_head);
                let parts = sizes.head(image, head);
                softmax_map(sizes, parts[0], parts[1], map);
                head_gradient(sizes, parts, dout, (map, slope), |which, product| {
                    product(&mut out[[dq, dk, dv][which]..][..per_head]);
                });
            }
        },
    );
    out
}

/// Gradients of one head; `store(0..3, f)` lets `f` write those of q, k and v in their places.
fn head_gradient<T: Real>(
    sizes: Sizes,
    [q, k, v]: [&[T]; 3],
    dout: &[T],
    (map, slope): (&[T], &mut [T]),
    mut store: impl FnMut(usize, &dyn Fn(&mut [T])),
) {
    let (feature, square) = (sizes.feature(), sizes.map());
    store(2, &|dv| {
        multiply(Write::Overwrite, (dv, feature), (dout, feature), (map, square));
    });
    multiply(Write::Overwrite, (slope, square), (dout, feature.transposed()), (v, feature));
    let scale = sizes.scale::<T>();
    for (slope, map) in slope.chunks_exact_mut(sizes.n_pixels).zip(map.chunks(sizes.n_pixels)) {
        let mut mean = T::zero();
        slope.iter().zip(map).for_each(|(&slope, &weight)| mean += slope * weight);
        for (slope, &weight) in slope.iter_mut().zip(map) {
            *slope = weight * (*slope - mean) * scale;
        }
    }
    let slope = &*slope;
    store(0, &|dq| {
        multiply(Write::Overwrite, (dq, feature), (k, feature), (slope, square.transposed()));
    });
    store(1, &|dk| multiply(Write::Overwrite, (dk, feature), (q, feature), (slope, square)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::ops::tensor::check;

    #[test]
    fn attention_and_its_gradient_match_the_composed_operations() {
        for shape in [[2, 3, 1, 4, 6], [3, 3, 2, 5, 7], [1, 3, 1, 1, 1]] {
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
