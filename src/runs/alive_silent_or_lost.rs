//! Whether a run's worker is alive, silent or lost; all other code asks here.
//!
//! The evidence, in order of precedence:
//!
//! 1. **The lock of the run's directory** ([`super::run_lock`]). If it is held, a worker is alive. If it is free and
//!    the worker ran on this boot of this computer, the worker is gone, whatever process has its number now.
//! 2. **The process** named in the status, on file systems that refuse locks. It counts if it is visible and has this
//!    directory open.
//! 3. **The heartbeat**, for workers on other computers and in other containers. It counts only if it *changes*
//!    between two looks, timed by this process's own monotonic clock; the clocks of two computers are never compared.
//!
//! The third needs two looks: the first returns [`Health::Undecided`]. Long-running programs look again anyway;
//! one-shot commands use [`settled`], which waits for the second look.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use std::{io, thread};

use rustix::fs::statfs;

use super::process_identity::{FileId, Sighting};
use super::run_dir::RunDir;
use super::run_lock::{self, Lock};
use super::status_json::{Status, now_ms};

/// A worker writes its heartbeat every second; if it is overdue by this much, the worker hangs or is gone.
pub const HEARTBEAT_LIMIT: Duration = Duration::from_secs(10);
/// A worker whose heartbeat has not changed for this long since the first look is taken for dead. Network file
/// systems, which cache reads, get the longer limit.
const SECOND_LOOK: Duration = Duration::from_secs(3);
const SECOND_LOOK_REMOTE: Duration = Duration::from_secs(10);
/// A worker that takes over a run from another computer's worker observes the heartbeat for this long: data
/// read over NFS may be a minute old (`acregmax` of nfs(5)).
pub const TAKEOVER_LOOK: Duration = Duration::from_secs(60);
/// A launched worker that reports nothing for this long did not start.
pub const START_LIMIT: Duration = Duration::from_secs(15);
pub(super) const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
/// A status older than this, on a local disk, needs no second look.
const STALE: Duration = Duration::from_secs(600);

/// Whether a run has a live worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// The worker is running and its heartbeat is recent.
    Alive,
    /// The worker holds the run but its heartbeat is overdue: it hangs or was suspended.
    Silent,
    /// The worker ended without reporting it, or never started; the run can be resumed.
    Lost,
    /// Finished, stopped or failed.
    Over,
    /// No status yet: the run was just launched.
    Unknown,
    /// The worker is not visible from this computer; a second look is needed to decide whether it is alive.
    Undecided,
    /// Written by a newer mosaic in a format that this version cannot read.
    Newer,
}

impl Health {
    /// True if a worker is known to hold the run.
    pub fn is_at_work(self) -> bool {
        matches!(self, Self::Alive | Self::Silent)
    }
}

/// Judges a run by one look and the memory of earlier ones; `status` is its current status.
pub fn look(run: &RunDir, status: Option<&Status>) -> Health {
    judge(run, status, run_lock::look(run.path()))
}

/// Judges a run, waiting for a second look if one is not enough: 3 seconds on a local disk, 10 on a network
/// file system.
pub fn settled(run: &RunDir) -> Health {
    loop {
        let now = run.readable_status().map_or(Health::Newer, |status| look(run, status.as_ref()));
        match now {
            Health::Undecided => thread::sleep(BETWEEN_LOOKS),
            decided => return decided,
        }
    }
}

/// True if a worker holds or may hold the run, so that its directory must not be touched. Waits as [`settled`]
/// does, and gives a worker that was just killed a moment to exit.
pub fn is_at_work(run: &RunDir) -> bool {
    match run_lock::look_patiently(run.path()) {
        Lock::Held => true,
        Lock::Free | Lock::Refused => settled(run).is_at_work(),
    }
}

