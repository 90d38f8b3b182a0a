//! Queries, keys and values of an attention layer in one operation.
//!
//! ```text
//! n = pixel_norm(x) or x        q = w_q n + b_q        k = w_k n + b_k        v = w_v x + b_v
//! dn = w_q^T dq + w_k^T dk      dx = w_v^T dv + the gradient of the normalisation of dn
//! dw_q = dq n^T                 dw_k = dk n^T          dw_v = dv x^T
//! ```
//!
//! At each pixel; w are 1x1 kernels. Separate convolutions, joined, would cost candle seven tensors of the size of the
//! features and a sum with zeros for each of their gradients.

use candle_core::{Result, Shape, Tensor, bail};
use pulp::Arch;
use rayon::prelude::*;

use super::candle_numbers::Real;
use super::convolution_gradient::n_groups;
use super::operation_times::Work;
use super::pixel_norm::{normalise, normalise_gradient};
use super::pixel_rows::accumulate;
use super::spare_buffers::SpareBuffers;
use super::tensor::{Computed, Gradients, Op, Operation, channels_last};
use crate::simd::lane::n_lanes;
use crate::simd::matrix_product::{Left, Right, Write, every, multiply};

/// Queries, keys and values, `[B, 3, heads, D, P]`, of features `x`, `[B, C, H, W]`, on the CPU. `parameters` are weight,
/// `[heads D, C, 1, 1]`, and bias, `[heads D]`, of each; queries and keys are of normalised features if `normalises`.
///
/// # Errors
///
/// If the shapes do not fit, or the tensors are not all in `f32` or all in `f64`.
pub fn project(
    x: &Tensor,
    parameters: [[&Tensor; 2]; 3],
    heads: usize,
    normalises: bool,
) -> Result<Tensor> {
    let (_, channels, _, _) = x.dims4()?;
    let inner = parameters[0][1].elem_count();
    for [weight, bias] in parameters {
        if weight.dims() != [inner, channels, 1, 1] || bias.dims() != [inner] {
            bail!("a {:?} kernel for {inner} of {channels} channels", weight.shape());
        }
    }
    if heads == 0 || !inner.is_multiple_of(heads) {
        bail!("{inner} channels in {heads} heads");
    }
    let join = |which: usize| {
        let flat = parameters.map(|pair| pair[which].flatten_all());
        let [q, k, v] = flat;
        Tensor::cat(&[q?, k?, v?], 0)
    };
    x.contiguous()?.apply_op3(&join(0)?, &join(1)?, Op(Project { heads, normalises }))
}

struct Project {
    heads: usize,
    normalises: bool,
}

/// Sizes of one image: channels, pixels, and channels of q, k and v together.
#[derive(Clone, Copy)]
struct Sizes {
    channels: usize,
    n_pixels: usize,
    n_out: usize,
}

impl Sizes {
    fn new(x: &Shape, n_out: usize) -> Result<Self> {
        let (_, channels, height, width) = x.dims4()?;
        Ok(Self { channels, n_pixels: height * width, n_out })
    }

    fn n_in(self) -> usize {
        self.channels * self.n_pixels
    }

    /// Channels of q and k.
    fn n_looking(self) -> usize {
        self.n_out / 3 * 2
    }
}

impl Operation<3> for Project {
    const NAME: &'static str = "project";
    const WORK: Option<Work> = Some(Work::Convolution);

    fn compute<T: Real>(
        &self,
        [x, weights, biases]: [&[T]; 3],
        [shape, ..]: [&Shape; 3],
    ) -> Computed<T> {
        let sizes = Sizes::new(shape, biases.len())?;
        let Sizes { channels, n_pixels, n_out } = sizes;
        let batch = x.len() / sizes.n_in();
        let mut out = vec![T::ZERO; batch * n_out * n_pixels];
        let images = out.par_chunks_mut(n_out * n_pixels).zip(x.par_chunks(sizes.n_in()));
        let rows = every(channels, n_out);
        let (columns, planes) = (every(1, channels), every(n_pixels, channels));
        let out_rows = every(n_pixels, n_out);
        let room = || vec![T::ZERO; sizes.n_in()];
        let spare = SpareBuffers::default();
        images.for_each(|(out, x)| {
            spare.with(room, |normal| {
                let looked_at = normalised(self.normalises, x, n_pixels, normal);
                for (values, range) in
                    [(looked_at, 0..sizes.n_looking()), (x, sizes.n_looking()..n_out)]
                {
                    let (rows, columns) = (rows.part(range.clone()), columns.all());
                    let left = Left { values: weights, rows, columns };
                    let right = Right { values, rows: planes.all() };
                    multiply(Write::Overwrite, n_pixels, (out, out_rows.part(range)), left, right);
                }
                for (plane, &bias) in out.chunks_exact_mut(n_pixels).zip(biases) {
                    plane.iter_mut().for_each(|value| *value += bias);
                }
            })
        });
        let width = n_out / (3 * self.heads);
        Ok((out, Shape::from((batch, 3, self.heads, width, n_pixels))))
    }

