//! All tensors of a PyTorch file by the names that `state_dict()` would give them, whether it holds a state_dict, a whole
//! module, or dictionaries of those.
//!
//! A module is a record with `_parameters`, `_buffers` and `_modules`. Names of nested dictionaries and modules are
//! joined by dots.

use std::collections::BTreeMap;

use super::error::WeightsError;
use super::pickle_objects::{Id, Object, Objects};
use super::stored_tensor::StoredTensor;
use super::torch_file::TorchFile;

/// Limits of what is walked through; a pickle can refer to the same objects any number of times.
const TENSORS_MAX: usize = 10_000;
const OBJECTS_MAX: usize = 100_000;
const DEPTH_MAX: usize = 24;
const PATH_BYTES_MAX: usize = 300;

/// What a file holds.
#[derive(Debug, Default)]
pub struct NamedTensors {
    pub tensors: BTreeMap<String, StoredTensor>,
    /// `padding_mode` of the convolutions of whole modules, by their path.
    pub padding_modes: BTreeMap<String, String>,
    /// Number of groups of the normalisations of whole modules, by their path.
    pub group_counts: BTreeMap<String, usize>,
}

/// Collects the tensors of a file.
///
/// # Errors
///
/// If a tensor does not fit its storage, or there are too many tensors or layers of nesting.
pub fn collect(file: &TorchFile) -> Result<NamedTensors, WeightsError> {
    let mut walk = Walk { file, found: NamedTensors::default(), n_objects: 0 };
    walk.visit(file.pickled.root, "", 0)?;
    Ok(walk.found)
}

struct Walk<'a> {
    file: &'a TorchFile,
    found: NamedTensors,
    n_objects: usize,
}

impl<'a> Walk<'a> {
    fn objects(&self) -> &'a Objects {
        &self.file.pickled.objects
    }

    /// Counts objects that are looked at.
    fn count(&mut self, n: usize) -> Result<(), WeightsError> {
        self.n_objects += n;
        match self.n_objects <= OBJECTS_MAX {
            true => Ok(()),
            false => Err(WeightsError::TooMany { most: OBJECTS_MAX, what: "nested objects" }),
        }
    }

    fn visit(&mut self, id: Id, path: &str, depth: usize) -> Result<(), WeightsError> {
        self.count(1)?;
        if depth > DEPTH_MAX {
            return Err(WeightsError::TooMany { most: DEPTH_MAX, what: "layers of nesting" });
        }
        match self.objects().get(id) {
            Object::Tensor(view) => {
                let (kind, bytes) = self.file.storage(&view.storage)?;
                let tensor = StoredTensor::of_view(view, kind, bytes)
                    .map_err(|problem| WeightsError::tensor(path, problem))?;
                if self.found.tensors.len() >= TENSORS_MAX {
                    return Err(WeightsError::TooMany { most: TENSORS_MAX, what: "tensors" });
                }
                self.found.tensors.insert(path.to_owned(), tensor);
            }
            Object::Dict(entries) => self.entries(entries, path, depth)?,
            Object::Instance(instance) => {
                if let Some(state) = instance.state {
                    self.module(&instance.class.name, state, path, depth)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn entries(
        &mut self,
        entries: &'a [(Id, Id)],
        path: &str,
        depth: usize,
    ) -> Result<(), WeightsError> {
        self.count(entries.len())?;
        for &(key, value) in entries {
            let number;
            let key: &str = match self.objects().get(key) {
                Object::Text(key) => key,
                // Numbers of parameters, in states of optimisers.
                Object::Int(key) => {
                    number = key.to_string();
                    &number
                }
                _ => continue,
            };
            if path.len() + key.len() > PATH_BYTES_MAX {
                return Err(WeightsError::TooMany {
                    most: PATH_BYTES_MAX,
                    what: "letters in a name",
                });
            }
            let inner = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
            self.visit(value, &inner, depth + 1)?;
        }
        Ok(())
    }

    /// A module's own tensors and those of its parts.
    fn module(
        &mut self,
        class: &str,
        state: Id,
        path: &str,
        depth: usize,
    ) -> Result<(), WeightsError> {
        let objects = self.objects();
        let Object::Dict(attributes) = objects.get(state) else { return Ok(()) };
        self.count(attributes.len())?;
        if class == "Conv2d"
            && let Some(mode) = objects.entry(state, "padding_mode").and_then(|id| objects.text(id))
            && mode.len() <= PATH_BYTES_MAX
        {
            self.found.padding_modes.insert(path.to_owned(), mode.to_owned());
        }
        if class == "GroupNorm"
            && let Some(n) = objects.entry(state, "num_groups").and_then(|id| objects.size(id))
        {
            self.found.group_counts.insert(path.to_owned(), n);
        }
        for part in ["_parameters", "_buffers", "_modules"] {
            let Some(part) = objects.entry(state, part) else { continue };
            if let Object::Dict(entries) = objects.get(part) {
                self.entries(entries, path, depth)?;
            }
        }
        Ok(())
    }
}
