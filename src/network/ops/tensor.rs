//! Slices of candle's CPU storage, and operations that are functions of such slices.

use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, Error, InplaceOp2, Layout, Result, Shape, Tensor,
    WithDType,
};
use pulp::Arch;
use rayon::prelude::*;

use super::candle_numbers::Real;
use super::operation_times::{Work, timed};

/// The values of a contiguous tensor.
///
/// # Errors
///
/// If the tensor is not contiguous, or its values are not of type `T`.
pub fn values<'a, T: WithDType>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    let (start, end) = layout.contiguous_offsets().ok_or_else(not_contiguous)?;
    Ok(&T::cpu_storage_as_slice(storage)?[start..end])
}

fn not_contiguous() -> Error {
    Error::Msg("an operation was given a tensor that is not contiguous".into())
}

/// Places and channels that are moved together, so that what is read and written stays in the cache.
const BLOCK: usize = 16;

/// `planes`, `[C, n]`, in the order `[n, lanes]`.
pub fn channels_last<T: Copy>(planes: &[T], n: usize, out: &mut [T], lanes: usize) {
    for (block, planes) in planes.chunks(BLOCK * n).enumerate() {
        for first in (0..n).step_by(BLOCK) {
            let end = (first + BLOCK).min(n);
            for (p, row) in (first..end).zip(out[first * lanes..].chunks_exact_mut(lanes)) {
                let row = row[block * BLOCK..].iter_mut();
                row.zip(planes.chunks_exact(n)).for_each(|(to, plane)| *to = plane[p]);
            }
        }
    }
}

/// `last`, `[n, lanes]`, in the order `[C, n]`.
pub fn channels_first<T: Copy>(last: &[T], n: usize, lanes: usize, out: &mut [T]) {
    for (block, planes) in out.chunks_mut(BLOCK * n).enumerate() {
        for first in (0..n).step_by(BLOCK) {
            let end = (first + BLOCK).min(n);
            for (c, plane) in planes.chunks_exact_mut(n).enumerate() {
                let values = last[first * lanes + block * BLOCK + c..].iter().step_by(lanes);
                plane[first..end].iter_mut().zip(values).for_each(|(to, &v)| *to = v);
            }
        }
    }
}

/// Runs `$body` with `$T` standing for the storage's number type, `f32` or `f64`.
macro_rules! by_dtype {
    ($storage:expr, $T:ident => $body:expr) => {
        match $storage {
            candle_core::CpuStorage::F32(_) => {
                type $T = f32;
                $body
            }
            candle_core::CpuStorage::F64(_) => {
                type $T = f64;
                $body
            }
            _ => Err(candle_core::Error::Msg("network operations work in f32 or f64 only".into())),
        }
    };
}
pub(crate) use by_dtype;

/// The values of a result, and its shape.
pub type Computed<T> = Result<(Vec<T>, Shape)>;

/// The gradients of an operation's inputs; `None` for those that need none.
pub type Gradients<const N: usize> = Result<[Option<Tensor>; N]>;

/// An operation on the values of `N` tensors on the CPU.
pub trait Operation<const N: usize> {
    const NAME: &'static str;
    const WORK: Option<Work> = None;

    /// The result and its shape.
    ///
    /// # Errors
    ///
    /// If the operation does not accept inputs of these shapes.
    fn compute<T: Real>(&self, values: [&[T]; N], shapes: [&Shape; N]) -> Computed<T>;

    /// The gradients of the inputs, from that of the result `y`; an error for an operation without any.
    ///
    /// # Errors
    ///
    /// If a tensor operation fails.
    fn gradients(&self, _inputs: [&Tensor; N], _y: &Tensor, _dy: &Tensor) -> Gradients<N> {
        Err(Error::BackwardNotSupported { op: Self::NAME })
    }
}

/// An [`Operation`] as candle takes it.
pub struct Op<O>(pub O);

