//! Sends a signal, such as KILL, to the worker of a run and to no other process.

use std::io;

use rustix::process::Signal;

use super::alive_silent_or_lost::{has_open, settled};
use super::process_identity::{FileId, is_worker, signal_if, visible};
use super::run_dir::RunDir;
use super::run_lock::{self, Lock};
use super::status_json::Status;

/// Outcome of a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Delivered to the worker that holds the run; its local process number.
    Sent(u32),
    /// No worker holds the run.
    NoWorker,
    /// A worker holds the run but cannot be reached from here, for this reason.
    OutOfReach(String),
}

/// Sends a signal to the worker that holds `run`, and to no other process. The process must hold the lock of
/// this very directory, or have it open if the system does not list the holders of locks.
///
/// # Errors
///
/// If the worker's process was found but the signal cannot be delivered.
pub fn signal_worker(
    run: &RunDir,
    status: Option<&Status>,
    signal: Signal,
) -> io::Result<Delivery> {
    if run_lock::look(run.path()) != Lock::Held && !settled(run).is_at_work() {
        return Ok(Delivery::NoWorker);
    }
    let Some(pid) = find_holder(run, status) else {
        return Ok(Delivery::OutOfReach(why_out_of_reach(run, status)));
    };
    match signal_if(pid, signal, || holds(run, pid))? {
        true => Ok(Delivery::Sent(pid)),
        false => Ok(Delivery::NoWorker),
    }
}

/// The worker named in the status, or else any process found to hold the run.
fn find_holder(run: &RunDir, status: Option<&Status>) -> Option<u32> {
    let named = status.and_then(|status| status.worker.pid_here());
    named.filter(|&pid| holds(run, pid)).or_else(|| {
        let holders = FileId::of(run.path()).map(|id| id.lock_holders()).unwrap_or_default();
        let found = holders.into_iter().find(|&pid| is_worker(pid) && holds(run, pid));
        found.or_else(|| visible().find(|&pid| is_worker(pid) && holds(run, pid)))
    })
}

/// True if process `pid` holds the run: it is in the kernel's list of locks, or has the directory open.
fn holds(run: &RunDir, pid: u32) -> bool {
    let Ok(id) = FileId::of(run.path()) else { return false };
    id.lock_holders().contains(&pid) || id.is_open_in(pid).unwrap_or(false)
}

fn why_out_of_reach(run: &RunDir, status: Option<&Status>) -> String {
    let Some(status) = status else {
        return "its status cannot be read, and no visible process holds it".to_owned();
    };
    let worker = &status.worker;
    match (worker.pid_here(), worker.is_of_this_boot(), &status.host) {
        (Some(pid), ..) => match has_open(run, pid) {
            Err(error) => format!("process {pid} cannot be inspected ({error})"),
            Ok(_) => {
                format!("process {pid}, named by its status, does not have this directory open")
            }
        },
        (None, true, _) => format!("it is process {} of another container", worker.pid),
        (None, false, Some(host)) => {
            format!("it is process {} on the computer '{host}'", worker.pid)
        }
        (None, false, None) => format!("it is process {} on another computer", worker.pid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::process_identity::ProcessId;
    use crate::runs::run_lock::RunLock;
    use crate::runs::runs_dir::RunsDir;
    use crate::runs::status_json::RunState;

    #[test]
    fn no_signal_goes_to_a_process_that_does_not_hold_the_run() {
        let place = tempfile::tempdir().unwrap();
        let mut sleeper = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let worker = ProcessId::of(sleeper.id()).unwrap();
        let status = Status { worker, ..Status::new(RunState::Training, 2) };
        let run = RunsDir::new(place.path()).create("a").unwrap();
        status.write(&run.status_path()).unwrap();
        let kill = || signal_worker(&run, Some(&status), Signal::KILL).unwrap();
        assert_eq!(kill(), Delivery::NoWorker);
        let lock = RunLock::take(run.path()).unwrap();
        assert!(
            matches!(kill(), Delivery::OutOfReach(words) if words.contains("does not have this directory open"))
        );
        let elsewhere = ProcessId { boot_id: "another boot".to_owned(), ..ProcessId::current() };
        let other = Status { worker: elsewhere, host: Some("box".to_owned()), ..status.clone() };
        let reply = signal_worker(&run, Some(&other), Signal::KILL).unwrap();
        assert!(matches!(reply, Delivery::OutOfReach(words) if words.contains("'box'")));
        assert!(sleeper.try_wait().unwrap().is_none());
        drop(lock);
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
    }
}
