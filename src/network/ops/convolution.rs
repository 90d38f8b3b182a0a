//! Same-padding convolution, stride 1, odd kernels, with what surrounds it in a network.
//!
//! ```text
//! y[b, o, p] = bias[o] + sum_{i, s} w[o, i, s] (x[b, i, p + s] + e[b, i])       s in [-r, r]^2
//! out = y, relu(y) or x + relu(y)                                              see [`Form`]
//! dx = the same convolution of dy with w flipped in s and transposed in (o, i)
//! dw[o, i, s] = sum_{b, p} dy[b, o, p] (x[b, i, p + s] + e[b, i])
//! ```
//!
//! candle's native backward is about eight times slower than PyTorch's: its input gradient is a
//! transposed convolution of per-pixel dot products, its weight gradient a convolution with an
//! image-sized kernel. Here each of the three is one matrix product per image on the padded image as it
//! lies ([`super::padded_images`]), images spread over threads. All that surrounds the products, and all
//! gradients, are made in the same pass while an image is in the cache; apart, each would cost candle a
//! pass over memory and its gradient two more. A 1x1 kernel needs no padding.
//!
//! The gradients are in [`super::convolution_gradient`].

use std::sync::OnceLock;

use candle_core::{Result, Shape, Storage, Tensor, bail};
use rayon::prelude::*;

use super::candle_numbers::Real;
use super::convolution_gradient::{Active, Known, backward};
use super::convolution_operands::Biases;
use super::image_convolution::ImageConvolution;
use super::operation_times::{Work, timed};
use super::padded_images::Geometry;
use super::spare_buffers::SpareBuffers;
use super::tensor::{Computed, Gradients, Op, Operation, by_dtype, values};
use crate::network::network_config::Padding;

/// What is applied to the values `y` of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Plain,
    Relu,
    /// `x + relu(y)`: as many channels out as in.
    Residual,
}

/// Convolves `x`, `[B, I, H, W]`, with `weight`, `[O, I, k, k]`, and `bias`, `[O]`; returns `[B, O, H, W]`. `addend`,
/// `[B, I]`, is added to every pixel of the input of the convolution inside the image: not to a border of zeros, nor to
/// the `x` that a residual adds.
///
/// # Errors
///
/// If the shapes do not fit or `k` is even.
pub fn convolve(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    addend: Option<&Tensor>,
    padding: Padding,
    form: Form,
) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return composed(x, weight, bias, addend, padding, form);
    }
    // An operation takes three tensors at most.
    let biases = match addend {
        Some(addend) => Tensor::cat(&[bias, &addend.flatten_all()?], 0)?,
        None => bias.contiguous()?,
    };
    let is_tracked = x.track_op() || weight.track_op();
    let op = Op(Convolution { padding, form, is_tracked, is_active: OnceLock::new() });
    x.contiguous()?.apply_op3(&weight.contiguous()?, &biases, op)
}

