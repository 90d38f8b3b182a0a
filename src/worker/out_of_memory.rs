//! Final report of a worker that runs out of memory; without it the run would appear as lost, for no known
//! reason.

use std::path::PathBuf;
use std::sync::OnceLock;

use crate::allocator::when_exhausted;
use crate::hardware::resource_limits::memory;
use crate::runs::event::EventBody;
use crate::runs::event_log::EventLog;
use crate::runs::run_dir::RunDir;
use crate::runs::status_and_heartbeat::log;
use crate::runs::status_json::{RunState, Status};

/// Paths of the run's status and events.
static PLACE: OnceLock<(PathBuf, PathBuf)> = OnceLock::new();

/// From now on, a failed allocation ends the run as failed, with the reason.
pub fn prepare(run: &RunDir) {
    let _ = PLACE.set((run.status_path(), run.events_path()));
    when_exhausted(say);
}

/// Takes no lock and reads the status from disk, because the thread that ran out of memory may hold the board's
/// lock.
fn say(bytes: usize) {
    let reason = format!(
        "out of memory: an allocation of {bytes} bytes failed; {}; the run can be resumed from its last checkpoint",
        memory()
    );
    log(&format!("error: {reason}"));
    let Some((status_path, events_path)) = PLACE.get() else { return };
    let Ok(Some(status)) = Status::read(status_path) else { return };
    let (step, state) = (status.step, RunState::Failed);
    let last = Status { state, message: Some(reason.clone()), eta_s: None, ..status };
    // Failures cannot be handled here; the log has the reason.
    let _ = last.write(status_path);
    let event = EventBody::State { state, reason: Some(reason) };
    let _ = EventLog::open(events_path).and_then(|mut events| events.append(step, event));
}
