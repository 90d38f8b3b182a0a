//! `status.json`: where a run stands, replaced atomically by its worker.

use std::fs::File;
use std::io::ErrorKind::{QuotaExceeded, StorageFull};
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Where a run stands, as its worker last said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// The worker waits for its turn; see [`super::queue`].
    Queued,
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

/// Size of `status.json`, which a message can only exceed by being very long.
const STATUS_BYTES: usize = 2048;

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

/// Milliseconds since the Unix epoch, now.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl WorkerId {
    /// This process.
    pub fn current() -> Self {
        let pid = std::process::id();
        Self { pid, start_ticks: start_ticks(pid).unwrap_or(0), boot_id: boot_id() }
    }

    /// True when this very process still runs: same pid, same start, same boot, and no zombie.
    pub fn is_running(&self) -> bool {
        self.boot_id == boot_id() && start_ticks(self.pid) == Some(self.start_ticks)
    }
}

/// Field 22 of `/proc/PID/stat`; `None` when there is no such process or it is a zombie.
fn start_ticks(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in parentheses, which may itself hold spaces and parentheses.
    let fields: Vec<&str> = stat.get(stat.rfind(')')? + 1..)?.split_whitespace().collect();
    if matches!(fields.first(), Some(&"Z" | &"X")) {
        return None;
    }
    fields.get(19)?.parse().ok()
}

fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

impl Status {
    /// Reads `status.json`; `None` when there is none or it is not one.
    pub fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }

    /// Replaces `status.json`: a reader sees the old one or the new one, never a half. On a full disk,
    /// where there is no room for a second file, the old one is written over: only then could a reader
    /// meet a mixture, which does not parse, and look again.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(self).map_err(io::Error::other)?;
        // Of one size, so that writing over it needs no new room.
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

/// Writes a file beside its place and renames it there; a failure leaves nothing behind.
pub fn write_atomically(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let beside = path.with_file_name(name);
    let written = std::fs::write(&beside, content).and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        // The first error is the one to tell.
        let _ = std::fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_runs_and_its_namesakes_do_not() {
        let me = WorkerId::current();
        assert!(me.is_running());
        assert!(!WorkerId { start_ticks: me.start_ticks + 1, ..me.clone() }.is_running());
        assert!(!WorkerId { boot_id: "another boot".to_owned(), ..me }.is_running());
    }
}
