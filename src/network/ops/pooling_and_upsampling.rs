//! 2x2 max-pooling, and the 2x2, stride-2 transposed convolution that undoes its change of size.
//!
//! candle 0.11's `max_pool2d` gradient is a quarter of what it should be, and its `conv_transpose2d`
//! is slow. With kernel and stride alike the transposed convolution has no overlap: it is a 1x1
//! convolution to four times the channels, whose values are then dealt out to 2x2 blocks.

use candle_core::{Result, Shape, Tensor, bail};
use pulp::Arch;
use rayon::prelude::*;

use super::candle_numbers::Real;
use super::convolution::{Form, convolve};
use super::operation_times::Work;
use super::tensor::{Computed, Gradients, Op, Operation};
use crate::network::network_config::Padding;

/// Largest of each 2x2 block of `x` [B, C, H, W]; the first in reading order gets the gradient.
///
/// # Errors
///
/// If `x` has not four dimensions, if its height or width is odd, or if a tensor operation fails.
pub fn max_pool(x: &Tensor) -> Result<Tensor> {
    let (batch, channels, height, width) = x.dims4()?;
    if height % 2 == 1 || width % 2 == 1 {
        bail!("2x2 pooling needs even sides, not {height}x{width}");
    }
    if x.device().is_cpu() {
        return x.contiguous()?.apply_op1(Op(MaxPool));
    }
    // Four interleaved quarters. Where two are equal, candle shares the gradient between them.
    let blocks = x.reshape((batch, channels, height / 2, 2, width / 2, 2))?;
    let quarter = |i, j| blocks.narrow(3, i, 1)?.narrow(5, j, 1)?.squeeze(5)?.squeeze(3);
    let top = quarter(0, 0)?.maximum(&quarter(0, 1)?)?;
    top.maximum(&quarter(1, 0)?.maximum(&quarter(1, 1)?)?)
}

/// `x` `[B, I, H, W]`, `weight` `[I, O, 2, 2]` (PyTorch's order), `bias` `[O]` to `[B, O, 2H, 2W]`.
///
/// # Errors
///
/// If the shapes do not fit, or a tensor operation fails.
pub fn upsample(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let (batch, c_in, height, width) = x.dims4()?;
    let c_out = weight.dim(1)?;
    let pointwise = weight.reshape((c_in, c_out * 4))?.t()?.reshape((c_out * 4, c_in, 1, 1))?;
    let bias = bias.reshape((c_out, 1))?.broadcast_as((c_out, 4))?.contiguous()?.flatten_all()?;
    let dealt = convolve(x, &pointwise, &bias, None, Padding::Zeros, Form::Plain)?;
    if x.device().is_cpu() {
        return dealt.contiguous()?.apply_op1(Op(Deal { back: false }));
    }
    dealt
        .reshape((batch, c_out, 2, 2, height, width))?
        .permute((0, 1, 4, 2, 5, 3))?
        .contiguous()?
        .reshape((batch, c_out, 2 * height, 2 * width))
}

/// Pairs of rows of the 2x2 blocks of a plane.
fn rows<T>(plane: &[T], width: usize) -> impl Iterator<Item = (&[T], &[T])> {
    plane.chunks_exact(2 * width).map(move |two| two.split_at(width))
}

struct MaxPool;

impl Operation<1> for MaxPool {
    const NAME: &'static str = "max-pool";
    const WORK: Option<Work> = Some(Work::Resample);

    fn compute<T: Real>(&self, [x]: [&[T]; 1], [shape]: [&Shape; 1]) -> Computed<T> {
        let (batch, channels, height, width) = shape.dims4()?;
        let mut out = vec![T::ZERO; x.len() / 4];
        let planes = out.par_chunks_mut(height * width / 4).zip(x.par_chunks(height * width));
        planes.for_each(|(out, x)| Arch::new().dispatch(|| pool_plane(x, out, width)));
        Ok((out, Shape::from((batch, channels, height / 2, width / 2))))
    }

    fn gradients(&self, [x]: [&Tensor; 1], _: &Tensor, dy: &Tensor) -> Gradients<1> {
        Ok([Some(x.apply_op2_no_bwd(&dy.contiguous()?, &Op(MaxPoolGradient))?)])
    }
}

#[inline(always)]
fn pool_plane<T: Real>(x: &[T], out: &mut [T], width: usize) {
    for ((top, bottom), out) in rows(x, width).zip(out.chunks_exact_mut(width / 2)) {
        let (top, bottom) = (top.as_chunks::<2>().0, bottom.as_chunks::<2>().0);
        for ((out, &[a, b]), &[c, d]) in out.iter_mut().zip(top).zip(bottom) {
            *out = Real::larger(Real::larger(Real::larger(a, b), c), d);
        }
    }
}

/// `dx` from (`x`, `dy`).
struct MaxPoolGradient;

impl Operation<2> for MaxPoolGradient {
    const NAME: &'static str = "max-pool-gradient";
    const WORK: Option<Work> = Some(Work::Resample);

