//! The size of the micro-batches (pieces) that a batch is computed in on a GPU: the largest that fit into its memory.

use super::training_config::TrainingConfig;
use crate::network::gpu::error::EngineError;

/// The result of `open` for the largest pieces that fit, and a note if they are smaller than configured. `open` is
/// called with their number of images.
///
/// # Errors
///
/// Those of `open`, except that memory is full; that too if there is no room for a single image.
pub fn largest_pieces<T>(
    config: &TrainingConfig,
    open: impl Fn(usize) -> Result<T, EngineError>,
) -> Result<(T, Option<String>), EngineError> {
    let mut n_pieces = config.accumulate;
    loop {
        let error = match open(config.batch / n_pieces) {
            Ok(opened) => return Ok((opened, note(config, n_pieces))),
            Err(error) => error,
        };
        let is_too_large =
            matches!(error, EngineError::OutOfMemory { .. } | EngineError::TooLarge { .. });
        match next_pieces(config.batch, n_pieces).filter(|_| is_too_large) {
            Some(next) => n_pieces = next,
            None => return Err(error),
        }
    }
}

fn note(config: &TrainingConfig, n_pieces: usize) -> Option<String> {
    (n_pieces > config.accumulate).then(|| {
        format!(
            "the GPU has no room for {} images at a time: batches of {} are computed in {n_pieces} \
             pieces, with the same result to rounding",
            config.batch / config.accumulate,
            config.batch
        )
    })
}

/// The next larger number of equal pieces that a batch can be split into.
fn next_pieces(batch: usize, n_pieces: usize) -> Option<usize> {
    (2 * n_pieces..=batch).find(|n| batch.is_multiple_of(*n))
}
