//! SOAP (Vyas et al., arXiv 2409.11321, algorithm 3): Adam in the eigenbases of the gradient's second moments.
//!
//! ```text
//! g' = g in the eigenbasis of every axis                  (for a matrix g' = Q_L^T g Q_R)
//! m' = b m' + (1 - b) g'      v' = b v' + (1 - b) g'^2    b = 0.95
//! d' = (m' / (1 - b^n)) / (sqrt(v' / (1 - b^n)) + 1e-8)
//! p  = p - rate (decay p + d)                             d = d' in the parameter's own coordinates
//! ```
//!
//! The axes of a matrix are its rows and columns; those of a convolution's weight `[out, in, k, k]` are output, input
//! and the k^2 places of the kernel. An axis of one value or of more than [`SIDE_MAX`] keeps its own coordinates, and so
//! does a vector, for which this is Adam. Every [`REFRESH_EVERY`] updates the eigenbases ([`super::eigenbasis`]) follow
//! the second moments; then m' is carried over to the new coordinates, and v' to their new order. (The authors keep m in
//! the parameter's coordinates and project it at every update, which is the same up to rounding.)
//!
//! The first update only takes the first gradient's eigenbases and changes no parameter, so that no gradient is measured
//! in eigenvectors of its own, as in the authors' code. n counts the updates after it.
//!
//! Parameters, and rows of their products, are distributed over threads, in single precision. CPU only.

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var};
use pulp::Arch;
use rayon::prelude::*;

use super::eigenbasis::{Direction, Eigenbasis, transposed};
use super::optimizer_interface::{Optimizer, Update};
use crate::network::ops::candle_numbers::Real;
use crate::network::ops::tensor::{Change, InPlace};

/// Decay of both moments.
const BETA: f32 = 0.95;
const EPSILON: f32 = 1e-8;
/// Updates between two refreshes of the eigenbases.
pub const REFRESH_EVERY: u64 = 10;
/// Values of the longest axis with an eigenbasis.
pub const SIDE_MAX: usize = 2048;

/// The optimiser's state for a list of parameters.
pub struct Soap {
    slots: Vec<Slot>,
    n_updates: u64,
}

struct Slot {
    name: String,
    parameter: Var,
    moments: Moments,
}

/// The state of one parameter.
#[derive(Clone, Debug)]
struct Moments {
    axes: Vec<Axis>,
    /// m', in eigenbasis coordinates, in the order of the parameter's values.
    mean: Vec<f32>,
    /// v', likewise.
    square: Vec<f32>,
}

/// One axis of a parameter.
#[derive(Clone, Debug)]
struct Axis {
    /// Number of values.
    n: usize,
    /// `None` if the axis keeps its own coordinates.
    basis: Option<Eigenbasis>,
}

impl Soap {
    /// Initialises all moments to zero. Updates of parameters that are not on the CPU fail.
    pub fn new(parameters: Vec<(String, Var)>) -> Self {
        let slot = |(name, parameter): (String, Var)| {
            let moments = Moments::new(parameter.dims());
            Slot { name, parameter, moments }
        };
        Self { slots: parameters.into_iter().map(slot).collect(), n_updates: 0 }
    }
}

impl Optimizer for Soap {
    fn n_updates(&self) -> u64 {
        self.n_updates
    }

    fn update(&mut self, gradients: &GradStore, update: Update) -> Result<()> {
        self.n_updates += 1;
        let (n, factor) = (self.n_updates, update.gradient_factor as f32);
        let change = |slot: &mut Slot| {
            let Some(gradient) = gradients.get(&slot.parameter) else { return Ok(()) };
            let gradient = gradient.detach().to_dtype(DType::F32)?.flatten_all()?;
            let mut gradient = gradient.to_vec1::<f32>()?;
            gradient.iter_mut().for_each(|g| *g *= factor);
            let Some(direction) = slot.moments.take(&gradient, n)? else { return Ok(()) };
            let direction = Tensor::from_vec(direction, slot.parameter.dims(), &Device::Cpu)?;
            let kept = 1.0 - update.rate * update.weight_decay;
            let step = InPlace(Step { rate: update.rate, kept });
            slot.parameter.inplace_op2(&direction.to_dtype(slot.parameter.dtype())?, &step)
        };
        // The largest first, so that no thread is left with it at the end.
        let mut slots: Vec<&mut Slot> = self.slots.iter_mut().collect();
        slots.sort_by_key(|slot| std::cmp::Reverse(slot.moments.n_products()));
        slots.into_iter().par_bridge().try_for_each(change)
    }

