//! Compares a file's tensors with the parameters of a network: each has to be used exactly once.

use std::collections::BTreeMap;

use super::error::WeightsError;
use super::stored_tensor::StoredTensor;
use crate::network::network_config::NetworkConfig;
use crate::network::{Network, NetworkError, TensorMap};

/// The parameters of a network with the configuration `config`, from a file's tensors.
///
/// # Errors
///
/// If the configuration is invalid, if parameters are missing, superfluous or of another shape (all are named), or if one
/// holds no finite fractions.
pub fn parameters(
    config: &NetworkConfig,
    tensors: &BTreeMap<String, StoredTensor>,
) -> Result<TensorMap, WeightsError> {
    let outline = Network::outline(config).map_err(|error| WeightsError::NotComputed {
        problem: match error {
            NetworkError::Config { problem } => problem,
            other => other.to_string(),
        },
    })?;
    let mut problems = Vec::new();
    for (name, expected) in &outline {
        match tensors.get(name) {
            None => problems.push(format!("'{name}' {expected:?} is missing")),
            Some(tensor) if tensor.shape() != expected => {
                problems.push(format!("'{name}' has shape {:?}, not {expected:?}", tensor.shape()));
            }
            Some(_) => {}
        }
    }
    for (name, tensor) in tensors {
        if !outline.iter().any(|(known, _)| known == name) {
            let problem = format!(
                "'{}' {:?} belongs to nothing in this network",
                name.escape_debug(),
                tensor.shape()
            );
            problems.push(problem);
        }
    }
    if !problems.is_empty() {
        return Err(WeightsError::Misfit { problems });
    }
    tensors.iter().map(|(name, tensor)| Ok((name.clone(), tensor.weights(name)?))).collect()
}
