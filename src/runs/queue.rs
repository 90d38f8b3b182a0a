//! The run queue: queued runs start one after the other, in the order in which they were queued.
//!
//! There is no queue server. A queued run has a worker from the start, which holds no data and no device yet;
//! it polls the runs directory and starts when none of these is left:
//!
//! - an active run on the same device (`auto` may be any device), whether it was queued or not;
//! - a run that was queued earlier and whose worker is alive.
//!
//! A paused run does not block others, and continues at once when resumed. Two workers never start at the same
//! time: each one checks and enters its next state under a lock of the runs directory, which the kernel frees
//! if a worker dies.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::alive_silent_or_lost::Health;
use super::run_dir::RunDir;
use super::run_toml;
use super::runs_dir::{RunSummary, RunsDir};
use super::status_json::{RunState, now_ms};
use crate::files::{if_there, write_atomically};
use crate::hardware::device_request::DeviceRequest;

const LOCK: &str = ".queue.lock";

/// `queue.json` of a waiting run; removed when the run starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ticket {
    pub queued_ms: u64,
}

/// Appends a run to the queue.
///
/// # Errors
///
/// If the ticket cannot be written.
pub fn enter(run: &RunDir) -> io::Result<()> {
    let ticket = Ticket { queued_ms: now_ms() };
    write_atomically(&run.ticket_path(), &serde_json::to_vec(&ticket).map_err(io::Error::other)?)
}

/// Removes a run from the queue; does nothing if it is not queued.
///
/// # Errors
///
/// If the ticket cannot be removed.
pub fn leave(run: &RunDir) -> io::Result<()> {
    if_there(std::fs::remove_file(run.ticket_path())).map(drop)
}

/// The run's ticket, if it is queued.
pub fn ticket(run: &RunDir) -> Option<Ticket> {
    serde_json::from_slice(&std::fs::read(run.ticket_path()).ok()?).ok()
}

/// Exclusive right to check the queue and start, held until this is dropped.
#[derive(Debug)]
pub struct Turn {
    _lock: Option<File>,
}

impl Turn {
    /// Tries to take the lock of a runs directory; `None` if another worker has it, which lasts a moment unless
    /// that worker hangs. The directory itself is locked, which needs only read permission: in a shared, sticky
    /// directory, a lock file created by another user could not be opened for writing. If directories cannot be
    /// locked (NFS) or read (mode 1733), each user has a lock file; if nothing can be locked, two runs may
    /// start at once.
    ///
    /// # Errors
    ///
    /// If the directory cannot be locked and the user's lock file cannot be opened.
    pub fn try_take(runs: &Path) -> io::Result<Option<Self>> {
        let attempt = |file: File| match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Some(Some(Self { _lock: Some(file) })),
            Err(Errno::WOULDBLOCK) => Some(None),
            Err(_) => None,
        };
        if let Some(turn) = File::open(runs).ok().and_then(attempt) {
            return Ok(turn);
        }
        let path = runs.join(format!("{LOCK}-{}", rustix::process::getuid().as_raw()));
        let file = File::options().create(true).append(true).mode(0o600).open(path)?;
        Ok(attempt(file).unwrap_or(Some(Self { _lock: None })))
    }
}

/// The runs that `me` waits for: active ones first, then those ahead in the queue.
pub fn ahead(runs: &RunsDir, me: &RunDir) -> Vec<String> {
    let Some(mine) = ticket(me) else { return Vec::new() };
    let device = device(me);
    let id = me.id();
    let others = runs.list().into_iter().filter(|run| run.id != id);
    let mut found: Vec<(Option<Ticket>, String)> = others
        .filter(holds_up)
        .map(|run| (ticket(&run.dir), run))
        .filter(|(place, run)| place.is_none_or(|place| (place, &run.id) < (mine, &id)))
        .filter(|(_, run)| device.may_share(&self::device(&run.dir)))
        .map(|(place, run)| (place, run.id))
        .collect();
    found.sort();
    found.into_iter().map(|(_, id)| id).collect()
}

/// True if a run is active, or is queued and will be.
fn holds_up(run: &RunSummary) -> bool {
    match (run.health, run.status.as_ref().map(|status| status.state)) {
        (Health::Alive | Health::Silent, state) => state != Some(RunState::Paused),
        // Just launched, or undecided until the next look.
        (Health::Unknown | Health::Undecided, _) => true,
        // Nothing is known about a newer mosaic's run, and waiting for it might never end.
        (Health::Lost | Health::Over | Health::Newer, _) => false,
    }
}

/// The device that a run requested; `auto` if its description cannot be read.
fn device(run: &RunDir) -> DeviceRequest {
    run_toml::read(&run.run_toml_path()).map_or(DeviceRequest::Auto, |found| found.device)
}

/// Status message of a waiting run.
pub fn words(ahead: &[String]) -> String {
    match ahead {
        [] => "queued".to_owned(),
        [one] => format!("waiting for {one}"),
        [first, rest @ ..] => format!("waiting for {first} and {} more", rest.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::process_identity::ProcessId;
    use crate::runs::run_lock::RunLock;
    use crate::runs::status_json::Status;

    fn say(run: &RunDir, state: RunState, worker: ProcessId) {
        let status = Status { worker, ..Status::new(state, 1) };
        status.write(&run.status_path()).unwrap();
    }

    #[test]
    fn a_run_waits_for_those_at_work_and_those_queued_before_it() {
        let place = tempfile::tempdir().unwrap();
        let runs = RunsDir::new(place.path());
        let [busy, first, second] = ["a", "b", "c"].map(|name| runs.create(name).unwrap());
        let me = ProcessId::current();
        let lock = |run: &RunDir| RunLock::take(run.path()).unwrap();
        let _locks = [lock(&busy), lock(&second)];
        let of_first = lock(&first);
        say(&busy, RunState::Training, me.clone());
        for (at, run) in [&first, &second].into_iter().enumerate() {
            let ticket = Ticket { queued_ms: at as u64 };
            std::fs::write(run.ticket_path(), serde_json::to_vec(&ticket).unwrap()).unwrap();
            say(run, RunState::Queued, me.clone());
        }
        assert_eq!(ahead(&runs, &first), [busy.id()]);
        assert_eq!(ahead(&runs, &second), [busy.id(), first.id()]);
        assert_eq!(words(&ahead(&runs, &second)), format!("waiting for {} and 1 more", busy.id()));
        // A run that died in the queue, one that is paused and one that is over block nobody.
        drop(of_first);
        say(&busy, RunState::Paused, me.clone());
        assert!(ahead(&runs, &second).is_empty());
        say(&busy, RunState::Finished, me);
        assert!(ahead(&runs, &second).is_empty());
        leave(&second).unwrap();
        leave(&second).unwrap();
        assert_eq!(ticket(&second), None);
    }
}
