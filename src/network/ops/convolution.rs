//! Same-padding convolution with bias and, on request, ReLU; stride 1, odd kernels.
//!
//! ```text
//! y[b, o, p] = act( bias[o] + sum_{i, s} w[o, i, s] x[b, i, p + s] )       s in [-r, r]^2
//! dx = the same convolution of dy with w flipped in s and transposed in (o, i)
//! dw[o, i, s] = sum_{b, p} dy[b, o, p] x[b, i, p + s]
//! ```
//!
//! candle's native backward is about eight times slower than PyTorch's: its input gradient is a
//! transposed convolution of per-pixel dot products, its weight gradient a convolution with an
//! image-sized kernel. Here each of the three is one matrix product per image and band of rows
//! ([`super::patches`]), images spread over threads. A 1x1 kernel needs no patches.
//!
//! The weight gradient sums images in `GROUPS` fixed groups, so its bits do not depend on threads.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::channels::{ReluGradient, channel_sums};
use super::matrix::{Real, Strides, Write, multiply};
use super::patches::{Geometry, gather};
use super::tensor::{by_dtype, values};
use crate::network::config::Padding;

/// What follows a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    None,
    Relu,
}

/// Partial sums of the weight gradient; more than the threads of a small machine, few to add up.
const GROUPS: usize = 16;

/// `x` [B, I, H, W], `weight` [O, I, k, k], `bias` [O] to [B, O, H, W].
pub fn convolve(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    padding: Padding,
    activation: Activation,
) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return composed(x, weight, bias, padding, activation);
    }
    let op = Convolution { padding, activation };
    x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, op)
}

/// The same from candle's operations, for devices that our kernels do not know.
fn composed(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    padding: Padding,
    activation: Activation,
) -> Result<Tensor> {
    let radius = weight.dim(2)? / 2;
    let y = match padding {
        Padding::Circular if radius > 0 => {
            wrap(&wrap(x, 2, radius)?, 3, radius)?.contiguous()?.conv2d(weight, 0, 1, 1, 1)?
        }
        _ => x.conv2d(weight, radius, 1, 1, 1)?,
    };
    let y = y.broadcast_add(&bias.reshape((1, (), 1, 1))?)?;
    match activation {
        Activation::None => Ok(y),
        Activation::Relu => super::channels::relu(&y),
    }
}

/// Appends `radius` wrapped-around rows (or columns) on both sides of `dim`.
fn wrap(x: &Tensor, dim: usize, radius: usize) -> Result<Tensor> {
    let length = x.dim(dim)?;
    if radius > length {
        bail!("a circular kernel of radius {radius} on a side of {length} pixels");
    }
    Tensor::cat(&[&x.narrow(dim, length - radius, radius)?, x, &x.narrow(dim, 0, radius)?], dim)
}

struct Convolution {
    padding: Padding,
    activation: Activation,
}

impl CustomOp3 for Convolution {
    fn name(&self) -> &'static str {
        "same-padding-convolution"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (batch, geometry) = geometry(x_layout, weight_layout, self.padding)?;
        by_dtype!(x, T => {
            let bias = values::<T>(bias, bias_layout)?;
            let (x, weight) = (values::<T>(x, x_layout)?, values::<T>(weight, weight_layout)?);
            let out = forward(x, weight, Some((bias, self.activation)), &geometry);
            Ok((wrap_storage(out), image_shape(batch, &geometry)))
        })
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _bias: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let mut dy = dy.contiguous()?;
        if self.activation == Activation::Relu {
            dy = dy.apply_op2_no_bwd(y, &ReluGradient)?;
        }
        let dx = match x.track_op() {
            true => Some(dy.apply_op2_no_bwd(weight, &InputGradient { padding: self.padding })?),
            false => None,
        };
        let kernel = weight.dim(2)?;
        let dw = x.apply_op2_no_bwd(&dy, &WeightGradient { padding: self.padding, kernel })?;
        Ok((dx, Some(dw), Some(channel_sums(&dy)?)))
    }
}

/// `dx` from `dy` [B, O, H, W] and `weight` [O, I, k, k].
struct InputGradient {
    padding: Padding,
}

impl CustomOp2 for InputGradient {
    fn name(&self) -> &'static str {
        "convolution-input-gradient"
    }

    fn cpu_fwd(
        &self,
        dy: &CpuStorage,
        dy_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (batch, c_out, height, width) = dy_layout.shape().dims4()?;
        let (_, c_in, kernel, _) = weight_layout.shape().dims4()?;
        let padding = self.padding;
        let transposed = Geometry { c_in: c_out, c_out: c_in, height, width, kernel, padding };
        by_dtype!(dy, T => {
            let flipped = flip(values::<T>(weight, weight_layout)?, c_out, c_in, kernel * kernel);
            let dx = forward(values::<T>(dy, dy_layout)?, &flipped, None, &transposed);
            Ok((wrap_storage(dx), image_shape(batch, &transposed)))
        })
    }
}

