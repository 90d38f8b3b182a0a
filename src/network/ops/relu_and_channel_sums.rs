//! Per-channel and per-value operations with cheap gradients: ReLU and adding one value per image and
//! channel.
//!
//! candle's gradient of a broadcast addition reduces over outer axes at about fifty times the cost of
//! reducing the last one, and its ReLU passes gradient at exactly 0 (PyTorch does not: it matters
//! where whole regions sit at 0).

use candle_core::{Result, Shape, Tensor};

use super::candle_numbers::Real;
use super::tensor::{Computed, Gradients, Op, Operation, by_image};

/// Values per piece of work: large enough to be worth a thread, small enough to balance the load.
const PIECE: usize = 1 << 15;

/// `max(x, 0)`, with gradient 0 at 0.
///
/// # Errors
///
/// If a tensor operation fails; on the CPU, if `x` is neither in `f32` nor in `f64`.
pub fn relu(x: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() {
        return x.contiguous()?.apply_op1(Op(Relu));
    }
    // The mask is a constant, so the gradient is the mask itself.
    x * x.gt(0.0)?.to_dtype(x.dtype())?.detach()
}

/// `x` [B, C, ...] plus `addend` [B, C] on every pixel.
///
/// # Errors
///
/// If a tensor operation fails; on the CPU, if `x` and `addend` are not both in `f32` or both in `f64`.
pub fn add_per_channel(x: &Tensor, addend: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() {
        return x.contiguous()?.apply_op2(&addend.contiguous()?, Op(AddPerChannel));
    }
    let (batch, channels) = addend.dims2()?;
    x.broadcast_add(&addend.reshape((batch, channels, 1, 1))?)
}

struct Relu;

impl Operation<1> for Relu {
    const NAME: &'static str = "relu";

    fn compute<T: Real>(&self, [x]: [&[T]; 1], [shape]: [&Shape; 1]) -> Computed<T> {
        Ok((x.iter().map(|v| v.larger(T::ZERO)).collect(), shape.clone()))
    }

    fn gradients(&self, _: [&Tensor; 1], y: &Tensor, dy: &Tensor) -> Gradients<1> {
        Ok([Some(dy.contiguous()?.apply_op2_no_bwd(y, &Op(ReluGradient))?)])
    }
}

/// `dy` where `y` is above zero, from (`dy`, `y`).
struct ReluGradient;

impl Operation<2> for ReluGradient {
    const NAME: &'static str = "relu-gradient";

    fn compute<T: Real>(&self, inputs: [&[T]; 2], shapes: [&Shape; 2]) -> Computed<T> {
        let out = by_image(inputs, PIECE, |out, [dy, y]| {
            for ((out, &dy), &y) in out.iter_mut().zip(dy).zip(y) {
                *out = if y > T::ZERO { dy } else { T::ZERO };
            }
        });
        Ok((out, shapes[0].clone()))
    }
}

struct AddPerChannel;

impl Operation<2> for AddPerChannel {
    const NAME: &'static str = "add-per-channel";

    fn compute<T: Real>(&self, [x, addend]: [&[T]; 2], shapes: [&Shape; 2]) -> Computed<T> {
        let mut out = x.to_vec();
        for (plane, &addend) in out.chunks_exact_mut(x.len() / addend.len()).zip(addend) {
            plane.iter_mut().for_each(|value| *value += addend);
        }
        Ok((out, shapes[0].clone()))
    }

    fn gradients(&self, [x, addend]: [&Tensor; 2], _y: &Tensor, dy: &Tensor) -> Gradients<2> {
        let (batch, channels) = addend.dims2()?;
        let sums = dy.contiguous()?.reshape((batch, channels, ()))?.sum(2)?;
        Ok([x.track_op().then(|| dy.clone()), Some(sums)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::ops::tensor::check;

    #[test]
    fn adding_per_channel_has_the_gradients_of_a_broadcast() {
        let inputs = [check::pseudo_random(&[3, 5, 4, 2], 1), check::pseudo_random(&[3, 5], 2)];
        check::same_values_and_gradients(
            &inputs,
            |v| add_per_channel(&v[0], &v[1]),
            |v| v[0].broadcast_add(&v[1].reshape((3, 5, 1, 1))?),
        );
    }

    #[test]
    fn relu_stops_the_gradient_at_and_below_zero() {
        let x = Tensor::new(&[-1.0, 0.0, 2.0], &candle_core::Device::Cpu).unwrap();
        let gradient = check::gradients(&[x], |v| relu(&v[0])).remove(0).to_vec1::<f64>().unwrap();
        assert_eq!((gradient[0], gradient[1]), (0.0, 0.0));
        assert_ne!(gradient[2], 0.0);
    }
}