    /// m' and v' as `mean.NAME` and `square.NAME`; for axis i with an eigenbasis, its second moments and its vectors as
    /// `second-moments-i.NAME` and `eigenvectors-i.NAME`.
    fn state(&self) -> Result<Vec<(String, Tensor)>> {
        let mut state = Vec::new();
        for Slot { name, parameter, moments } in &self.slots {
            for (kind, values) in [("mean", &moments.mean), ("square", &moments.square)] {
                let values = Tensor::from_slice(values, parameter.dims(), &Device::Cpu)?;
                state.push((format!("{kind}.{name}"), values));
            }
            for (i, axis) in moments.axes.iter().enumerate() {
                if let Some(basis) = &axis.basis {
                    state.extend(names_of_axis(i, name).into_iter().zip(basis.tensors()?));
                }
            }
        }
        Ok(state)
    }

    fn restore(
        &mut self,
        n_updates: u64,
        take: &mut dyn FnMut(&str) -> Option<Tensor>,
    ) -> std::result::Result<(), String> {
        let mut of_shape = |name: &str, shape: &[usize]| {
            take(name).filter(|stored| stored.dims() == shape).ok_or(name.to_owned())
        };
        for Slot { name, parameter, moments } in &mut self.slots {
            for (kind, values) in [("mean", &mut moments.mean), ("square", &mut moments.square)] {
                let name = format!("{kind}.{name}");
                let stored = of_shape(&name, parameter.dims())?;
                *values = stored.flatten_all().and_then(|v| v.to_vec1()).map_err(|_| name)?;
            }
            for (i, axis) in moments.axes.iter_mut().enumerate() {
                let Some(basis) = &mut axis.basis else { continue };
                let [second_moments, vectors] = &names_of_axis(i, name);
                let shape = [axis.n; 2];
                let stored = [&of_shape(second_moments, &shape)?, &of_shape(vectors, &shape)?];
                *basis = Eigenbasis::from_tensors(stored).map_err(|_| second_moments.clone())?;
            }
        }
        self.n_updates = n_updates;
        Ok(())
    }
}

/// Names of the saved second moments and vectors of axis `i`.
fn names_of_axis(i: usize, parameter: &str) -> [String; 2] {
    ["second-moments", "eigenvectors"].map(|kind| format!("{kind}-{i}.{parameter}"))
}

/// Lengths of the axes of a parameter of this shape; none for a vector or a single number.
fn axes_of(shape: &[usize]) -> Vec<usize> {
    match shape {
        [] | [_] => Vec::new(),
        [rows, columns] => vec![*rows, *columns],
        [out, input, kernel @ ..] => vec![*out, *input, kernel.iter().product()],
    }
}

impl Moments {
    fn new(shape: &[usize]) -> Self {
        let axis = |n| {
            let basis = (2..=SIDE_MAX).contains(&n).then(|| Eigenbasis::new(n));
            Axis { n, basis }
        };
        let zeros = vec![0.0; shape.iter().product()];
        let axes = axes_of(shape).into_iter().map(axis).collect();
        Self { axes, mean: zeros.clone(), square: zeros }
    }

    /// Takes the gradient of update `n`, counted from 1. Returns the direction of the update in the parameter's own
    /// coordinates; `None` for the first.
    fn take(&mut self, gradient: &[f32], n: u64) -> Result<Option<Vec<f32>>> {
        if n == 1 {
            self.accumulate(gradient);
            for basis in self.axes.iter_mut().filter_map(|axis| axis.basis.as_mut()) {
                basis.decompose()?;
            }
            return Ok(None);
        }
        let mut rotated = self.rotate(gradient, Direction::Into);
        self.adam(&mut rotated, n - 1);
        let direction = self.rotate(&rotated, Direction::OutOf);
        self.accumulate(gradient);
        if (n - 1).is_multiple_of(REFRESH_EVERY) {
            self.refresh();
        }
        Ok(Some(direction))
    }

    /// Multiplications of a change of coordinates.
    fn n_products(&self) -> usize {
        let with_basis = self.axes.iter().filter(|axis| axis.basis.is_some());
        self.mean.len() * with_basis.map(|axis| axis.n).sum::<usize>()
    }

    /// Adam's direction in place of the gradient, and new moments, in eigenbasis coordinates.
    fn adam(&mut self, gradient: &mut [f32], n: u64) {
        let unbias = (1.0 - f64::from(BETA).powf(n as f64)) as f32;
        let moments = self.mean.iter_mut().zip(&mut self.square).zip(gradient);
        Arch::new().dispatch(|| {
            for ((m, v), g) in moments {
                *m = *m * BETA + *g * (1.0 - BETA);
                *v = *v * BETA + *g * *g * (1.0 - BETA);
                *g = (*m / unbias) / ((*v / unbias).sqrt() + EPSILON);
            }
        });
    }

