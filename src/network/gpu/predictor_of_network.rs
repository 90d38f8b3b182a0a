//! The GPU predictor of one network whose tensors are on that GPU.

use std::sync::{Arc, OnceLock};

use candle_core::{DType, Device, DeviceLocation, Tensor};

use super::sampling_predictor::{Predicted, Predictor, Query, Weights};
use crate::network::attention_layer::{AttentionDetail, AttentionRecord, Prediction};
use crate::network::network_config::{AttentionVariant, NetworkConfig};
use crate::network::ops::attention_statistics::N_FIGURES;
use crate::network::parameters::NetworkError;

/// The predictor of a network, shared by networks of one architecture, and the weights in its order.
pub struct BoundPredictor {
    predictor: Option<Arc<Predictor>>,
    weights: OnceLock<Arc<Weights>>,
}

impl BoundPredictor {
    /// Predicts nothing if tensors are not single precision on a GPU or the network is not supported there.
    pub fn new(config: &NetworkConfig, dtype: DType, device: &Device) -> Self {
        let predictor = match device.location() {
            DeviceLocation::Cuda { gpu_id } if dtype == DType::F32 => {
                Predictor::new(gpu_id, config).map(Arc::new)
            }
            _ => None,
        };
        Self { predictor, weights: OnceLock::new() }
    }

    /// Uses the predictor of another network of the same architecture.
    pub fn share(&mut self, other: &Self) {
        self.predictor = other.predictor.clone();
    }

    /// Most images of a pass, if there is a predictor.
    pub fn images_max(&self, detail: AttentionDetail) -> Option<usize> {
        self.predictor.as_ref().map(|predictor| predictor.images_max(detail))
    }

    /// The prediction for `query` with `parameters`, which must be the same at every call; `None` without a predictor.
    pub fn predict(
        &self,
        config: &NetworkConfig,
        parameters: &[(String, Tensor)],
        query: Query<'_>,
    ) -> Option<Result<Prediction, NetworkError>> {
        let predictor = self.predictor.as_ref()?;
        let predict = || {
            let weights = match self.weights.get() {
                Some(weights) => weights,
                None => {
                    let taken = Arc::new(predictor.weights(|name| values(parameters, name))?);
                    self.weights.get_or_init(|| taken)
                }
            };
            Ok(prediction(config, query, predictor.predict(weights, query)?)?)
        };
        Some(predict())
    }
}

fn values(parameters: &[(String, Tensor)], name: &str) -> Result<Vec<f32>, NetworkError> {
    let found = parameters.iter().find(|(other, _)| other == name);
    let (_, tensor) = found.ok_or_else(|| NetworkError::Missing { name: name.to_owned() })?;
    Ok(tensor.flatten_all()?.to_vec1()?)
}

/// Converts to tensors on the CPU.
fn prediction(
    config: &NetworkConfig,
    query: Query<'_>,
    found: Predicted,
) -> candle_core::Result<Prediction> {
    let shape = config.image;
    let (batch, n) = (query.x.len() / shape.n_values(), shape.n_pixels());
    let dims = (batch, shape.channels, shape.height, shape.width);
    let eps = Tensor::from_vec(found.eps, dims, &Device::Cpu)?;
    let Some(attention) = config.attention.filter(|_| query.detail != AttentionDetail::Nothing)
    else {
        return Ok(Prediction { eps, record: AttentionRecord::default() });
    };
    let (heads, variant) = (attention.heads, attention.variant);
    if variant != AttentionVariant::Softmax {
        let maps = Some(variant.fixed_maps((batch, heads, n), DType::F32, &Device::Cpu)?);
        return Ok(Prediction { eps, record: AttentionRecord { maps, figures: None } });
    }
    let figures =
        Some(Tensor::from_vec(found.figures, (batch, heads, N_FIGURES, n), &Device::Cpu)?);
    let maps = match query.detail {
        AttentionDetail::Maps => {
            Some(Tensor::from_vec(found.maps, (batch, heads, n, n), &Device::Cpu)?)
        }
        _ => None,
    };
    Ok(Prediction { eps, record: AttentionRecord { maps, figures } })
}