    fn gradients(
        &self,
        [x, weights, biases]: [&Tensor; 3],
        _: &Tensor,
        dout: &Tensor,
    ) -> Gradients<3> {
        let (dout, normalises) = (dout.contiguous()?, self.normalises);
        let dx = || x.apply_op3_no_bwd(weights, &dout, &Op(InputGradient { normalises }));
        let dx = x.track_op().then(dx).transpose()?;
        let joined = x.apply_op2_no_bwd(&dout, &Op(ParameterGradient { normalises }))?;
        let (n_weights, n_biases) = (weights.elem_count(), biases.elem_count());
        let dweights = joined.narrow(0, 0, n_weights)?;
        Ok([dx, Some(dweights), Some(joined.narrow(0, n_weights, n_biases)?)])
    }
}

/// `x`, `[C, P]`, or that normalised in `room`.
fn normalised<'a, T: Real>(
    normalises: bool,
    x: &'a [T],
    n_pixels: usize,
    room: &'a mut [T],
) -> &'a [T] {
    if !normalises {
        return x;
    }
    Arch::new().dispatch(|| normalise(x, n_pixels, room));
    room
}

/// `dx` from (`x`, weights, gradient of q, k and v).
struct InputGradient {
    normalises: bool,
}

impl Operation<3> for InputGradient {
    const NAME: &'static str = "project-input-gradient";
    const WORK: Option<Work> = Some(Work::ConvolutionGradient);

    fn compute<T: Real>(
        &self,
        [x, weights, dout]: [&[T]; 3],
        [shape, ..]: [&Shape; 3],
    ) -> Computed<T> {
        let channels = shape.dims4()?.1;
        let sizes = Sizes::new(shape, weights.len() / channels)?;
        let Sizes { n_pixels, n_out, .. } = sizes;
        let mut out = vec![T::ZERO; x.len()];
        let images = out.par_chunks_mut(sizes.n_in()).zip(x.par_chunks(sizes.n_in()));
        let images = images.zip(dout.par_chunks(n_out * n_pixels));
        let (rows, columns) = (every(1, channels), every(channels, n_out));
        let (planes, out_rows) = (every(n_pixels, n_out), every(n_pixels, channels));
        let room = || [vec![T::ZERO; sizes.n_in()], vec![T::ZERO; sizes.n_in()]];
        let spare = SpareBuffers::default();
        images.for_each(|((out, x), dout)| {
            spare.with(room, |[of_looking, of_values]| {
                for (to, range) in [
                    (&mut *of_looking, 0..sizes.n_looking()),
                    (&mut *of_values, sizes.n_looking()..n_out),
                ] {
                    let columns = columns.part(range.clone());
                    let left = Left { values: weights, rows: rows.all(), columns };
                    let right = Right { values: dout, rows: planes.part(range) };
                    multiply(Write::Overwrite, n_pixels, (to, out_rows.all()), left, right);
                }
                if self.normalises {
                    Arch::new().dispatch(|| normalise_gradient(x, of_looking, n_pixels, out));
                } else {
                    out.copy_from_slice(of_looking);
                }
                accumulate(out, of_values);
            })
        });
        Ok((out, shape.clone()))
    }
}

/// The gradients of the weights, `[3 heads D, C]`, then of the biases, from (`x`, gradient of q, k and v). Images are
/// summed in groups that do not depend on the number of threads.
struct ParameterGradient {
    normalises: bool,
}

impl Operation<2> for ParameterGradient {
    const NAME: &'static str = "project-parameter-gradient";
    const WORK: Option<Work> = Some(Work::ConvolutionGradient);