fn run<const N: usize, O: Operation<N>>(
    operation: &O,
    inputs: [(&CpuStorage, &Layout); N],
) -> Result<(CpuStorage, Shape)> {
    let _timer = O::WORK.map(timed);
    by_dtype!(inputs[0].0, T => {
        let mut slices: [&[T]; N] = [&[]; N];
        for (slice, (storage, layout)) in slices.iter_mut().zip(inputs) {
            *slice = values(storage, layout)?;
        }
        let (out, shape) = operation.compute(slices, inputs.map(|(_, layout)| layout.shape()))?;
        Ok((T::to_cpu_storage_owned(out), shape))
    })
}

impl<O: Operation<1>> CustomOp1 for Op<O> {
    fn name(&self) -> &'static str {
        O::NAME
    }

    fn cpu_fwd(&self, a: &CpuStorage, a_layout: &Layout) -> Result<(CpuStorage, Shape)> {
        run(&self.0, [(a, a_layout)])
    }

    fn bwd(&self, a: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        self.0.gradients([a], y, dy).map(|[da]| da)
    }
}

impl<O: Operation<2>> CustomOp2 for Op<O> {
    fn name(&self) -> &'static str {
        O::NAME
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        run(&self.0, [(a, a_layout), (b, b_layout)])
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        self.0.gradients([a, b], y, dy).map(Into::into)
    }
}

impl<O: Operation<3>> CustomOp3 for Op<O> {
    fn name(&self) -> &'static str {
        O::NAME
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
        c: &CpuStorage,
        c_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        run(&self.0, [(a, a_layout), (b, b_layout), (c, c_layout)])
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        c: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        self.0.gradients([a, b, c], y, dy).map(Into::into)
    }
}

/// Values that are worth waking a thread for.
pub const PIECE_MIN: usize = 1 << 12;

/// Values of the size of `inputs`, which are cut into images of `per_image` values: `image` computes one from those of
/// the inputs, on all threads and with the vectors of the processor.
pub fn by_image<T: Real, const N: usize>(
    inputs: [&[T]; N],
    per_image: usize,
    image: impl Fn(&mut [T], [&[T]; N]) + Sync,
) -> Vec<T> {
    let mut out = vec![T::ZERO; inputs[0].len()];
    let images = out.par_chunks_mut(per_image).with_min_len(PIECE_MIN.div_ceil(per_image));
    images.enumerate().for_each(|(index, out)| {
        let inputs = inputs.map(|values| &values[index * per_image..][..out.len()]);
        Arch::new().dispatch(|| image(out, inputs));
    });
    out
}

/// A change of a tensor's values from those of another, in place and in one pass on the CPU, with the vectors of the
/// processor (`apply` has to be inlined for that).
pub trait Change {
    const NAME: &'static str;

    fn apply<T: Real>(&self, changed: &mut [T], other: &[T]);
}

/// A [`Change`] as candle takes it.
pub struct InPlace<C>(pub C);

impl<C: Change> InplaceOp2 for InPlace<C> {
    fn name(&self) -> &'static str {
        C::NAME
    }

    fn cpu_fwd(
        &self,
        changed: &mut CpuStorage,
        layout: &Layout,
        other: &CpuStorage,
        other_layout: &Layout,
    ) -> Result<()> {
        let (start, end) = layout.contiguous_offsets().ok_or_else(not_contiguous)?;
        match changed {
            CpuStorage::F32(all) => {
                let (all, other) = (&mut all[start..end], values(other, other_layout)?);
                Arch::new().dispatch(|| self.0.apply(all, other));
            }
            CpuStorage::F64(all) => {
                let (all, other) = (&mut all[start..end], values(other, other_layout)?);
                Arch::new().dispatch(|| self.0.apply(all, other));
            }
            _ => return Err(Error::Msg("network operations work in f32 or f64 only".into())),
        }
        Ok(())
    }
}

/// How operations are checked: against another way to compute the same, or finite differences.
#[cfg(test)]
pub mod check {
    use candle_core::{Device, Result, Tensor, Var};