/// Like [`convolve`], from candle's operations, for devices other than the CPU.
fn composed(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    addend: Option<&Tensor>,
    padding: Padding,
    form: Form,
) -> Result<Tensor> {
    let input = match addend {
        Some(addend) => &super::relu_and_channel_sums::add_per_channel(x, addend)?,
        None => x,
    };
    let radius = weight.dim(2)? / 2;
    let y = match padding {
        Padding::Circular if radius > 0 => {
            wrap(&wrap(input, 2, radius)?, 3, radius)?.contiguous()?.conv2d(weight, 0, 1, 1, 1)?
        }
        _ => input.conv2d(weight, radius, 1, 1, 1)?,
    };
    let y = y.broadcast_add(&bias.reshape((1, (), 1, 1))?)?;
    match form {
        Form::Plain => Ok(y),
        Form::Relu => super::relu_and_channel_sums::relu(&y),
        Form::Residual => x + super::relu_and_channel_sums::relu(&y)?,
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
    form: Form,
    /// Whether a gradient may be asked for.
    is_tracked: bool,
    /// For a residual: where `y` is above zero. (`out - x` is not precise enough where `y` is tiny.)
    is_active: OnceLock<Vec<bool>>,
}

impl Operation<3> for Convolution {
    const NAME: &'static str = "same-padding-convolution";
    const WORK: Option<Work> = Some(Work::Convolution);

    fn compute<T: Real>(
        &self,
        [x, weight, biases]: [&[T]; 3],
        [x_shape, weight_shape, _]: [&Shape; 3],
    ) -> Computed<T> {
        let (batch, geometry) = geometry(x_shape, weight_shape, self.padding)?;
        if self.form == Form::Residual && geometry.c_in != geometry.c_out {
            bail!("a residual of {} channels on {}", geometry.c_out, geometry.c_in);
        }
        let shape = Shape::from((batch, geometry.c_out, geometry.height, geometry.width));
        let biases = Biases::new(biases, batch, &geometry)?;
        let keeps = self.is_tracked && self.form == Form::Residual;
        let mut is_active = vec![false; if keeps { batch * geometry.n_out() } else { 0 }];
        let out = forward(x, weight, biases, &geometry, self.form, &mut is_active);
        // Only ever set here; an operation runs once.
        let _ = self.is_active.set(is_active);
        Ok((out, shape))
    }

    fn gradients(
        &self,
        [x, weight, biases]: [&Tensor; 3],
        out: &Tensor,
        dout: &Tensor,
    ) -> Gradients<3> {
        let _timer = timed(Work::ConvolutionGradient);
        let dout = dout.contiguous()?;
        let tensors = [x, weight, biases, out, &dout];
        let guards = tensors.map(|tensor| tensor.storage_and_layout());
        let [Some(x_of), Some(weight_of), Some(biases_of), Some(out_of), Some(dout_of)] =
            guards.each_ref().map(|(storage, layout)| match &**storage {
                Storage::Cpu(storage) => Some((storage, *layout)),
                _ => None,
            })
        else {
            bail!("a convolution's gradient was asked for on another device");
        };
        let (batch, geometry) = geometry(x.shape(), weight.shape(), self.padding)?;
        by_dtype!(x_of.0, T => {
            let saved = self.is_active.get().filter(|saved| !saved.is_empty());
            let is_active = match (self.form, saved) {
                (Form::Plain, _) => Active::Everywhere,
                (Form::Relu, _) => Active::Above(values::<T>(out_of.0, out_of.1)?),
                (Form::Residual, Some(saved)) => Active::Saved(saved),
                (Form::Residual, None) => bail!("a residual convolution ran without tracking gradients"),
            };
            let found = backward(&Known {
                x: values::<T>(x_of.0, x_of.1)?,
                weight: values::<T>(weight_of.0, weight_of.1)?,
                biases: Biases::new(values::<T>(biases_of.0, biases_of.1)?, batch, &geometry)?,
                dout: values::<T>(dout_of.0, dout_of.1)?,
                is_active,
                geometry,
                wants_dx: x.track_op(),
            });
            let tensor = |v: Vec<T>, like: &Tensor| Tensor::from_vec(v, like.shape(), like.device());
            let dx = if x.track_op() { Some(tensor(found.dx, x)?) } else { None };
            Ok([dx, Some(tensor(found.dw, weight)?), Some(tensor(found.dbiases, biases)?)])
        })
    }
}

fn geometry(x: &Shape, weight: &Shape, padding: Padding) -> Result<(usize, Geometry)> {
    let (batch, c_in, height, width) = x.dims4()?;
    let (c_out, expected, kernel, kernel_width) = weight.dims4()?;
    if expected != c_in || kernel != kernel_width || kernel % 2 == 0 {
        bail!("a {weight:?} kernel does not fit {x:?}");
    }
    Ok((batch, Geometry { c_in, c_out, height, width, kernel, padding }))
}

fn forward<T: Real>(
    x: &[T],
    weight: &[T],
    biases: Biases<'_, T>,
    geometry: &Geometry,
    form: Form,
    is_active: &mut [bool],
) -> Vec<T> {
    let (n_in, n_out) = (geometry.n_in(), geometry.n_out());
    let convolution = ImageConvolution::new(geometry, weight);
    let mut out = vec![T::ZERO; x.len() / n_in * n_out];
    let mut saved: Vec<&mut [bool]> = is_active.chunks_mut(n_out).collect();
    saved.resize_with(out.len() / n_out, Default::default);
    let images = out.par_chunks_mut(n_out).zip(x.par_chunks(n_in)).zip(saved).enumerate();
    let spare = SpareBuffers::default();
    images.for_each(|(index, ((out, image), saved))| {
        let addend = biases.before(index, geometry.c_in);
        let room = || convolution.room();
        spare.with(room, |room| convolution.convolve(image, addend, room, out));
        for (o, plane) in out.chunks_exact_mut(geometry.n_pixels()).enumerate() {
            let bias = biases.after[o];
            match form {
                Form::Plain => plane.iter_mut().for_each(|v| *v += bias),
                Form::Relu => plane.iter_mut().for_each(|v| *v = (*v + bias).larger(T::ZERO)),
                Form::Residual => {
                    let start = o * geometry.n_pixels();
                    if let Some(saved) = saved.get_mut(start..start + plane.len()) {
                        saved.iter_mut().zip(&*plane).for_each(|(a, &v)| *a = v + bias > T::ZERO);
                    }
                    for (v, &x) in plane.iter_mut().zip(&image[start..]) {
                        *v = x + (*v + bias).larger(T::ZERO);
                    }
                }
            }
        }
    });
    out
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
                for form in [Form::Plain, Form::Relu, Form::Residual] {
                    let c_out = if form == Form::Residual { c_in } else { c_out };
                    let inputs = [
                        check::pseudo_random(&[batch, c_in, height, width], 1),
                        check::pseudo_random(&[c_out, c_in, kernel, kernel], 2),
                        check::pseudo_random(&[c_out], 3),
                        check::pseudo_random(&[batch, c_in], 4),
                    ];
                    check::same_values_and_gradients(
                        &inputs,
                        |v| convolve(&v[0], &v[1], &v[2], Some(&v[3]), padding, form),
                        |v| composed(&v[0], &v[1], &v[2], Some(&v[3]), padding, form),
                    );
                    check::same_values_and_gradients(
                        &inputs[..3],
                        |v| convolve(&v[0], &v[1], &v[2], None, padding, form),
                        |v| composed(&v[0], &v[1], &v[2], None, padding, form),
                    );
                }
            }
        }
    }

    #[test]
    fn the_first_layers_images_need_no_gradient() {
        let x = check::pseudo_random(&[2, 3, 4, 4], 1);
        let inputs = [check::pseudo_random(&[2, 3, 3, 3], 2), check::pseudo_random(&[2], 3)];
        check::same_values_and_gradients(
            &inputs,
            |v| convolve(&x, &v[0], &v[1], None, Padding::Circular, Form::Relu),
            |v| composed(&x, &v[0], &v[1], None, Padding::Circular, Form::Relu),
        );
    }

    #[test]
    fn a_transposed_input_is_convolved_as_its_copy() {
        let x = check::pseudo_random(&[2, 3, 5, 4], 1).transpose(2, 3).unwrap();
        let (w, b) = (check::pseudo_random(&[2, 3, 3, 3], 2), check::pseudo_random(&[2], 3));
        let run = |x: &Tensor| convolve(x, &w, &b, None, Padding::Circular, Form::Relu).unwrap();
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
                    convolve(&v[0], &v[1], &v[2], None, Padding::Zeros, Form::Relu)
                })
            })
        };
        for (one, three) in gradients(1).iter().zip(&gradients(3)) {
            check::assert_close(one, three, 0.0);
        }
    }
}
