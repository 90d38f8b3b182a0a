//! The solution of one noise level on disk: a safetensors file that names what it was solved for.
//!
//! A file of another problem (other images, another class, or another version of the solver) or that cannot be read is
//! as good as none, because a solution can be found again.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

use candle_core::{Device, Tensor};
use safetensors::tensor::Dtype;

use super::level_solver::{LevelSolution, SolvedMember};
use super::local_features::Scale;
use crate::dataset::safetensors_file::{Array, TensorFile, to_bytes};
use crate::files::write_output;
use crate::network::TensorMap;

const PROBLEM_KEY: &str = "problem";
const BETTER_KEY: &str = "better than the local machine";
/// Names of the scale's tensors; those of parameters follow [`PARAMETER`].
const MEANS: &str = "scale.means";
const DEVIATIONS: &str = "scale.deviations";
const PARAMETER: &str = "parameter.";

/// The solution in the file at `path`, if that is of `problem`.
pub fn read(path: &Path, problem: &str) -> Option<LevelSolution> {
    let bytes = fs::read(path).ok()?;
    let file = TensorFile::parse(&bytes).ok()?;
    if file.word(PROBLEM_KEY).ok()? != problem {
        return None;
    }
    let names: Vec<&str> = file.names().collect();
    if names.is_empty() {
        return Some(LevelSolution::Local);
    }
    let values = |name: &str| -> Option<(Vec<usize>, Vec<f32>)> {
        let tensor = file.tensor(name).ok().filter(|tensor| tensor.dtype() == Dtype::F32)?;
        let numbers = tensor.data().as_chunks().0;
        Some((tensor.shape().to_vec(), numbers.iter().map(|&b| f32::from_le_bytes(b)).collect()))
    };
    let scale = Scale { means: values(MEANS)?.1, deviations: values(DEVIATIONS)?.1 };
    let mut parameters = TensorMap::new();
    for name in names {
        let Some(parameter) = name.strip_prefix(PARAMETER) else { continue };
        let (sizes, numbers) = values(name)?;
        let tensor = Tensor::from_vec(numbers, sizes, &Device::Cpu).ok()?;
        parameters.insert(parameter.to_owned(), tensor);
    }
    let is_better = file.word(BETTER_KEY).ok()? == "true";
    Some(LevelSolution::Member(Box::new(SolvedMember { scale, parameters, is_better })))
}

/// Writes the solution of `problem` to `path`, all or nothing.
///
/// # Errors
///
/// If the file cannot be written.
pub fn write(path: &Path, problem: &str, solution: &LevelSolution) -> io::Result<()> {
    let array = |name: String, sizes: Vec<usize>, values: &[f32]| -> Array {
        (name, Dtype::F32, sizes, values.iter().flat_map(|v| v.to_le_bytes()).collect())
    };
    let mut arrays = Vec::new();
    let mut header = HashMap::from([(PROBLEM_KEY.to_owned(), problem.to_owned())]);
    if let LevelSolution::Member(found) = solution {
        let SolvedMember { scale, parameters, is_better } = &**found;
        header.insert(BETTER_KEY.to_owned(), is_better.to_string());
        for (name, values) in [(MEANS, &scale.means), (DEVIATIONS, &scale.deviations)] {
            arrays.push(array(name.to_owned(), vec![values.len()], values));
        }
        for (name, tensor) in parameters {
            let values = tensor.flatten_all().and_then(|flat| flat.to_vec1::<f32>());
            let values = values.map_err(io::Error::other)?;
            arrays.push(array(format!("{PARAMETER}{name}"), tensor.dims().to_vec(), &values));
        }
    }
    let bytes = to_bytes(&arrays, Some(header)).map_err(io::Error::other)?;
    Ok(write_output(path, &bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_solution_is_read_back_for_its_own_problem_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let weight = Tensor::from_vec(vec![1.0_f32, -2.0], (1, 2), &Device::Cpu).unwrap();
        let parameters = TensorMap::from([("g.weight".to_owned(), weight)]);
        let scale = Scale { means: vec![0.5], deviations: vec![2.0] };
        let solved = SolvedMember { scale: scale.clone(), parameters, is_better: true };
        write(&path, "this", &LevelSolution::Member(Box::new(solved))).unwrap();
        let Some(LevelSolution::Member(found)) = read(&path, "this") else { panic!("no solution") };
        assert!(found.scale == scale && found.is_better);
        assert_eq!(found.parameters["g.weight"].to_vec2::<f32>().unwrap(), [[1.0, -2.0]]);
        assert!(read(&path, "other").is_none());
        write(&path, "this", &LevelSolution::Local).unwrap();
        assert!(matches!(read(&path, "this"), Some(LevelSolution::Local)));
        fs::write(&path, b"torn").unwrap();
        assert!(read(&path, "this").is_none());
    }
}
