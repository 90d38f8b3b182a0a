//! Group normalisation with a scale and shift per channel (Wu & He, arXiv 1803.08494).
//!
//! ```text
//! xhat = (x - mean) / sqrt(var + 1e-5)     over one image's group of channels and all its pixels
//! y = gamma[c] xhat + beta[c]
//! dx = (h - mean(h) - xhat mean(h xhat)) / sqrt(var + 1e-5),     h = gamma[c] dy
//! ```
//!
//! Works on [B, C] and [B, C, H, W]. candle's own is right but spends most of its time on temporaries.

use candle_core::{Result, Shape, Tensor};
use pulp::Arch;
use rayon::prelude::*;

use super::candle_numbers::Real;
use super::operation_times::Work;
use super::tensor::{Computed, Gradients, Op, Operation, PIECE_MIN, by_image};

/// PyTorch's default.
const EPSILON: f64 = 1e-5;

/// `x` `[B, C, ...]`, `gamma` `[C]`, `beta` `[C]`; `n_groups` divides C.
///
/// # Errors
///
/// If a tensor operation fails; on the CPU, if the tensors are not all in `f32` or all in `f64`.
pub fn group_norm(x: &Tensor, gamma: &Tensor, beta: &Tensor, n_groups: usize) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return composed(x, gamma, beta, n_groups);
    }
    let op = Op(GroupNorm { n_groups });
    x.contiguous()?.apply_op3(&gamma.contiguous()?, &beta.contiguous()?, op)
}

fn composed(x: &Tensor, gamma: &Tensor, beta: &Tensor, n_groups: usize) -> Result<Tensor> {
    let (batch, channels) = (x.dim(0)?, x.dim(1)?);
    let grouped = x.reshape((batch, n_groups, ()))?;
    let centred = grouped.broadcast_sub(&grouped.mean_keepdim(2)?)?;
    let deviation = (centred.sqr()?.mean_keepdim(2)? + EPSILON)?.sqrt()?;
    let normal = centred.broadcast_div(&deviation)?.reshape((batch, channels, ()))?;
    let per_channel = |v: &Tensor| v.reshape((1, channels, 1));
    normal
        .broadcast_mul(&per_channel(gamma)?)?
        .broadcast_add(&per_channel(beta)?)?
        .reshape(x.shape())
}

struct GroupNorm {
    n_groups: usize,
}

/// Sums that are kept side by side, so that vectors can hold them and rounding errors stay small.
const COLUMNS: usize = 16;

/// Two sums over pairs of values.
#[inline(always)]
fn sums<T: Real>(x: &[T], y: &[T], of: impl Fn(T, T) -> [T; 2]) -> [T; 2] {
    if x.len() < COLUMNS {
        // Such as the single value of a channel without pixels.
        return x.iter().zip(y).fold([T::ZERO; 2], |[first, second], (&x, &y)| {
            let [a, b] = of(x, y);
            [first + a, second + b]
        });
    }
    let mut columns = [[T::ZERO; COLUMNS]; 2];
    let (x, y) = (x.as_chunks::<COLUMNS>(), y.as_chunks::<COLUMNS>());
    for (x, y) in x.0.iter().zip(y.0) {
        for i in 0..COLUMNS {
            let [a, b] = of(x[i], y[i]);
            columns[0][i] += a;
            columns[1][i] += b;
        }
    }
    for (i, (&x, &y)) in x.1.iter().zip(y.1).enumerate() {
        let [a, b] = of(x, y);
        columns[0][i] += a;
        columns[1][i] += b;
    }
    columns.map(|column| column.into_iter().fold(T::ZERO, |sum, v| sum + v))
}

/// Mean and inverse deviation of one group.
#[inline(always)]
fn moments<T: Real>(group: &[T]) -> (T, T) {
    let n = T::number(group.len() as f64);
    let mean = sums(group, group, |v, _| [v, T::ZERO])[0] / n;
    let squares = sums(group, group, |v, _| [(v - mean) * (v - mean), T::ZERO])[0];
    (mean, T::one() / Real::sqrt(squares / n + T::number(EPSILON)))
}

impl Operation<3> for GroupNorm {
    const NAME: &'static str = "group-norm";
    const WORK: Option<Work> = Some(Work::Norm);

    fn compute<T: Real>(&self, [x, gamma, beta]: [&[T]; 3], shapes: [&Shape; 3]) -> Computed<T> {
        let per_image = x.len() / shapes[0].dims()[0];
        let (n_pixels, per_group) = (per_image / gamma.len(), per_image / self.n_groups);
        let out = by_image([x], per_image, |out, [x]| {
            for (g, (out, x)) in out.chunks_mut(per_group).zip(x.chunks(per_group)).enumerate() {
                let (mean, inverse) = moments(x);
                let first = g * per_group / n_pixels;
                for (c, (out, x)) in out.chunks_mut(n_pixels).zip(x.chunks(n_pixels)).enumerate() {
                    let scale = gamma[first + c] * inverse;
                    let shift = beta[first + c] - mean * scale;
                    out.iter_mut().zip(x).for_each(|(out, &x)| *out = x * scale + shift);
                }
            }
        });
        Ok((out, shapes[0].clone()))
    }

