//! `status.json`: where a run stands, replaced atomically by its worker.

use serde::{Deserialize, Serialize};

/// Where a run stands, as its worker last said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// The directory exists; the worker loads data and compiles nothing yet.
    Starting,
    Training,
    Paused,
    /// Training is over; samples are compared and the report is written.
    Comparing,
    Finished,
    /// Ended early by a user; can be resumed.
    Stopped,
    /// Ended by an error; the reason is in the status and the log.
    Failed,
}

impl RunState {
    /// True when no worker is expected to be alive.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Finished | Self::Stopped | Self::Failed)
    }
}

/// The content of `status.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Format version, [`super::event::EVENT_FORMAT`].
    pub v: u32,
    pub state: RunState,
    /// Optimiser updates done, of `steps`.
    pub step: u64,
    pub steps: u64,
    pub worker: WorkerId,
    /// Milliseconds since the Unix epoch; refreshed at least every two seconds.
    pub heartbeat_ms: u64,
    pub steps_per_s: f64,
    pub eta_s: Option<f64>,
    /// The device in words, e.g. `cpu (2 threads)`.
    pub device: String,
    pub loss: Option<f64>,
    /// Why it stands so, in words for people: an error, or what it is doing.
    pub message: Option<String>,
}

/// Which process is the worker; a pid alone may have been given to another one since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerId {
    pub pid: u32,
    /// Field 22 of `/proc/PID/stat`: start time in clock ticks since boot.
    pub start_ticks: u64,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
}