    use crate::random::{Purpose, stream};
    use rand::RngExt;

    pub fn pseudo_random(shape: &[usize], seed: u64) -> Tensor {
        let mut generator = stream(seed, Purpose::Weights, 99);
        let n = shape.iter().product();
        let values: Vec<f64> = (0..n).map(|_| generator.random_range(-1.0..1.0)).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    pub fn assert_close(a: &Tensor, b: &Tensor, tolerance: f64) {
        assert_eq!(a.dims(), b.dims());
        let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        for (i, (a, b)) in flat(a).iter().zip(flat(b)).enumerate() {
            assert!((a - b).abs() <= tolerance * (1.0 + b.abs()), "value {i}: {a} is not {b}");
        }
    }

    /// A scalar that weighs every output differently, so that no gradient is hidden by symmetry.
    fn weigh(y: &Tensor) -> Tensor {
        (y * pseudo_random(y.dims(), 77).to_dtype(y.dtype()).unwrap()).unwrap().sum_all().unwrap()
    }

    /// Gradients of a weighted sum of the operation's output with respect to each input.
    pub fn gradients(inputs: &[Tensor], op: impl Fn(&[Tensor]) -> Result<Tensor>) -> Vec<Tensor> {
        let variables: Vec<Var> = inputs.iter().map(|t| Var::from_tensor(t).unwrap()).collect();
        let tensors: Vec<Tensor> = variables.iter().map(|v| v.as_tensor().clone()).collect();
        let gradients = weigh(&op(&tensors).unwrap()).backward().unwrap();
        tensors.iter().map(|t| gradients.get(t).unwrap().clone()).collect()
    }

    pub fn same_values_and_gradients(
        inputs: &[Tensor],
        ours: impl Fn(&[Tensor]) -> Result<Tensor>,
        reference: impl Fn(&[Tensor]) -> Result<Tensor>,
    ) {
        assert_close(&ours(inputs).unwrap(), &reference(inputs).unwrap(), 1e-12);
        for (a, b) in gradients(inputs, ours).iter().zip(&gradients(inputs, reference)) {
            assert_close(a, b, 1e-11);
        }
    }

    /// Compares gradients with central differences in double precision.
    pub fn gradients_match_differences(
        inputs: &[Tensor],
        op: impl Fn(&[Tensor]) -> Result<Tensor>,
    ) {
        const STEP: f64 = 1e-6;
        let analytic = gradients(inputs, &op);
        for (which, gradient) in analytic.iter().enumerate() {
            let values = inputs[which].flatten_all().unwrap().to_vec1::<f64>().unwrap();
            let at = |index: usize, change: f64| {
                let mut values = values.clone();
                values[index] += change;
                let mut inputs = inputs.to_vec();
                inputs[which] = Tensor::from_vec(values, gradient.dims(), &Device::Cpu).unwrap();
                weigh(&op(&inputs).unwrap()).to_scalar::<f64>().unwrap()
            };
            let gradient = gradient.flatten_all().unwrap().to_vec1::<f64>().unwrap();
            for (index, &g) in gradient.iter().enumerate() {
                let difference = (at(index, STEP) - at(index, -STEP)) / (2.0 * STEP);
                let error = (g - difference).abs();
                assert!(
                    error < 1e-7 * (1.0 + g.abs()),
                    "input {which}, value {index}: {g} {difference}"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_of_channels_are_each_others_inverse() {
        let (channels, n, lanes) = (19, 35, 32);
        let image: Vec<f32> = (0..channels * n).map(|i| i as f32).collect();
        let mut last = vec![0.0; n * lanes];
        channels_last(&image, n, &mut last, lanes);
        assert_eq!(last[3 * lanes + 2], (2 * n + 3) as f32);
        let mut back = vec![0.0; channels * n];
        channels_first(&last, n, lanes, &mut back);
        assert_eq!(back, image);
    }
}
