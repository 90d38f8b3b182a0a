//! Patch sides by sampling step, as Kamb & Ganguli's `scales_*.pt` hold them: a list or a tensor of odd whole numbers.
//!
//! Entry `i - 1` of the list is the side that their calibration (`scales_calibration.py`) found at t = i/n, which is the
//! order of `theory.scales`. Their sampler, though, reads entry `i` at t = i/n and does not use entry 0.

use bytes::Bytes;

use super::error::WeightsError;
use super::pickle_objects::{Id, Object, Objects};
use super::stored_tensor::StoredTensor;
use super::torch_file::TorchFile;

/// Most sampling steps.
const STEPS_MAX: usize = 1000;

/// Reads the sides in the order of the file.
///
/// # Errors
///
/// If the file holds anything but one list or tensor of 1 to 1,000 odd numbers.
pub fn read(bytes: &Bytes) -> Result<Vec<usize>, WeightsError> {
    let file = TorchFile::parse(bytes)?;
    let (objects, root) = (&file.pickled.objects, file.pickled.root);
    let values: Vec<f64> = match objects.get(root) {
        Object::Tensor(view) => {
            let (kind, bytes) = file.storage(&view.storage)?;
            let tensor = StoredTensor::of_view(view, kind, bytes)
                .map_err(|problem| WeightsError::tensor("scales", problem))?;
            if tensor.shape().len() != 1 {
                let problem = format!(
                    "it holds a tensor of shape {:?}; take the 'median' of the calibration, one side per step",
                    tensor.shape()
                );
                return Err(WeightsError::NoPatchSides { problem });
            }
            tensor.values().take(STEPS_MAX + 1).collect()
        }
        Object::Sequence(_, items) => {
            items.iter().take(STEPS_MAX + 1).map(|&item| number(objects, item)).collect()
        }
        _ => {
            let problem = "it is no list and no tensor".to_owned();
            return Err(WeightsError::NoPatchSides { problem });
        }
    };
    if values.is_empty() || values.len() > STEPS_MAX {
        let problem = format!("it must have 1 to {STEPS_MAX} entries");
        return Err(WeightsError::NoPatchSides { problem });
    }
    let side = |&value: &f64| {
        let is_odd = (1.0..1e6).contains(&value) && value % 2.0 == 1.0;
        if is_odd {
            return Ok(value as usize);
        }
        let problem = format!("an entry is {value}; sides are odd whole numbers");
        Err(WeightsError::NoPatchSides { problem })
    };
    values.iter().map(side).collect()
}

/// The number at `id`; NaN if it is none.
fn number(objects: &Objects, id: Id) -> f64 {
    match objects.get(id) {
        Object::Int(value) => *value as f64,
        Object::Float(value) => *value,
        _ => f64::NAN,
    }
}