/// `dw` from `x` [B, I, H, W] and `dy` [B, O, H, W].
struct WeightGradient {
    padding: Padding,
    kernel: usize,
}

impl CustomOp2 for WeightGradient {
    fn name(&self) -> &'static str {
        "convolution-weight-gradient"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        dy: &CpuStorage,
        dy_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (_, c_in, height, width) = x_layout.shape().dims4()?;
        let c_out = dy_layout.shape().dims4()?.1;
        let (kernel, padding) = (self.kernel, self.padding);
        let geometry = Geometry { c_in, c_out, height, width, kernel, padding };
        by_dtype!(x, T => {
            let (x, dy) = (values::<T>(x, x_layout)?, values::<T>(dy, dy_layout)?);
            let dw = weight_gradient(x, dy, &geometry);
            Ok((wrap_storage(dw), Shape::from((c_out, c_in, kernel, kernel))))
        })
    }
}

fn wrap_storage<T: Real>(out: Vec<T>) -> CpuStorage {
    T::to_cpu_storage_owned(out)
}

fn image_shape(batch: usize, geometry: &Geometry) -> Shape {
    Shape::from((batch, geometry.c_out, geometry.height, geometry.width))
}

fn geometry(x: &Layout, weight: &Layout, padding: Padding) -> Result<(usize, Geometry)> {
    let (batch, c_in, height, width) = x.shape().dims4()?;
    let (c_out, expected, kernel, kernel_width) = weight.shape().dims4()?;
    if expected != c_in || kernel != kernel_width || kernel % 2 == 0 {
        bail!("a {:?} kernel does not fit {:?}", weight.shape(), x.shape());
    }
    Ok((batch, Geometry { c_in, c_out, height, width, kernel, padding }))
}

/// One matrix product per image and band: `[O, depth] x [depth, pixels]`.
fn forward<T: Real>(
    x: &[T],
    weight: &[T],
    finish: Option<(&[T], Activation)>,
    geometry: &Geometry,
) -> Vec<T> {
    let (n_pixels, depth) = (geometry.n_pixels(), geometry.depth());
    let (n_in, n_out) = (geometry.c_in * n_pixels, geometry.c_out * n_pixels);
    let left = Strides::by_rows(geometry.c_out, depth, depth);
    let mut out = vec![T::zero(); x.len() / n_in * n_out];
    let one_image = |columns: &mut Vec<T>, (out, image): (&mut [T], &[T])| {
        if geometry.kernel == 1 {
            let right = Strides::by_rows(depth, n_pixels, n_pixels);
            let product = Strides::by_rows(geometry.c_out, n_pixels, n_pixels);
            multiply(Write::Overwrite, (out, product), (weight, left), (image, right));
        } else {
            columns.resize(geometry.band_values(), T::zero());
            for band in geometry.bands() {
                let n = gather(image, geometry, &band, columns);
                let product = Strides::by_rows(geometry.c_out, n, n_pixels);
                let out = &mut out[band.start * geometry.width..];
                let right = Strides::by_rows(depth, n, n);
                multiply(Write::Overwrite, (out, product), (weight, left), (columns, right));
            }
        }
        if let Some((bias, activation)) = finish {
            add_bias(out, bias, activation, n_pixels);
        }
    };
    out.par_chunks_mut(n_out).zip(x.par_chunks(n_in)).for_each_init(Vec::new, one_image);
    out
}

fn add_bias<T: Real>(out: &mut [T], bias: &[T], activation: Activation, n_pixels: usize) {
    for (plane, &bias) in out.chunks_exact_mut(n_pixels).zip(bias) {
        match activation {
            Activation::None => plane.iter_mut().for_each(|v| *v += bias),
            Activation::Relu => plane.iter_mut().for_each(|v| *v = (*v + bias).larger(T::zero())),
        }
    }
}

/// `[O, I, S]` to `[I, O, S]` with S reversed.
fn flip<T: Real>(weight: &[T], c_out: usize, c_in: usize, area: usize) -> Vec<T> {
    let mut flipped = Vec::with_capacity(weight.len());
    for i in 0..c_in {
        for o in 0..c_out {
            let start = (o * c_in + i) * area;
            flipped.extend(weight[start..start + area].iter().rev());
        }
    }
    flipped
}

