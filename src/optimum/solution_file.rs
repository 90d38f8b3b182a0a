//! A solution, or a descent that is not finished, on disk: a safetensors file that names what it was solved for.
//!
//! A file of another problem (other images, another class, or another version of the solver) or that cannot be read is
//! as good as none, because a solution can be found again.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use safetensors::tensor::Dtype;

use super::descent::Descent;
use super::function_of_class::{FunctionOfClass, FunctionSizes};
use super::solution::Solution;
use crate::arrays::safetensors_file::{Array, TensorFile, to_bytes};
use crate::files::write_output;
use crate::network::TensorMap;
use crate::training::optimizer_interface::Optimizer;
use crate::training::soap::Soap;

const PROBLEM: &str = "problem";
/// One digit per level: 1 where the function is better than the local machine.
const BETTER: &str = "better than the local machine";
const N_DONE: &str = "updates done";
/// Prefixes of the names of tensors.
const PARAMETER: &str = "parameter.";
const OPTIMIZER: &str = "optimizer.";

/// The solution in the file at `path`, if that is of `problem`.
pub fn read(path: &Path, problem: &str, sizes: FunctionSizes) -> Option<Solution> {
    let (header, tensors) = read_tensors(path, &[BETTER], problem)?;
    let is_better: Vec<bool> = header[0].chars().map(|digit| digit == '1').collect();
    let function = FunctionOfClass::frozen(sizes, &with_prefix(&tensors, PARAMETER)).ok()?;
    Some(Solution { function: Some(function), is_better: is_better.try_into().ok()? })
}

/// Writes the solution of `problem` to `path`, all or nothing.
///
/// # Errors
///
/// If the file cannot be written.
pub fn write(path: &Path, problem: &str, solution: &Solution) -> io::Result<()> {
    let digit = |better: &bool| if *better { '1' } else { '0' };
    let better: String = solution.is_better.iter().map(digit).collect();
    let function = solution.function.as_ref();
    let parameters = function.map(FunctionOfClass::parameters).transpose();
    let parameters = parameters.map_err(io::Error::other)?.unwrap_or_default();
    write_tensors(path, problem, (BETTER, better), named(PARAMETER, parameters))
}

/// The unfinished descent in the file at `path`, if that is of `problem`.
pub fn read_descent(path: &Path, problem: &str, sizes: FunctionSizes) -> Option<Descent> {
    let (header, tensors) = read_tensors(path, &[N_DONE], problem)?;
    let n_done: usize = header[0].parse().ok()?;
    let function = FunctionOfClass::continued(sizes, &with_prefix(&tensors, PARAMETER)).ok()?;
    let mut optimizer = Soap::new(function.variables().ok()?);
    let mut state = with_prefix(&tensors, OPTIMIZER);
    optimizer.restore(n_done as u64, &mut |name| state.remove(name)).ok()?;
    Some(Descent { n_done, function, optimizer })
}

/// Writes an unfinished descent to `path`, all or nothing.
///
/// # Errors
///
/// If the file cannot be written.
pub fn write_descent(path: &Path, problem: &str, descent: &Descent) -> io::Result<()> {
    let parameters = descent.function.parameters().map_err(io::Error::other)?;
    let state = descent.optimizer.state().map_err(io::Error::other)?;
    let tensors = named(PARAMETER, parameters).chain(named(OPTIMIZER, state));
    write_tensors(path, problem, (N_DONE, descent.n_done.to_string()), tensors)
}

fn named(
    prefix: &'static str,
    tensors: impl IntoIterator<Item = (String, Tensor)>,
) -> impl Iterator<Item = (String, Tensor)> {
    tensors.into_iter().map(move |(name, tensor)| (format!("{prefix}{name}"), tensor))
}

fn with_prefix(tensors: &TensorMap, prefix: &str) -> TensorMap {
    let found = |(name, tensor): (&String, &Tensor)| {
        Some((name.strip_prefix(prefix)?.to_owned(), tensor.clone()))
    };
    tensors.iter().filter_map(found).collect()
}

/// The header's values of `keys` and all tensors.
fn read_tensors(path: &Path, keys: &[&str], problem: &str) -> Option<(Vec<String>, TensorMap)> {
    let bytes = fs::read(path).ok()?;
    let file = TensorFile::parse(&bytes).ok()?;
    if file.word(PROBLEM).ok()? != problem {
        return None;
    }
    let header = keys.iter().map(|key| file.word(key).ok().cloned()).collect::<Option<_>>()?;
    let mut tensors = TensorMap::new();
    for name in file.names() {
        let tensor = file.tensor(name).ok().filter(|tensor| tensor.dtype() == Dtype::F32)?;
        let numbers = tensor.data().as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
        let tensor = Tensor::from_vec::<_, f32>(numbers, tensor.shape(), &Device::Cpu).ok()?;
        tensors.insert(name.to_owned(), tensor);
    }
    Some((header, tensors))
}

fn write_tensors(
    path: &Path,
    problem: &str,
    (key, value): (&str, String),
    tensors: impl Iterator<Item = (String, Tensor)>,
) -> io::Result<()> {
    let array = |(name, tensor): (String, Tensor)| -> candle_core::Result<Array> {
        let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Ok((name, Dtype::F32, tensor.dims().to_vec(), bytes))
    };
    let arrays = tensors.map(array).collect::<candle_core::Result<Vec<_>>>();
    let header = HashMap::from([(PROBLEM.to_owned(), problem.to_owned()), (key.to_owned(), value)]);
    let bytes = to_bytes(&arrays.map_err(io::Error::other)?, Some(header));
    Ok(write_output(path, &bytes.map_err(io::Error::other)?)?)
}
