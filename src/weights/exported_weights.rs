//! The safetensors files that mosaic writes for others: tensors by the names of Kamb & Ganguli's `state_dict()`s, in single
//! precision, and one word of metadata, `mosaic`: a JSON object.
//!
//! ```text
//! {"format": 1, "run": "glyphs-cnn-abc123", "step": 10000, "weights": "averaged", "image": [3, 14, 14],
//!  "n_classes": null, "settings": {"network.width": 128, "network.padding": "circular", ...}}
//! ```

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::error::WeightsError;
use crate::network::TensorMap;

/// The metadata's key.
pub const HEADER_KEY: &str = "mosaic";
const FORMAT: u32 = 1;

/// What an exported file says about its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExportedHeader {
    pub format: u32,
    pub run: String,
    /// Training step.
    pub step: u64,
    /// `averaged` or `last`.
    pub weights: String,
    /// Channels, height, width.
    pub image: [usize; 3],
    pub n_classes: Option<usize>,
    /// Settings of the network, the noise schedule and the sampler by key.
    pub settings: BTreeMap<String, serde_json::Value>,
}

impl ExportedHeader {
    /// A header of the present format.
    pub fn new(
        run: &str,
        step: u64,
        weights: &str,
        image: [usize; 3],
        n_classes: Option<usize>,
        settings: BTreeMap<String, serde_json::Value>,
    ) -> Self {
        let (run, weights) = (run.to_owned(), weights.to_owned());
        Self { format: FORMAT, run, step, weights, image, n_classes, settings }
    }

    /// Reads the metadata.
    ///
    /// # Errors
    ///
    /// If it is no such object, or of a newer format.
    pub fn parse(text: &str) -> Result<Self, WeightsError> {
        let wrong = |problem: String| {
            WeightsError::damaged(format!("its metadata '{HEADER_KEY}' cannot be used: {problem}"))
        };
        let header: Self = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        match header.format {
            FORMAT => Ok(header),
            newer => Err(wrong(format!("its format is {newer}, but this mosaic reads {FORMAT}"))),
        }
    }

    /// The settings as `--set` takes them.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, String)> {
        self.settings.iter().map(|(key, value)| {
            let text = match value {
                serde_json::Value::String(text) => text.clone(),
                serde_json::Value::Array(items) => {
                    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
                }
                other => other.to_string(),
            };
            (key.as_str(), text)
        })
    }
}

/// The bytes of a file with these weights.
///
/// # Errors
///
/// If a tensor cannot be written.
pub fn to_bytes(weights: &TensorMap, header: &ExportedHeader) -> Result<Vec<u8>, WeightsError> {
    let failed = |error: String| WeightsError::damaged(format!("it cannot be written ({error})"));
    let words = serde_json::to_string(header).map_err(|error| failed(error.to_string()))?;
    let metadata = HashMap::from([(HEADER_KEY.to_owned(), words)]);
    safetensors::serialize(weights.iter(), Some(metadata))
        .map_err(|error| failed(error.to_string()))
}
