//! Stands for `gpu.rs` in a build without the feature `cudnn`.

use std::sync::Arc;

use super::config::TrainingConfig;
use super::error::TrainingError;
use super::state::TrainingState;
use crate::dataset::Dataset;
use crate::network::Network;

/// No state, and why.
#[expect(clippy::type_complexity, reason = "the type of gpu.rs")]
pub fn fresh(
    _config: &TrainingConfig,
    _network: &Network,
    _dataset: &Arc<Dataset>,
) -> Result<Result<(Box<dyn TrainingState>, Option<String>), String>, TrainingError> {
    Ok(Err("this build has no cuDNN (--features cudnn)".to_owned()))
}