fn judge(run: &RunDir, status: Option<&Status>, lock: Lock) -> Health {
    let Some(status) = status else {
        return match lock {
            Lock::Held => Health::Unknown,
            Lock::Free | Lock::Refused => never_said_anything(run),
        };
    };
    if status.state.is_over() {
        forget(run.path());
        return Health::Over;
    }
    match (lock, status.worker.sighting()) {
        (Lock::Held, _) if status.worker.is_of_this_boot() => by_own_clock(status),
        (Lock::Held, _) => Health::Alive,
        (Lock::Free, _) if status.worker.is_of_this_boot() => Health::Lost,
        (Lock::Refused, Sighting::Gone) => Health::Lost,
        (Lock::Refused, Sighting::Running) => match has_open(run, status.worker.pid) {
            Ok(true) => by_own_clock(status),
            Ok(false) => Health::Lost,
            Err(_) => by_heartbeat(run, status),
        },
        (Lock::Free | Lock::Refused, _) => by_heartbeat(run, status),
    }
}

/// Judges a worker of this computer, which shares our clock.
fn by_own_clock(status: &Status) -> Health {
    let age = Duration::from_millis(now_ms().saturating_sub(status.heartbeat_ms));
    if age < HEARTBEAT_LIMIT { Health::Alive } else { Health::Silent }
}

/// True if process `pid` has the run's directory open.
pub(super) fn has_open(run: &RunDir, pid: u32) -> io::Result<bool> {
    FileId::of(run.path())?.is_open_in(pid)
}

/// Heartbeats seen in earlier looks, by the path of the run's directory.
static SEEN: LazyLock<Mutex<HashMap<PathBuf, Beat>>> = LazyLock::new(Mutex::default);

#[derive(Clone, Copy, Debug)]
struct Beat {
    /// As written by the worker; only compared with itself.
    heartbeat_ms: u64,
    /// Time at which this heartbeat was first seen.
    since: Instant,
    /// True if an earlier heartbeat, different from this one, was seen.
    has_changed: bool,
}

fn forget(path: &Path) {
    SEEN.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
}

/// Records the heartbeat and returns the memory of the run, this look included.
fn remember(path: &Path, heartbeat_ms: u64) -> Beat {
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let new = |has_changed| Beat { heartbeat_ms, since: Instant::now(), has_changed };
    let beat = seen.entry(path.to_owned()).or_insert_with(|| new(false));
    if beat.heartbeat_ms != heartbeat_ms {
        *beat = new(true);
    }
    *beat
}

fn by_heartbeat(run: &RunDir, status: &Status) -> Health {
    if is_older_here(&run.status_path(), STALE) {
        return Health::Lost;
    }
    let beat = remember(run.path(), status.heartbeat_ms);
    let is_local = is_local(run.path());
    let second_look = if is_local { SECOND_LOOK } else { SECOND_LOOK_REMOTE };
    let limit = if is_local { HEARTBEAT_LIMIT } else { TAKEOVER_LOOK };
    match (beat.has_changed, beat.since.elapsed()) {
        (true, age) if age < limit => Health::Alive,
        (true, _) => Health::Lost,
        (false, age) if age < second_look => Health::Undecided,
        (false, _) => Health::Lost,
    }
}

/// A run without a status is being launched, unless it has taken too long.
fn never_said_anything(run: &RunDir) -> Health {
    if !run.run_toml_path().is_file() {
        return Health::Unknown;
    }
    if is_older_here(&run.run_toml_path(), START_LIMIT) {
        return Health::Lost;
    }
    // No heartbeat has been written yet, so the time of the first look counts.
    match remember(run.path(), 0).since.elapsed() < START_LIMIT {
        true => Health::Unknown,
        false => Health::Lost,
    }
}

/// True if a file on a local disk, whose timestamps come from our clock, is older than `limit`.
fn is_older_here(path: &Path, limit: Duration) -> bool {
    let age = || {
        let written = std::fs::metadata(path).and_then(|data| data.modified()).ok()?;
        SystemTime::now().duration_since(written).ok()
    };
    is_local(path) && age().is_some_and(|age| age > limit)
}