    /// `values` in the other coordinates, axis by axis: each is the first in turn, and moved behind the others.
    fn rotate(&self, values: &[f32], direction: Direction) -> Vec<f32> {
        self.axes.iter().fold(values.to_vec(), |values, Axis { n, basis }| match basis {
            Some(basis) => basis.rotate(&values, direction),
            None => transposed(&values, *n),
        })
    }

    /// Adds a gradient to the second moments of every axis.
    fn accumulate(&mut self, gradient: &[f32]) {
        let mut values = gradient.to_vec();
        for Axis { n, basis } in &mut self.axes {
            values = match basis {
                Some(basis) => basis.accumulate(&values),
                None => transposed(&values, *n),
            };
        }
    }

    /// Lets the eigenbases follow the second moments.
    fn refresh(&mut self) {
        let mean = self.rotate(&self.mean, Direction::OutOf);
        for Axis { n, basis } in &mut self.axes {
            self.square = transposed(&self.square, *n);
            let Some(basis) = basis else { continue };
            let order = basis.refresh();
            let rows = self.square.chunks_exact(*n);
            self.square = rows.flat_map(|row| order.iter().map(|&old| row[old])).collect();
        }
        self.mean = self.rotate(&mean, Direction::Into);
    }
}

/// Updates a parameter along a direction, in place and in one pass.
struct Step {
    rate: f64,
    /// Factor left by weight decay.
    kept: f64,
}

impl Change for Step {
    const NAME: &'static str = "soap-step";

