//! A linear map of vectors, as small as those of the times: `y = x w^T + b`.
//!
//! ```text
//! dx = dy w        dw = dy^T x        db = sum over the batch of dy
//! ```
//!
//! candle's own product reads `/proc/cpuinfo` at every call, which takes longer than products of this size, and the
//! gradient of its broadcast addition is slow.

use candle_core::{Result, Shape, Tensor, bail};

use super::candle_numbers::Real;
use super::tensor::{Computed, Gradients, Op, Operation, channels_last};
use crate::simd::matrix_product::{Left, Right, Write, every, multiply};

/// `y`, `[B, O]`, of `x`, `[B, I]`, with `weight`, `[O, I]`, and `bias`, `[O]`.
///
/// # Errors
///
/// If the shapes do not fit, or the tensors are not all in `f32` or all in `f64`.
pub fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let ((_, found), (n_out, n_in)) = (x.dims2()?, weight.dims2()?);
    if found != n_in || bias.dims() != [n_out] {
        bail!("a linear map of {n_in} values with {:?} biases was given {found}", bias.shape());
    }
    if !x.device().is_cpu() {
        return composed(x, weight, bias);
    }
    x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, Op(Linear))
}

fn composed(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    x.matmul(&weight.t()?)?.broadcast_add(bias)
}

struct Linear;

impl Operation<3> for Linear {
    const NAME: &'static str = "linear";

    fn compute<T: Real>(
        &self,
        [x, weight, bias]: [&[T]; 3],
        [x_shape, ..]: [&Shape; 3],
    ) -> Computed<T> {
        let ((batch, n_in), n_out) = (x_shape.dims2()?, bias.len());
        let mut transposed = vec![T::ZERO; weight.len()];
        channels_last(weight, n_in, &mut transposed, n_out);
        let mut out = bias.repeat(batch);
        let (rows, columns) = (every(n_in, batch), every(1, n_in));
        let left = Left { values: x, rows: rows.all(), columns: columns.all() };
        let right_rows = every(n_out, n_in);
        let right = Right { values: &transposed, rows: right_rows.all() };
        multiply(Write::Add, n_out, (&mut out, every(n_out, batch).all()), left, right);
        Ok((out, Shape::from((batch, n_out))))
    }

    fn gradients(&self, [x, weight, bias]: [&Tensor; 3], _: &Tensor, dy: &Tensor) -> Gradients<3> {
        let dy = dy.contiguous()?;
        let dx = x.track_op().then(|| dy.apply_op2_no_bwd(weight, &Op(InputGradient)));
        let joined = dy.apply_op2_no_bwd(x, &Op(ParameterGradient))?;
        let dweight = joined.narrow(0, 0, weight.elem_count())?.reshape(weight.shape())?;
        let dbias = joined.narrow(0, weight.elem_count(), bias.elem_count())?;
        Ok([dx.transpose()?, Some(dweight), Some(dbias)])
    }
}

/// `dx` from (`dy`, `w`).
struct InputGradient;

impl Operation<2> for InputGradient {
    const NAME: &'static str = "linear-input-gradient";

    fn compute<T: Real>(&self, [dy, weight]: [&[T]; 2], shapes: [&Shape; 2]) -> Computed<T> {
        let ((batch, n_out), (_, n_in)) = (shapes[0].dims2()?, shapes[1].dims2()?);
        let mut out = vec![T::ZERO; batch * n_in];
        let (rows, columns) = (every(n_out, batch), every(1, n_out));
        let left = Left { values: dy, rows: rows.all(), columns: columns.all() };
        let right_rows = every(n_in, n_out);
        let right = Right { values: weight, rows: right_rows.all() };
        multiply(Write::Overwrite, n_in, (&mut out, every(n_in, batch).all()), left, right);
        Ok((out, Shape::from((batch, n_in))))
    }
}

/// `dw` followed by `db`, `[O I + O]`, from (`dy`, `x`).
struct ParameterGradient;

impl Operation<2> for ParameterGradient {
    const NAME: &'static str = "linear-parameter-gradient";

    fn compute<T: Real>(&self, [dy, x]: [&[T]; 2], shapes: [&Shape; 2]) -> Computed<T> {
        let ((batch, n_out), (_, n_in)) = (shapes[0].dims2()?, shapes[1].dims2()?);
        let mut out = vec![T::ZERO; n_out * n_in + n_out];
        let (dweight, dbias) = out.split_at_mut(n_out * n_in);
        let (rows, columns) = (every(1, n_out), every(n_out, batch));
        let left = Left { values: dy, rows: rows.all(), columns: columns.all() };
        let right_rows = every(n_in, batch);
        let right = Right { values: x, rows: right_rows.all() };
        multiply(Write::Overwrite, n_in, (dweight, every(n_in, n_out).all()), left, right);
        for row in dy.chunks_exact(n_out) {
            dbias.iter_mut().zip(row).for_each(|(sum, &dy)| *sum += dy);
        }
        Ok((out, Shape::from(n_out * n_in + n_out)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::ops::tensor::check;

    #[test]
    fn values_and_gradients_are_those_of_the_composed_operations() {
        for [batch, n_in, n_out] in [[1, 1, 1], [3, 5, 4], [17, 64, 33], [2, 20, 70]] {
            let inputs = [
                check::pseudo_random(&[batch, n_in], 1),
                check::pseudo_random(&[n_out, n_in], 2),
                check::pseudo_random(&[n_out], 3),
            ];
            check::same_values_and_gradients(
                &inputs,
                |v| linear(&v[0], &v[1], &v[2]),
                |v| composed(&v[0], &v[1], &v[2]),
            );
            check::same_values_and_gradients(
                &inputs[1..],
                |v| linear(&inputs[0], &v[0], &v[1]),
                |v| composed(&inputs[0], &v[0], &v[1]),
            );
        }
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let [x, w, b] = [&[2, 3][..], &[4, 2], &[4]].map(|shape| check::pseudo_random(shape, 1));
        assert!(linear(&x, &w, &b).is_err());
        assert!(linear(&x, &w.t().unwrap().contiguous().unwrap(), &b).is_err());
    }
}