/// True if a file is on a local disk, so that no other computer writes it.
pub fn is_local(path: &Path) -> bool {
    // `f_type` of ext4, XFS, Btrfs, tmpfs, F2FS, ZFS, overlayfs, ramfs, bcachefs (statfs(2), linux/magic.h).
    const LOCAL: [u32; 9] = [
        0xEF53,
        0x5846_5342,
        0x9123_683E,
        0x0102_1994,
        0xF2F5_2010,
        0x2FC1_2FC1,
        0x794C_7630,
        0x8584_58F6,
        0xCA45_1A4E,
    ];
    statfs(path).is_ok_and(|found| {
        // The type of `f_type` differs between systems.
        LOCAL.into_iter().any(|magic| i128::from(magic) == i128::from(found.f_type))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::process_identity::ProcessId;
    use crate::runs::run_lock::RunLock;
    use crate::runs::runs_dir::RunsDir;
    use crate::runs::status_json::RunState;

    fn run_in(place: &Path, status: &Status) -> RunDir {
        let run = RunsDir::new(place).create("a").unwrap();
        std::fs::write(run.run_toml_path(), "").unwrap();
        status.write(&run.status_path()).unwrap();
        run
    }

    fn elsewhere() -> ProcessId {
        ProcessId { boot_id: "another boot".to_owned(), ..ProcessId::current() }
    }

    #[test]
    fn the_lock_decides_and_not_the_process() {
        let place = tempfile::tempdir().unwrap();
        // The recorded process is running: it is this one. Only the lock tells that it does not work on this
        // directory.
        let mut status = Status::new(RunState::Training, 2);
        let run = run_in(place.path(), &status);
        assert_eq!(look(&run, Some(&status)), Health::Lost);
        let lock = RunLock::take(run.path()).unwrap();
        assert_eq!(look(&run, Some(&status)), Health::Alive);
        status.heartbeat_ms -= 11_000;
        assert_eq!(look(&run, Some(&status)), Health::Silent);
        status.worker.start_ticks += 1;
        assert_eq!(look(&run, Some(&status)), Health::Silent);
        status.state = RunState::Finished;
        assert_eq!(look(&run, Some(&status)), Health::Over);
        assert!(is_at_work(&run), "the lock is held still");
        drop(lock);
        assert!(!is_at_work(&run));
    }

    #[test]
    fn a_heartbeat_of_another_computer_counts_only_while_it_changes() {
        let place = tempfile::tempdir().unwrap();
        for clock in [1_000, now_ms(), now_ms() + 3_600_000] {
            let mut status = Status { worker: elsewhere(), ..Status::new(RunState::Training, 2) };
            status.heartbeat_ms = clock;
            let run = run_in(place.path(), &status);
            assert_eq!(look(&run, Some(&status)), Health::Undecided, "one look cannot tell");
            status.heartbeat_ms += 1_000;
            assert_eq!(look(&run, Some(&status)), Health::Alive);
            assert_eq!(look(&run, Some(&status)), Health::Alive);
        }
        let status = Status { worker: elsewhere(), ..Status::new(RunState::Training, 2) };
        let still = run_in(place.path(), &status);
        assert_eq!(settled(&still), Health::Lost, "it never changed");
    }

    #[test]
    fn where_locks_are_refused_the_process_must_have_the_directory_open() {
        let place = tempfile::tempdir().unwrap();
        let status = Status::new(RunState::Training, 2);
        let run = run_in(place.path(), &status);
        assert_eq!(judge(&run, Some(&status), Lock::Refused), Health::Lost, "a copy");
        let open = std::fs::File::open(run.path()).unwrap();
        assert_eq!(judge(&run, Some(&status), Lock::Refused), Health::Alive);
        drop(open);
        let mut gone = status;
        gone.worker.start_ticks += 1;
        assert_eq!(judge(&run, Some(&gone), Lock::Refused), Health::Lost);
    }
}