    #[inline(always)]
    fn apply<T: Real>(&self, parameter: &mut [T], direction: &[T]) {
        let [rate, kept] = [self.rate, self.kept].map(T::number);
        parameter.iter_mut().zip(direction).for_each(|(p, &d)| *p = *p * kept - rate * d);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::soap_specification::PlainSoap;

    const RATE: f64 = 0.1;

    /// Gradient `n` (from 0) of a parameter of this shape: no two axes or updates are alike.
    fn gradient(n: usize, shape: &[usize]) -> Tensor {
        let value = |i: usize| {
            let (i, n) = (i as f64, n as f64);
            (1.3 * i * i + 0.37 * (n + 1.0) * (n + 1.0) + i * n).sin()
        };
        let values: Vec<f64> = (0..shape.iter().product()).map(value).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    /// Gradients of `sum(w * p)`, which are `w`.
    fn gradients(parameters: &[(String, Var)], n: usize) -> GradStore {
        let sum = |(_, p): &(String, Var)| {
            (p.as_tensor() * gradient(n, p.dims())).unwrap().sum_all().unwrap()
        };
        let sums: Vec<Tensor> = parameters.iter().map(sum).collect();
        Tensor::stack(&sums, 0).unwrap().sum_all().unwrap().backward().unwrap()
    }

    fn zeros(shapes: &[&[usize]]) -> Vec<(String, Var)> {
        let zeros = |shape: &&[usize]| Var::zeros(*shape, DType::F64, &Device::Cpu).unwrap();
        shapes.iter().enumerate().map(|(i, shape)| (i.to_string(), zeros(shape))).collect()
    }

    fn values(parameter: &Var) -> Vec<f64> {
        parameter.flatten_all().unwrap().to_vec1().unwrap()
    }

    const PLAIN: Update = Update { rate: RATE, weight_decay: 0.0, gradient_factor: 1.0 };

    fn close(found: &[f64], expected: &[f64], tolerance: f64) {
        assert_eq!(found.len(), expected.len());
        for (i, (a, b)) in found.iter().zip(expected).enumerate() {
            assert!((a - b).abs() < tolerance, "value {i}: {a} is not {b}");
        }
    }

    /// From pytorch_optimizer 3.x, whose SOAP is the authors':
    ///
    /// ```python
    /// import torch, pytorch_optimizer
    /// torch.set_default_dtype(torch.float64)
    /// parameters = [torch.nn.Parameter(torch.zeros(shape)) for shape in [(5, 6), (4, 3, 4), (3,)]]
    /// soap = pytorch_optimizer.SOAP(parameters, lr=0.1, betas=(0.95, 0.95), weight_decay=0, precondition_frequency=10)
    /// for n in range(25):
    ///     for p in parameters:
    ///         i = torch.arange(p.numel())
    ///         p.grad = torch.sin(1.3 * i * i + 0.37 * (n + 1) ** 2 + i * n).reshape(p.shape)
    ///     soap.step()
    /// for p in parameters:
    ///     print([round(v, 4) for v in p.flatten().tolist()])
    /// ```
    ///
    /// The first gradients' unfoldings leave at most one direction of each axis out, so that their eigenvectors are
    /// determined up to signs, which make no difference.
    #[test]
    fn updates_are_those_of_the_reference() {
        let parameters = zeros(&[&[5, 6], &[4, 3, 2, 2], &[3]]);
        let mut soap = Soap::new(parameters.clone());
        (0..25).for_each(|n| soap.update(&gradients(&parameters, n), PLAIN).unwrap());
        let expected: [&[f64]; 3] = [
            &[
                -0.3528, 0.0407, 0.6434, -0.4189, -0.9078, -0.9232, 0.653, 0.5189, 0.6997, -0.771,
                0.5176, 0.0192, 0.1958, -1.0297, 0.0612, 0.2449, 1.3009, 0.7529, 0.0742, 0.1317,
                0.4663, -0.6888, 0.8178, -1.1893, -0.438, -0.0769, 0.1837, -0.0212, 0.7235, 0.6198,
            ],
            &[
                0.0027, -0.1841, 0.5006, -0.3427, -0.7876, -0.7792, 0.46, 0.4652, 0.5032, -0.7977,
                0.4242, -0.0385, 0.0878, -0.937, 0.0362, 0.1941, 0.8744, 0.769, -0.1046, 0.222,
                0.17, -0.6599, 0.5903, -1.0351, -0.3603, -0.1691, -0.0361, -0.0533, 0.7874, 0.1774,
                -0.9449, -0.5661, -0.6493, 0.3475, -0.3657, -1.2776, -0.1395, -0.5538, -0.0604,
                0.0261, -0.5203, -0.8156, 0.6482, -0.0076, 0.3849, 0.2665, 0.5014, 0.7551,
            ],
            &[-0.1876, 0.0111, 0.5512],
        ];
        for ((_, parameter), expected) in parameters.iter().zip(expected) {
            close(&values(parameter), expected, 2e-4);
        }
    }

    #[test]
    fn updates_are_those_of_the_specification() {
        for (rows, columns, weight_decay) in [(5, 6, 0.3), (8, 7, 0.0), (3, 3, 0.3)] {
            let parameters = zeros(&[&[rows, columns]]);
            let mut soap = Soap::new(parameters.clone());
            let mut plain = PlainSoap::new(rows, columns);
            for n in 0..35 {
                let update = Update { weight_decay, gradient_factor: 0.5, ..PLAIN };
                soap.update(&gradients(&parameters, n), update).unwrap();
                let g = (gradient(n, &[rows, columns]) * 0.5).unwrap().to_vec2().unwrap();
                plain.update(&g, RATE, weight_decay);
                close(&values(&parameters[0].1), &plain.p.concat(), 3e-4);
            }
        }
    }

    #[test]
    fn the_first_update_changes_nothing_and_a_vector_is_adam() {
        let parameters = zeros(&[&[4]]);
        let mut soap = Soap::new(parameters.clone());
        let mut expected = [0.0; 4];
        let [mut m, mut v] = [[0.0; 4]; 2];
        for n in 0..15 {
            soap.update(&gradients(&parameters, n), PLAIN).unwrap();
            if n > 0 {
                let unbias = 1.0 - 0.95_f64.powf(n as f64);
                for (i, g) in gradient(n, &[4]).to_vec1::<f64>().unwrap().into_iter().enumerate() {
                    m[i] = 0.95 * m[i] + 0.05 * g;
                    v[i] = 0.95 * v[i] + 0.05 * g * g;
                    expected[i] -= RATE * (m[i] / unbias) / (v[i] / unbias).sqrt();
                }
            }
            close(&values(&parameters[0].1), &expected, 1e-5);
        }
    }

    #[test]
    fn axes_of_one_value_or_too_many_have_no_eigenbasis() {
        let with_basis = |shape: &[usize]| -> Vec<Option<usize>> {
            let axes = Moments::new(shape).axes;
            axes.iter().map(|axis| axis.basis.as_ref().map(|_| axis.n)).collect()
        };
        assert_eq!(with_basis(&[64, 3, 3, 3]), [Some(64), Some(3), Some(9)]);
        assert_eq!(with_basis(&[64, 32, 1, 1]), [Some(64), Some(32), None]);
        assert_eq!(with_basis(&[SIDE_MAX + 1, 5]), [None, Some(5)]);
        assert_eq!(with_basis(&[1, 5]), [None, Some(5)]);
        assert_eq!(with_basis(&[64]), []);
    }

    #[test]
    fn a_gradient_of_zero_changes_nothing() {
        let parameters = zeros(&[&[3, 4]]);
        let mut soap = Soap::new(parameters.clone());
        let p = parameters[0].1.as_tensor();
        for _ in 0..12 {
            let zero = (p * 0.0).unwrap().sum_all().unwrap().backward().unwrap();
            soap.update(&zero, PLAIN).unwrap();
        }
        assert_eq!(values(&parameters[0].1), [0.0; 12]);
    }
}
