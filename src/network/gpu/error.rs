//! Errors of the GPU engine, and how driver errors become them.

use cudarc::driver::DriverError;
use cudarc::driver::sys::CUresult;
use thiserror::Error;

use crate::hardware::nvidia_driver::reason;

/// Why the GPU engine could not be opened or could not run its commands.
#[derive(Clone, Debug, Error)]
pub enum EngineError {
    #[error("the GPU's memory has no room for {megabytes} MB")]
    OutOfMemory { megabytes: usize },
    #[error("a step is too large for a GPU: {problem}")]
    TooLarge { problem: String },
    #[error("the GPU failed while {doing}: {problem}")]
    Failed { doing: &'static str, problem: String },
}

/// Maps a driver error to [`EngineError::Failed`] while `doing`.
pub(super) fn failed(doing: &'static str) -> impl Fn(DriverError) -> EngineError {
    move |error| EngineError::Failed { doing, problem: reason(error) }
}

/// Maps a driver error of an allocation of `bytes` to [`EngineError::OutOfMemory`] if memory was full.
pub(super) fn no_room(bytes: usize) -> impl Fn(DriverError) -> EngineError {
    move |error| match error.0 {
        CUresult::CUDA_ERROR_OUT_OF_MEMORY => EngineError::OutOfMemory { megabytes: bytes >> 20 },
        _ => failed("taking memory")(error),
    }
}
