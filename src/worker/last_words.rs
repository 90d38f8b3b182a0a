//! The last words of a worker whose memory is exhausted: without them its run would be lost, and nobody could say why.

use std::path::PathBuf;
use std::sync::OnceLock;

use crate::allocator::when_exhausted;
use crate::hardware::resource_limits::memory;
use crate::runs::event::EventBody;
use crate::runs::events::EventLog;
use crate::runs::run_dir::RunDir;
use crate::runs::status::{RunState, Status};
use crate::runs::status_board::log;

/// Where the run's status and events are.
static PLACE: OnceLock<(PathBuf, PathBuf)> = OnceLock::new();

/// From now on a failed allocation ends the run as failed, with the reason.
pub fn prepare(run: &RunDir) {
    let _ = PLACE.set((run.status_path(), run.events_path()));
    when_exhausted(say);
}

/// Takes no lock and reads what stands on disk: the thread that ran out of memory may hold the board.
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
    // Nothing is left to be done about failures here; the log has the reason.
    let _ = last.write(status_path);
    let event = EventBody::State { state, reason: Some(reason) };
    let _ = EventLog::open(events_path).and_then(|mut events| events.append(step, event));
}
