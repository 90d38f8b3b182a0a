//! The stop flag of long computations.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::diffusion::DenoiseError;

/// Checks the stop flag.
///
/// # Errors
///
/// Returns [`DenoiseError::Cancelled`] once `stop` is set.
pub fn check_stop(stop: &AtomicBool) -> Result<(), DenoiseError> {
    if stop.load(Ordering::SeqCst) { Err(DenoiseError::Cancelled) } else { Ok(()) }
}
