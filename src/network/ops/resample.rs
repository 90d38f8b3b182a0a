//! 2x2 max-pooling, and the 2x2, stride-2 transposed convolution that undoes its change of size.
//!
//! candle 0.11's `max_pool2d` gradient is a quarter of what it should be, and its `conv_transpose2d`
//! is slow. With kernel and stride alike the transposed convolution has no overlap: it is a 1x1
//! convolution to four times the channels, whose values are then dealt out to 2x2 blocks.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};

use super::clock::{Work, timed};
use super::convolution::{Form, convolve};
use super::real::Real;
use super::tensor::{by_dtype, values};
use crate::network::config::Padding;

/// Largest of each 2x2 block of `x` [B, C, H, W]; the first in reading order gets the gradient.
pub fn max_pool(x: &Tensor) -> Result<Tensor> {
    let (batch, channels, height, width) = x.dims4()?;
    if height % 2 == 1 || width % 2 == 1 {
        bail!("2x2 pooling needs even sides, not {height}x{width}");
    }
    if x.device().is_cpu() {
        return x.contiguous()?.apply_op1(MaxPool);
    }
    // Four interleaved quarters. Where two are equal, candle shares the gradient between them.
    let blocks = x.reshape((batch, channels, height / 2, 2, width / 2, 2))?;
    let quarter = |i, j| blocks.narrow(3, i, 1)?.narrow(5, j, 1)?.squeeze(5)?.squeeze(3);
    let top = quarter(0, 0)?.maximum(&quarter(0, 1)?)?;
    top.maximum(&quarter(1, 0)?.maximum(&quarter(1, 1)?)?)
}

/// `x` [B, I, H, W], `weight` [I, O, 2, 2] (PyTorch's order), `bias` [O] to [B, O, 2H, 2W].
pub fn upsample(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let (batch, c_in, height, width) = x.dims4()?;
    let c_out = weight.dim(1)?;
    let pointwise = weight.reshape((c_in, c_out * 4))?.t()?.reshape((c_out * 4, c_in, 1, 1))?;
    let bias = bias.reshape((c_out, 1))?.broadcast_as((c_out, 4))?.contiguous()?.flatten_all()?;
    let dealt = convolve(x, &pointwise, &bias, None, Padding::Zeros, Form::Plain)?;
    dealt
        .reshape((batch, c_out, 2, 2, height, width))?
        .permute((0, 1, 4, 2, 5, 3))?
        .contiguous()?
        .reshape((batch, c_out, 2 * height, 2 * width))
}

/// Visits the blocks of all planes: (block index, index of its four values in reading order).
fn blocks(layout: &Layout) -> Result<impl Iterator<Item = (usize, [usize; 4])> + use<>> {
    let (batch, channels, height, width) = layout.shape().dims4()?;
    let (half_height, half_width) = (height / 2, width / 2);
    let n_blocks = batch * channels * half_height * half_width;
    Ok((0..n_blocks).map(move |block| {
        // Rows of blocks follow each other through all planes, as rows of pixels do.
        let (row, column) = (block / half_width, block % half_width);
        let first = 2 * row * width + 2 * column;
        (block, [first, first + 1, first + width, first + width + 1])
    }))
}

fn first_largest<T: Real>(x: &[T], block: [usize; 4]) -> usize {
    block.into_iter().reduce(|best, at| if x[at] > x[best] { at } else { best }).unwrap_or(0)
}

struct MaxPool;

impl CustomOp1 for MaxPool {
    fn name(&self) -> &'static str {
        "max-pool"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let _timer = timed(Work::Resample);
        let (batch, channels, height, width) = layout.shape().dims4()?;
        by_dtype!(x, T => {
            let x = values::<T>(x, layout)?;
            let out: Vec<T> = blocks(layout)?.map(|(_, block)| x[first_largest(x, block)]).collect();
            let shape = Shape::from((batch, channels, height / 2, width / 2));
            Ok((candle_core::WithDType::to_cpu_storage_owned(out), shape))
        })
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(x.apply_op2_no_bwd(&dy.contiguous()?, &MaxPoolGradient)?))
    }
}

/// `dx` from (`x`, `dy`).
struct MaxPoolGradient;

impl CustomOp2 for MaxPoolGradient {
    fn name(&self) -> &'static str {
        "max-pool-gradient"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        dy: &CpuStorage,
        dy_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let _timer = timed(Work::Resample);
        by_dtype!(x, T => {
            let (x, dy) = (values::<T>(x, x_layout)?, values::<T>(dy, dy_layout)?);
            let mut dx: Vec<T> = vec![0.0; x.len()];
            for (index, block) in blocks(x_layout)? {
                dx[first_largest(x, block)] = dy[index];
            }
            Ok((candle_core::WithDType::to_cpu_storage_owned(dx), x_layout.shape().clone()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::ops::tensor::check;

    #[test]
    fn pooling_takes_the_largest_and_sends_the_gradient_there() {
        let x = check::pseudo_random(&[2, 3, 4, 6], 1);
        check::assert_close(&max_pool(&x).unwrap(), &x.max_pool2d(2).unwrap(), 0.0);
        check::gradients_match_differences(&[x], |v| max_pool(&v[0]));
    }

    #[test]
    fn upsampling_and_its_gradients_match_candles_transposed_convolution() {
        let inputs = [
            check::pseudo_random(&[2, 3, 4, 5], 1),
            check::pseudo_random(&[3, 2, 2, 2], 2),
            check::pseudo_random(&[2], 3),
        ];
        check::same_values_and_gradients(
            &inputs,
            |v| upsample(&v[0], &v[1], &v[2]),
            |v| {
                let y = v[0].conv_transpose2d(&v[1], 0, 0, 2, 1)?;
                y.broadcast_add(&v[2].reshape((1, 2, 1, 1))?)
            },
        );
    }
}
