//! The parameters of a network: ordered, named tensors, initialised from an rng seed or copied from stored values.
//!
//! Initial values follow PyTorch's defaults for each kind of layer and are drawn on the CPU, one random stream per
//! parameter, so that they do not depend on device or number type. Deliberately absent: optimiser state and files
//! (`training`).

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use thiserror::Error;

use crate::random::{Purpose, stream};

/// Why a network could not be built or run.
#[derive(Debug, Error)]
pub enum NetworkError {
    #[error("the weights hold no '{name}', which this network needs")]
    Missing { name: String },
    #[error("the weights hold '{name}', which this network does not have")]
    Unexpected { name: String },
    #[error("weight '{name}' has shape '{found:?}' but this network needs '{expected:?}'")]
    Shape { name: String, expected: Vec<usize>, found: Vec<usize> },
    #[error("network configuration: {problem}")]
    Config { problem: String },
    #[error("a batch of {images} images came with {found} {what}")]
    Count { images: usize, what: &'static str, found: usize },
    #[error("class '{label}' is outside this network's {n_classes} classes")]
    Label { label: u32, n_classes: usize },
    #[error("a tensor operation failed")]
    Tensor(#[from] candle_core::Error),
    #[cfg(feature = "cudnn")]
    #[error(transparent)]
    Gpu(#[from] super::gpu::error::EngineError),
}

/// Named tensors in no particular order, as they come from a file.
pub type TensorMap = BTreeMap<String, Tensor>;

/// The initial values of a parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Initial {
    /// Uniform in +-1/sqrt(fan_in): PyTorch's `kaiming_uniform(a = sqrt(5))` and its biases.
    Uniform { fan_in: usize },
    /// Standard normal: PyTorch's `Embedding`.
    Normal,
    /// The same value everywhere.
    Constant(f64),
}

/// Where parameters come from while a network is built.
pub enum Source<'a> {
    /// Fresh trainable variables.
    Seed(u64),
    /// Trainable copies of stored values.
    Stored(&'a TensorMap),
    /// Constant copies of stored values: sampling then keeps no graph.
    Frozen(&'a TensorMap),
    /// Names and shapes alone: every value is the same zero, which takes no memory.
    Outline,
}

/// Creates parameters by name and keeps them in order.
pub struct Builder<'a> {
    source: Source<'a>,
    dtype: DType,
    device: Device,
    entries: Vec<(String, Tensor)>,
}

impl<'a> Builder<'a> {
    /// A builder of parameters of type `dtype` on `device`.
    pub fn new(source: Source<'a>, dtype: DType, device: &Device) -> Self {
        Self { source, dtype, device: device.clone(), entries: Vec::new() }
    }

    /// Creates the parameter called `name`.
    ///
    /// # Errors
    ///
    /// If the source has no such value, or one of another shape.
    pub fn parameter(
        &mut self,
        name: &str,
        shape: &[usize],
        initial: Initial,
    ) -> Result<Tensor, NetworkError> {
        let tensor = match self.source {
            Source::Seed(seed) => {
                let values = draw(seed, self.entries.len() as u64, shape.iter().product(), initial);
                self.variable(Tensor::from_vec(values, shape, &self.device)?.to_dtype(self.dtype)?)?
            }
            Source::Stored(map) => self.variable(self.stored(map, name, shape)?)?,
            Source::Frozen(map) => self.stored(map, name, shape)?,
            Source::Outline => Tensor::zeros(1, self.dtype, &self.device)?.broadcast_as(shape)?,
        };
        self.entries.push((name.to_owned(), tensor.clone()));
        Ok(tensor)
    }

    fn variable(&self, values: Tensor) -> Result<Tensor, NetworkError> {
        Ok(Var::from_tensor(&values)?.as_tensor().clone())
    }

    fn stored(&self, map: &TensorMap, name: &str, shape: &[usize]) -> Result<Tensor, NetworkError> {
        let stored =
            map.get(name).ok_or_else(|| NetworkError::Missing { name: name.to_owned() })?;
        if stored.dims() != shape {
            let (expected, found) = (shape.to_vec(), stored.dims().to_vec());
            return Err(NetworkError::Shape { name: name.to_owned(), expected, found });
        }
        // A copy: later updates of the original must not reach it.
        let copy = stored.detach().to_dtype(self.dtype)?.to_device(&self.device)?.copy()?;
        Ok(copy.contiguous()?)
    }

    /// All parameters in the order of their creation.
    ///
    /// # Errors
    ///
    /// If the source has values that no parameter used.
    pub fn finish(self) -> Result<Vec<(String, Tensor)>, NetworkError> {
        if let Source::Stored(map) | Source::Frozen(map) = self.source {
            let known = |name: &&String| self.entries.iter().any(|(known, _)| known == *name);
            if let Some(name) = map.keys().find(|name| !known(name)) {
                return Err(NetworkError::Unexpected { name: name.clone() });
            }
        }
        Ok(self.entries)
    }
}

fn draw(seed: u64, index: u64, n: usize, initial: Initial) -> Vec<f64> {
    let mut generator = stream(seed, Purpose::Weights, index);
    match initial {
        Initial::Uniform { fan_in } => {
            let bound = (fan_in as f64).sqrt().recip();
            (0..n).map(|_| generator.random_range(-bound..bound)).collect()
        }
        Initial::Normal => (0..n).map(|_| StandardNormal.sample(&mut generator)).collect(),
        Initial::Constant(value) => vec![value; n],
    }
}
