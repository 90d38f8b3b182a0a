//! Normalisation of each pixel's features over channels (layer normalisation without scale and shift,
//! which a following 1x1 convolution has already).
//!
//! ```text
//! xhat[c, p] = (x[c, p] - mean_c) / sqrt(var_c + 1e-5)
//! dx = (dy - mean_c(dy) - xhat mean_c(dy xhat)) / sqrt(var_c + 1e-5)
//! ```
//!
//! Pixels do not see each other, so unlike group normalisation over an image it keeps locality.
//! (`candle_nn::ops::layer_norm` drops gradients and wants channels last.)

use candle_core::{Result, Shape, Tensor};

use super::candle_numbers::Real;
use super::operation_times::Work;
use super::tensor::{Computed, Gradients, Op, Operation, by_image};

/// PyTorch's default.
const EPSILON: f64 = 1e-5;

/// `x` [B, C, H, W], normalised over C.
///
/// # Errors
///
/// If a tensor operation fails; on the CPU, if `x` has not four dimensions, or is neither in `f32` nor in
/// `f64`.
pub fn pixel_norm(x: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() {
        return x.contiguous()?.apply_op1(Op(PixelNorm));
    }
    composed(x)
}

fn composed(x: &Tensor) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(1)?)?;
    centred.broadcast_div(&(centred.sqr()?.mean_keepdim(1)? + EPSILON)?.sqrt()?)
}

struct PixelNorm;

impl Operation<1> for PixelNorm {
    const NAME: &'static str = "pixel-norm";
    const WORK: Option<Work> = Some(Work::Norm);

    fn compute<T: Real>(&self, [x]: [&[T]; 1], [shape]: [&Shape; 1]) -> Computed<T> {
        let (_, channels, height, width) = shape.dims4()?;
        let n_pixels = height * width;
        let out = by_image([x], channels * n_pixels, |out, [x]| normalise(x, n_pixels, out));
        Ok((out, shape.clone()))
    }

    fn gradients(&self, [x]: [&Tensor; 1], _: &Tensor, dy: &Tensor) -> Gradients<1> {
        Ok([Some(x.apply_op2_no_bwd(&dy.contiguous()?, &Op(PixelNormGradient))?)])
    }
}

/// Mean over channels of `of(p, x, y)` for every pixel p.
#[inline(always)]
fn mean<T: Real>(x: &[T], y: &[T], n_pixels: usize, of: impl Fn(usize, T, T) -> T) -> Vec<T> {
    let share = T::one() / T::number((x.len() / n_pixels) as f64);
    let mut means = vec![T::ZERO; n_pixels];
    for (x, y) in x.chunks_exact(n_pixels).zip(y.chunks_exact(n_pixels)) {
        for (p, (mean, (&x, &y))) in means.iter_mut().zip(x.iter().zip(y)).enumerate() {
            *mean += of(p, x, y) * share;
        }
    }
    means
}

/// Mean and inverse deviation of every pixel of one image.
#[inline(always)]
fn moments<T: Real>(x: &[T], n_pixels: usize) -> (Vec<T>, Vec<T>) {
    let means = mean(x, x, n_pixels, |_, x, _| x);
    let known = &means[..n_pixels];
    let mut inverse = mean(x, x, n_pixels, |p, x, _| (x - known[p]) * (x - known[p]));
    inverse.iter_mut().for_each(|v| *v = T::one() / Real::sqrt(*v + T::number(EPSILON)));
    (means, inverse)
}

/// One image, `[C, P]`, normalised over channels into `out`.
#[inline(always)]
pub fn normalise<T: Real>(x: &[T], n_pixels: usize, out: &mut [T]) {
    let (means, inverse) = moments(x, n_pixels);
    for (out, x) in out.chunks_exact_mut(n_pixels).zip(x.chunks_exact(n_pixels)) {
        let moments = means.iter().zip(&inverse);
        for ((out, &x), (&mean, &inverse)) in out.iter_mut().zip(x).zip(moments) {
            *out = (x - mean) * inverse;
        }
    }
}

/// The gradient of one image, `[C, P]`, from that of the normalised one, `dy`, into `out`.
#[inline(always)]
pub fn normalise_gradient<T: Real>(x: &[T], dy: &[T], n_pixels: usize, out: &mut [T]) {
    let (means, inverse) = moments(x, n_pixels);
    let (means, inverse) = (&means[..n_pixels], &inverse[..n_pixels]);
    let normal = |p: usize, x: T| (x - means[p]) * inverse[p];
    let slope = mean(x, dy, n_pixels, |_, _, dy| dy);
    let product = mean(x, dy, n_pixels, |p, x, dy| dy * normal(p, x));
    let (slope, product) = (&slope[..n_pixels], &product[..n_pixels]);
    let planes = x.chunks_exact(n_pixels).zip(dy.chunks_exact(n_pixels));
    for (out, (x, dy)) in out.chunks_exact_mut(n_pixels).zip(planes) {
        for (p, (out, (&x, &dy))) in out.iter_mut().zip(x.iter().zip(dy)).enumerate() {
            *out = (dy - slope[p] - normal(p, x) * product[p]) * inverse[p];
        }
    }
}

/// `dx` from (`x`, `dy`).
struct PixelNormGradient;

impl Operation<2> for PixelNormGradient {
    const NAME: &'static str = "pixel-norm-gradient";
    const WORK: Option<Work> = Some(Work::NormGradient);

    fn compute<T: Real>(&self, [x, dy]: [&[T]; 2], shapes: [&Shape; 2]) -> Computed<T> {
        let (_, channels, height, width) = shapes[0].dims4()?;
        let n_pixels = height * width;
        let out = by_image([x, dy], channels * n_pixels, |out, [x, dy]| {
            normalise_gradient(x, dy, n_pixels, out);
        });
        Ok((out, shapes[0].clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::ops::tensor::check;

    #[test]
    fn pixel_norm_and_its_gradient_match_the_composed_formula() {
        for shape in [[2, 5, 3, 4], [1, 1, 1, 1], [3, 8, 1, 7]] {
            let inputs = [check::pseudo_random(&shape, 1)];
            check::same_values_and_gradients(&inputs, |v| pixel_norm(&v[0]), |v| composed(&v[0]));
        }
    }
}
