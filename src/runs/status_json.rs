//! `status.json`: the current status of a run, replaced atomically by its worker.

use std::fs::File;
use std::io::ErrorKind::{QuotaExceeded, StorageFull};
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::control_holder::Holder;
use super::format_versions::{self, NewerFormat, RUN_FORMAT};
use super::process_identity::{ProcessId, host_name};
use crate::files::write_atomically;

/// State of a run as last reported by its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Waiting in the queue; see [`super::queue`].
    Queued,
    /// The directory exists and the worker is loading data.
    Starting,
    Training,
    Paused,
    /// Training is complete; samples are being compared and the report written.
    Comparing,
    Finished,
    /// Ended early at a user's request; can be resumed.
    Stopped,
    /// Ended by an error; the reason is in the status and the log.
    Failed,
}

impl RunState {
    /// True if no worker is expected to be alive.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Finished | Self::Stopped | Self::Failed)
    }
}

/// Minimum size of `status.json` in bytes, exceeded only if the message is very long.
const STATUS_BYTES: usize = 2048;

/// The content of `status.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Format version, [`super::format_versions::RUN_FORMAT`].
    pub v: u32,
    /// The worker's version of mosaic.
    #[serde(default)]
    pub version: String,
    pub state: RunState,
    /// Optimiser updates done, out of `steps`.
    pub step: u64,
    pub steps: u64,
    pub worker: ProcessId,
    /// Name of the worker's computer, for display.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Milliseconds since the Unix epoch; refreshed at least every two seconds.
    pub heartbeat_ms: u64,
    pub steps_per_s: f64,
    pub eta_s: Option<f64>,
    /// Description of the device, e.g. `cpu (2 threads)`.
    pub device: String,
    pub loss: Option<f64>,
    /// Message for the user: an error, or the current activity.
    pub message: Option<String>,
    /// The process that has control of the worker, if it is alive; see [`super::control_holder`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,
}

/// Current time in milliseconds since the Unix epoch.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Status {
    /// Initial status of a run of `steps` updates whose worker is this process.
    pub fn new(state: RunState, steps: u64) -> Self {
        Self {
            v: RUN_FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state,
            step: 0,
            steps,
            worker: ProcessId::current(),
            host: Some(host_name()).filter(|name| !name.is_empty()),
            heartbeat_ms: now_ms(),
            steps_per_s: 0.0,
            eta_s: None,
            device: String::new(),
            loss: None,
            message: None,
            holder: None,
        }
    }

    /// Reads `status.json`; `None` if it is missing or invalid.
    ///
    /// # Errors
    ///
    /// If it has a newer format, whose meaning must not be guessed.
    pub fn read(path: &Path) -> Result<Option<Self>, NewerFormat> {
        let Ok(text) = std::fs::read(path) else { return Ok(None) };
        format_versions::parse(&text, RUN_FORMAT)
    }

    /// Replaces `status.json` atomically: a reader sees the old one or the new one, never a mixture. On a full
    /// disk, with no room for a second file, the old one is overwritten in place: only then can a reader see a
    /// mixture, which does not parse, and has to read again.
    ///
    /// # Errors
    ///
    /// If the file cannot be written, or, on a full disk, cannot be overwritten in place either.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(self).map_err(io::Error::other)?;
        // Padded to a constant size, so that overwriting needs no new disk space.
        text.resize(text.len().max(STATUS_BYTES), b'\n');
        match write_atomically(path, &text) {
            Err(error) if matches!(error.kind(), StorageFull | QuotaExceeded) => {
                let mut file = File::options().write(true).open(path)?;
                file.write_all(&text)?;
                file.set_len(text.len() as u64)
            }
            result => result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_status_is_refused_and_half_of_one_is_none() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("status.json");
        assert_eq!(Status::read(&path), Ok(None));
        std::fs::write(&path, r#"{"v":7,"version":"9.9","state":"dreaming"}"#).unwrap();
        let error = Status::read(&path).unwrap_err();
        assert_eq!((error.found, error.writer.as_deref()), (7, Some("9.9")));
        std::fs::write(&path, r#"{"v":1,"state":"trai"#).unwrap();
        assert_eq!(Status::read(&path), Ok(None));
    }
}