    fn compute<T: Real>(&self, [x, dy]: [&[T]; 2], shapes: [&Shape; 2]) -> Computed<T> {
        let (_, _, height, width) = shapes[0].dims4()?;
        let mut dx = vec![T::ZERO; x.len()];
        let planes = dx.par_chunks_mut(height * width).zip(x.par_chunks(height * width));
        let planes = planes.zip(dy.par_chunks(height * width / 4));
        planes.for_each(|((dx, x), dy)| {
            Arch::new().dispatch(|| pool_plane_gradient(x, dy, dx, width));
        });
        Ok((dx, shapes[0].clone()))
    }
}

#[inline(always)]
fn pool_plane_gradient<T: Real>(x: &[T], dy: &[T], dx: &mut [T], width: usize) {
    let dx_rows = dx.chunks_exact_mut(2 * width).map(|two| two.split_at_mut(width));
    let each = rows(x, width).zip(dy.chunks_exact(width / 2)).zip(dx_rows);
    for (((top, bottom), dy), (dx_top, dx_bottom)) in each {
        let x = top.as_chunks::<2>().0.iter().zip(bottom.as_chunks::<2>().0);
        let dx = dx_top.as_chunks_mut::<2>().0.iter_mut().zip(dx_bottom.as_chunks_mut::<2>().0);
        for (((&[a, b], &[c, d]), (dx_top, dx_bottom)), &dy) in x.zip(dx).zip(dy) {
            // The first in reading order wins a draw.
            let (upper, lower) = (Real::larger(a, b), Real::larger(c, d));
            let (to_upper, to_lower) = if lower > upper { (T::ZERO, dy) } else { (dy, T::ZERO) };
            *dx_top = if b > a { [T::ZERO, to_upper] } else { [to_upper, T::ZERO] };
            *dx_bottom = if d > c { [T::ZERO, to_lower] } else { [to_lower, T::ZERO] };
        }
    }
}

/// Channels in fours to 2x2 blocks: [B, 4 C, H, W] to [B, C, 2 H, 2 W], or (`back`) the other way round.
struct Deal {
    back: bool,
}

impl Operation<1> for Deal {
    const NAME: &'static str = "deal";
    const WORK: Option<Work> = Some(Work::Resample);

    fn compute<T: Real>(&self, [x]: [&[T]; 1], [shape]: [&Shape; 1]) -> Computed<T> {
        let (batch, channels, height, width) = shape.dims4()?;
        let shape = match self.back {
            true => (batch, channels * 4, height / 2, width / 2),
            false => (batch, channels / 4, 2 * height, 2 * width),
        };
        // Of the large planes.
        let width = if self.back { width } else { 2 * width };
        let area = if self.back { height * width } else { 2 * height * width };
        let mut out = vec![T::ZERO; x.len()];
        let planes = out.par_chunks_mut(area).zip(x.par_chunks(area));
        planes.for_each(|(out, x)| match self.back {
            true => gather(x, out, width),
            false => deal(x, out, width),
        });
        Ok((out, Shape::from(shape)))
    }

    fn gradients(&self, _: [&Tensor; 1], _: &Tensor, dy: &Tensor) -> Gradients<1> {
        Ok([Some(dy.contiguous()?.apply_op1_no_bwd(&Op(Deal { back: !self.back }))?)])
    }
}

/// Four quarters to one plane with rows of `width`.
fn deal<T: Real>(quarters: &[T], plane: &mut [T], width: usize) {
    let (upper, lower) = quarters.split_at(quarters.len() / 2);
    for (half, first_row) in [(upper, 0), (lower, 1)] {
        let (left, right) = half.split_at(half.len() / 2);
        let rows = plane.chunks_exact_mut(width).skip(first_row).step_by(2);
        let halves = left.chunks_exact(width / 2).zip(right.chunks_exact(width / 2));
        for (row, (left, right)) in rows.zip(halves) {
            let pairs = row.as_chunks_mut::<2>().0.iter_mut();
            pairs.zip(left.iter().zip(right)).for_each(|(pair, (&a, &b))| *pair = [a, b]);
        }
    }
}

/// One plane with rows of `width` to its four quarters.
fn gather<T: Real>(plane: &[T], quarters: &mut [T], width: usize) {
    let (upper, lower) = quarters.split_at_mut(plane.len() / 2);
    for (half, first_row) in [(upper, 0), (lower, 1)] {
        let (left, right) = half.split_at_mut(plane.len() / 4);
        let rows = plane.chunks_exact(width).skip(first_row).step_by(2);
        let halves = left.chunks_exact_mut(width / 2).zip(right.chunks_exact_mut(width / 2));
        for (row, (left, right)) in rows.zip(halves) {
            let pairs = row.as_chunks::<2>().0.iter();
            let each = pairs.zip(left.iter_mut().zip(right));
            each.for_each(|(&pair, (a, b))| [*a, *b] = pair);
        }
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