    fn compute<T: Real>(&self, [x, dout]: [&[T]; 2], [shape, _]: [&Shape; 2]) -> Computed<T> {
        let (batch, channels, height, width) = shape.dims4()?;
        let sizes = Sizes::new(shape, dout.len() / (batch * height * width))?;
        let Sizes { n_pixels, n_out, .. } = sizes;
        let lanes = channels.next_multiple_of(n_lanes::<T>());
        let per_group = batch.div_ceil(n_groups(batch));
        let (planes, pixels) = (every(n_pixels, n_out), every(1, n_pixels));
        let (last_rows, sum_rows) = (every(lanes, n_pixels), every(lanes, n_out));
        let group = |(x, dout): (&[T], &[T])| {
            let (mut normal, mut last) =
                (vec![T::ZERO; sizes.n_in()], vec![T::ZERO; n_pixels * lanes]);
            let mut sums = (vec![T::ZERO; n_out * lanes], vec![T::ZERO; n_out]);
            let images = x.chunks_exact(sizes.n_in());
            for (x, dout) in images.zip(dout.chunks_exact(n_out * n_pixels)) {
                let looked_at = normalised(self.normalises, x, n_pixels, &mut normal);
                for (values, range) in
                    [(looked_at, 0..sizes.n_looking()), (x, sizes.n_looking()..n_out)]
                {
                    channels_last(values, n_pixels, &mut last, lanes);
                    let rows = planes.part(range.clone());
                    let left = Left { values: dout, rows, columns: pixels.all() };
                    let right = Right { values: &last, rows: last_rows.all() };
                    multiply(Write::Add, lanes, (&mut sums.0, sum_rows.part(range)), left, right);
                }
                let planes = dout.chunks_exact(n_pixels);
                for (sum, plane) in sums.1.iter_mut().zip(planes) {
                    *sum += super::convolution_gradient::sum(plane);
                }
            }
            sums
        };
        let images = x.par_chunks(per_group * sizes.n_in());
        let groups: Vec<(Vec<T>, Vec<T>)> =
            images.zip(dout.par_chunks(per_group * n_out * n_pixels)).map(group).collect();
        let mut out = vec![T::ZERO; n_out * channels + n_out];
        let (dweights, dbiases) = out.split_at_mut(n_out * channels);
        for (of_weights, of_biases) in &groups {
            let rows = dweights.chunks_exact_mut(channels).zip(of_weights.chunks_exact(lanes));
            rows.for_each(|(total, row)| accumulate(total, row));
            accumulate(dbiases, of_biases);
        }
        let shape = Shape::from(out.len());
        Ok((out, shape))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::network_config::Padding;
    use crate::network::ops::convolution::{Form, convolve};
    use crate::network::ops::pixel_norm::pixel_norm;
    use crate::network::ops::tensor::check;

    fn inputs([batch, channels, height, width]: [usize; 4], inner: usize) -> Vec<Tensor> {
        let mut inputs = vec![check::pseudo_random(&[batch, channels, height, width], 1)];
        for seed in [10, 20, 30] {
            inputs.push(check::pseudo_random(&[inner, channels, 1, 1], seed));
            inputs.push(check::pseudo_random(&[inner], seed + 1));
        }
        inputs
    }

    fn in_one(v: &[Tensor], heads: usize, normalises: bool) -> Result<Tensor> {
        project(&v[0], [[&v[1], &v[2]], [&v[3], &v[4]], [&v[5], &v[6]]], heads, normalises)
    }

    fn one_by_one(v: &[Tensor], heads: usize, normalises: bool) -> Result<Tensor> {
        let normal = if normalises { pixel_norm(&v[0])? } else { v[0].clone() };
        let map = |x: &Tensor, weight: &Tensor, bias: &Tensor| {
            convolve(x, weight, bias, None, Padding::Zeros, Form::Plain)
        };
        let (q, k) = (map(&normal, &v[1], &v[2])?, map(&normal, &v[3], &v[4])?);
        let joined = Tensor::cat(&[&q, &k, &map(&v[0], &v[5], &v[6])?], 1)?;
        let (batch, inner, height, width) = q.dims4()?;
        joined.reshape((batch, 3, heads, inner / heads, height * width))
    }

    #[test]
    fn values_and_gradients_are_those_of_separate_convolutions() {
        for (shape, inner, heads) in [
            ([2, 5, 3, 4], 6, 2),
            ([1, 2, 1, 1], 1, 1),
            ([37, 9, 2, 5], 4, 4),
            ([3, 33, 6, 7], 8, 1),
        ] {
            for normalises in [false, true] {
                check::same_values_and_gradients(
                    &inputs(shape, inner),
                    |v| in_one(v, heads, normalises),
                    |v| one_by_one(v, heads, normalises),
                );
            }
        }
    }

    #[test]
    fn gradients_have_the_same_bits_on_any_number_of_threads() {
        let inputs = inputs([21, 5, 3, 4], 6);
        let gradients = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| check::gradients(&inputs, |v| in_one(v, 2, true)))
        };
        for (one, three) in gradients(1).iter().zip(&gradients(3)) {
            check::assert_close(one, three, 0.0);
        }
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let v = inputs([2, 5, 3, 4], 6);
        assert!(in_one(&v, 4, true).is_err());
        assert!(in_one(&v, 0, true).is_err());
        let mut other = v.clone();
        other[3] = check::pseudo_random(&[6, 4, 1, 1], 1);
        assert!(in_one(&other, 2, true).is_err());
    }
}