/// Sum over images and bands of `[O, pixels] x [pixels, depth]`.
fn weight_gradient<T: Real>(x: &[T], dy: &[T], geometry: &Geometry) -> Vec<T> {
    let (n_pixels, depth) = (geometry.n_pixels(), geometry.depth());
    let (n_in, n_out) = (geometry.c_in * n_pixels, geometry.c_out * n_pixels);
    let batch = x.len() / n_in;
    let per_group = batch.div_ceil(GROUPS);
    let one_group = |(x, dy): (&[T], &[T])| {
        let mut sum = vec![T::zero(); geometry.c_out * depth];
        let product = Strides::by_rows(geometry.c_out, depth, depth);
        let mut columns =
            vec![T::zero(); if geometry.kernel == 1 { 0 } else { geometry.band_values() }];
        for (image, dy) in x.chunks_exact(n_in).zip(dy.chunks_exact(n_out)) {
            if geometry.kernel == 1 {
                let left = Strides::by_rows(geometry.c_out, n_pixels, n_pixels);
                let right = Strides::by_rows(depth, n_pixels, n_pixels).transposed();
                multiply(Write::Add, (&mut sum, product), (dy, left), (image, right));
                continue;
            }
            for band in geometry.bands() {
                let n = gather(image, geometry, &band, &mut columns);
                let left = Strides::by_rows(geometry.c_out, n, n_pixels);
                let right = Strides::by_rows(depth, n, n).transposed();
                let dy = &dy[band.start * geometry.width..];
                multiply(Write::Add, (&mut sum, product), (dy, left), (&columns, right));
            }
        }
        sum
    };
    let groups = x.par_chunks(per_group * n_in).zip(dy.par_chunks(per_group * n_out));
    let sums: Vec<Vec<T>> = groups.map(one_group).collect();
    let mut total = vec![T::zero(); geometry.c_out * depth];
    for sum in sums {
        total.iter_mut().zip(sum).for_each(|(total, v)| *total += v);
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::ops::tensor::check;

    /// batch, c_in, c_out, height, width, kernel
    const ODD_SHAPES: [[usize; 6]; 6] = [
        [2, 1, 1, 1, 1, 3],
        [3, 2, 5, 4, 7, 3],
        [1, 3, 2, 6, 5, 1],
        [17, 1, 3, 5, 2, 5],
        [2, 3, 1, 3, 3, 3],
        [1, 40, 24, 20, 18, 3],
    ];

    #[test]
    fn convolution_and_its_gradients_match_candles_native_ones() {
        for [batch, c_in, c_out, height, width, kernel] in ODD_SHAPES {
            for padding in [Padding::Zeros, Padding::Circular] {
                if padding == Padding::Circular && kernel / 2 > height.min(width) {
                    continue;
                }
                for activation in [Activation::None, Activation::Relu] {
                    let inputs = [
                        check::pseudo_random(&[batch, c_in, height, width], 1),
                        check::pseudo_random(&[c_out, c_in, kernel, kernel], 2),
                        check::pseudo_random(&[c_out], 3),
                    ];
                    check::same_values_and_gradients(
                        &inputs,
                        |v| convolve(&v[0], &v[1], &v[2], padding, activation),
                        |v| composed(&v[0], &v[1], &v[2], padding, activation),
                    );
                }
            }
        }
    }

    #[test]
    fn a_transposed_input_is_convolved_as_its_copy() {
        let x = check::pseudo_random(&[2, 3, 5, 4], 1).transpose(2, 3).unwrap();
        let (w, b) = (check::pseudo_random(&[2, 3, 3, 3], 2), check::pseudo_random(&[2], 3));
        let run = |x: &Tensor| convolve(x, &w, &b, Padding::Circular, Activation::Relu).unwrap();
        check::assert_close(&run(&x), &run(&x.contiguous().unwrap()), 0.0);
    }

    #[test]
    fn the_weight_gradient_has_the_same_bits_on_any_number_of_threads() {
        let inputs = [
            check::pseudo_random(&[37, 5, 9, 8], 1),
            check::pseudo_random(&[6, 5, 3, 3], 2),
            check::pseudo_random(&[6], 3),
        ];
        let gradients = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                check::gradients(&inputs, |v| {
                    convolve(&v[0], &v[1], &v[2], Padding::Zeros, Activation::Relu)
                })
            })
        };
        for (one, three) in gradients(1).iter().zip(&gradients(3)) {
            check::assert_close(one, three, 0.0);
        }
    }
}
