//! Replaces `gpu.rs` in builds without the feature `cudnn`.

use std::sync::Arc;

use super::config::TrainingConfig;
use super::error::TrainingError;
use super::state::Opened;
use crate::dataset::Dataset;
use crate::network::Network;

/// Always returns the reason why there is no GPU training.
///
/// # Errors
///
/// Never: the reason is the inner result's error.
pub fn fresh(
    _config: &TrainingConfig,
    _network: &Network,
    _dataset: &Arc<Dataset>,
) -> Result<Opened, TrainingError> {
    Ok(Err("this build has no cuDNN (--features cudnn)".to_owned()))
}