    fn gradients(&self, [x, gamma, _]: [&Tensor; 3], _y: &Tensor, dy: &Tensor) -> Gradients<3> {
        let (dy, gamma, n_groups) = (dy.contiguous()?, gamma.contiguous()?, self.n_groups);
        let dx = x.apply_op3_no_bwd(&gamma, &dy, &Op(InputGradient { n_groups }))?;
        let sums = x.apply_op2_no_bwd(&dy, &Op(AffineGradient { n_groups }))?;
        Ok([Some(dx), Some(sums.get(0)?), Some(sums.get(1)?)])
    }
}

/// `dx` from (`x`, `gamma`, `dy`).
struct InputGradient {
    n_groups: usize,
}

impl Operation<3> for InputGradient {
    const NAME: &'static str = "group-norm-input-gradient";
    const WORK: Option<Work> = Some(Work::NormGradient);

    fn compute<T: Real>(&self, [x, gamma, dy]: [&[T]; 3], shapes: [&Shape; 3]) -> Computed<T> {
        let per_image = x.len() / shapes[0].dims()[0];
        let (n_pixels, per_group) = (per_image / gamma.len(), per_image / self.n_groups);
        let n = T::number(per_group as f64);
        let out = by_image([x, dy], per_image, |out, [x, dy]| {
            for g in 0..self.n_groups {
                let range = g * per_group..(g + 1) * per_group;
                let (out, x, dy) = (&mut out[range.clone()], &x[range.clone()], &dy[range.clone()]);
                let (mean, inverse) = moments(x);
                let gamma = &gamma[range.start / n_pixels..];
                let (mut sum, mut product) = (T::ZERO, T::ZERO);
                for ((x, dy), &gamma) in x.chunks(n_pixels).zip(dy.chunks(n_pixels)).zip(gamma) {
                    let [a, b] = sums(x, dy, |x, dy| [dy, dy * (x - mean)]);
                    sum += gamma * a;
                    product += gamma * b * inverse;
                }
                let (sum, product) = (sum / n, product / n);
                let planes =
                    out.chunks_mut(n_pixels).zip(x.chunks(n_pixels)).zip(dy.chunks(n_pixels));
                for (((out, x), dy), &gamma) in planes.zip(gamma) {
                    for ((out, &x), &dy) in out.iter_mut().zip(x).zip(dy) {
                        *out = inverse * (gamma * dy - sum - (x - mean) * inverse * product);
                    }
                }
            }
        });
        Ok((out, shapes[0].clone()))
    }
}

/// `[2, C]`: the gradients of gamma and beta, from (`x`, `dy`).
struct AffineGradient {
    n_groups: usize,
}

impl Operation<2> for AffineGradient {
    const NAME: &'static str = "group-norm-affine-gradient";
    const WORK: Option<Work> = Some(Work::NormGradient);

    fn compute<T: Real>(&self, [x, dy]: [&[T]; 2], shapes: [&Shape; 2]) -> Computed<T> {
        let (batch, channels) = (shapes[0].dims()[0], shapes[0].dims()[1]);
        let per_image = x.len() / batch;
        let (n_pixels, per_group) = (per_image / channels, per_image / self.n_groups);
        // Every image's own, summed in order: the threads' number changes nothing.
        let image = |(x, dy): (&[T], &[T])| {
            let mut of_image = vec![T::ZERO; 2 * channels];
            for (g, (x, dy)) in x.chunks(per_group).zip(dy.chunks(per_group)).enumerate() {
                let (mean, inverse) = moments(x);
                let first = g * per_group / n_pixels;
                for (c, (x, dy)) in x.chunks(n_pixels).zip(dy.chunks(n_pixels)).enumerate() {
                    let [sum, product] = sums(x, dy, |x, dy| [dy, dy * (x - mean)]);
                    of_image[first + c] = product * inverse;
                    of_image[channels + first + c] = sum;
                }
            }
            of_image
        };
        let images = x.par_chunks(per_image).zip(dy.par_chunks(per_image));
        let images = images.with_min_len(PIECE_MIN.div_ceil(per_image));
        let each: Vec<Vec<T>> = images.map(|each| Arch::new().dispatch(|| image(each))).collect();
        let mut total = vec![T::ZERO; 2 * channels];
        for of_image in &each {
            total.iter_mut().zip(of_image).for_each(|(total, &value)| *total += value);
        }
        Ok((total, Shape::from((2, channels))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::ops::tensor::check;

    #[test]
    fn group_norm_and_its_gradients_match_the_composed_formula() {
        for shape in [&[3, 8, 3, 5][..], &[1, 8, 1, 1], &[4, 8]] {
            for n_groups in [1, 4] {
                let inputs = [
                    check::pseudo_random(shape, 1),
                    check::pseudo_random(&[8], 2),
                    check::pseudo_random(&[8], 3),
                ];
                check::same_values_and_gradients(
                    &inputs,
                    |v| group_norm(&v[0], &v[1], &v[2], n_groups),
                    |v| composed(&v[0], &v[1], &v[2], n_groups),
                );
            }
        }
    }
}
