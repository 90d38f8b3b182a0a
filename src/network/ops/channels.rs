//! Per-channel and per-value operations with cheap gradients: ReLU and adding one value per image and
//! channel.
//!
//! candle's gradient of a broadcast addition reduces over outer axes at about fifty times the cost of
//! reducing the last one, and its ReLU passes gradient at exactly 0 (PyTorch does not: it matters
//! where whole regions sit at 0).

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::real::Real;
use super::tensor::{Backward, Gradient, by_dtype, values};

/// Values per piece of work: large enough to be worth a thread, small enough to balance the load.
const PIECE: usize = 1 << 15;

/// `max(x, 0)`, with gradient 0 at 0.
///
/// # Errors
///
/// If a tensor operation fails; on the CPU, if `x` is neither in `f32` nor in `f64`.
pub fn relu(x: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() {
        return x.contiguous()?.apply_op1(Relu);
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
        return x.contiguous()?.apply_op2(&addend.contiguous()?, AddPerChannel);
    }
    let (batch, channels) = addend.dims2()?;
    x.broadcast_add(&addend.reshape((batch, channels, 1, 1))?)
}

struct Relu;

impl CustomOp1 for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        by_dtype!(x, T => {
            let mut out = values::<T>(x, layout)?.to_vec();
            out.iter_mut().for_each(|v| *v = v.larger(0.0));
            Ok((candle_core::WithDType::to_cpu_storage_owned(out), layout.shape().clone()))
        })
    }

    fn bwd(&self, _x: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(dy.contiguous()?.apply_op2_no_bwd(y, &Backward(ReluGradient))?))
    }
}

/// `dy` where `y` is above zero, from (`dy`, `y`).
struct ReluGradient;

impl Gradient for ReluGradient {
    const NAME: &'static str = "relu-gradient";

    fn compute<T: Real>(&self, dy: &[T], y: &[T], layout: &Layout) -> Result<(Vec<T>, Shape)> {
        let mut out = vec![T::ZERO; dy.len()];
        let pieces = out.par_chunks_mut(PIECE).zip(dy.par_chunks(PIECE)).zip(y.par_chunks(PIECE));
        pieces.for_each(|((out, dy), y)| {
            for ((out, &dy), &y) in out.iter_mut().zip(dy).zip(y) {
                *out = if y > T::ZERO { dy } else { T::ZERO };
            }
        });
        Ok((out, layout.shape().clone()))
    }
}

struct AddPerChannel;

impl CustomOp2 for AddPerChannel {
    fn name(&self) -> &'static str {
        "add-per-channel"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        addend: &CpuStorage,
        addend_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        by_dtype!(x, T => {
            let (x, addend) = (values::<T>(x, x_layout)?, values::<T>(addend, addend_layout)?);
            let n_pixels = x.len() / addend.len();
            let mut out: Vec<T> = vec![0.0; x.len()];
            for ((out, x), &addend) in
                out.chunks_exact_mut(n_pixels).zip(x.chunks_exact(n_pixels)).zip(addend)
            {
                out.iter_mut().zip(x).for_each(|(out, &x)| *out = x + addend);
            }
            Ok((candle_core::WithDType::to_cpu_storage_owned(out), x_layout.shape().clone()))
        })
    }

    fn bwd(
        &self,
        x: &Tensor,
        addend: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (batch, channels) = addend.dims2()?;
        let sums = dy.contiguous()?.reshape((batch, channels, ()))?.sum(2)?;
        Ok((x.track_op().then(|| dy.clone()), Some(sums)))
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
