//! Whether a worker is at work on a run: the one place that decides it.
//!
//! Asked in this order, until one answers:
//!
//! 1. **The lock of the run's own directory** ([`super::run_lock`]). Held: a worker is at work. Free, and the worker was
//!    one of this boot of this computer: it is gone, whatever process has its number now.
//! 2. **The process** named by the status, where the file system refuses locks: it counts if it can be seen and has this
//!    very directory open.
//! 3. **The heartbeat**, for workers of other computers and containers. It is a sign of life only if it *changes* between
//!    two looks, timed by this process's own monotonic clock; clocks of two computers are never compared.
//!
//! The third needs two looks: the first answers [`Health::Undecided`]. Programs that stay look again anyway; commands that
//! look once use [`settled`], which waits for the second.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::statfs;
use rustix::process::Signal;

use super::process::{FileId, Sighting, is_worker, signal_if, visible};
use super::run_dir::RunDir;
use super::run_lock::{self, Lock};
use super::status::{Status, now_ms};

/// A worker writes its heartbeat every second; one that is this late hangs, or is gone.
pub const HEARTBEAT_LIMIT: Duration = Duration::from_secs(10);
/// A worker whose heartbeat did not change for this long since the first look is not believed to live; on file systems of
/// other computers, which keep what they have read for a while, for this much longer.
const SECOND_LOOK: Duration = Duration::from_secs(3);
const SECOND_LOOK_REMOTE: Duration = Duration::from_secs(10);
/// A worker that takes a run over from another computer's watches for this long: what is read over a network may be a
/// minute old (`acregmax` of nfs(5)).
pub const TAKEOVER_LOOK: Duration = Duration::from_secs(60);
/// A launched worker that says nothing for this long did not start.
pub const START_LIMIT: Duration = Duration::from_secs(15);
pub(super) const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
/// A status this old, on a disk of this computer, needs no second look.
const STALE: Duration = Duration::from_secs(600);

/// Whether someone works on a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// The worker runs and says so.
    Alive,
    /// The worker holds the run but has not written its heartbeat for a while: it hangs, or was suspended.
    Silent,
    /// The worker ended without reporting it, or never started; the run can be resumed.
    Lost,
    /// Finished, stopped or failed.
    Over,
    /// No status yet: just launched.
    Unknown,
    /// Only a second look can tell whether the worker, which this computer cannot see, lives.
    Undecided,
    /// A newer mosaic works or worked on it, in a format that this one cannot read.
    Newer,
}

impl Health {
    /// Whether a worker is known to hold the run.
    pub fn is_at_work(self) -> bool {
        matches!(self, Self::Alive | Self::Silent)
    }
}

/// Judges a run by one look, in the light of earlier ones; `status` is what it says now.
pub fn look(run: &RunDir, status: Option<&Status>) -> Health {
    judge(run, status, run_lock::look(run.path()))
}

/// Judges a run, waiting up to three seconds for a second look where one cannot tell.
pub fn settled(run: &RunDir) -> Health {
    loop {
        let now = run.readable_status().map_or(Health::Newer, |status| look(run, status.as_ref()));
        match now {
            Health::Undecided => thread::sleep(BETWEEN_LOOKS),
            decided => return decided,
        }
    }
}

/// Whether anybody works on a run or may do so: what must not be pulled from under a worker. Waits as [`settled`], and
/// gives a worker that was just killed a moment to end.
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

/// Of a worker of this computer, whose clock is ours.
fn by_own_clock(status: &Status) -> Health {
    let age = Duration::from_millis(now_ms().saturating_sub(status.heartbeat_ms));
    if age < HEARTBEAT_LIMIT { Health::Alive } else { Health::Silent }
}

fn has_open(run: &RunDir, pid: u32) -> io::Result<bool> {
    FileId::of(run.path())?.is_open_in(pid)
}

/// What was seen of a run before, by the path of its directory.
static SEEN: LazyLock<Mutex<HashMap<PathBuf, Beat>>> = LazyLock::new(Mutex::default);

#[derive(Clone, Copy, Debug)]
struct Beat {
    /// As the worker wrote it; only compared with itself.
    heartbeat_ms: u64,
    /// When this heartbeat was seen first.
    since: Instant,
    /// Whether an earlier one was seen.
    has_changed: bool,
}

fn forget(path: &Path) {
    SEEN.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
}

/// What is remembered of a run, this look included.
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

/// A run without a status is being launched, unless nothing comes of it.
fn never_said_anything(run: &RunDir) -> Health {
    if !run.run_toml_path().is_file() {
        return Health::Unknown;
    }
    if is_older_here(&run.run_toml_path(), START_LIMIT) {
        return Health::Lost;
    }
    // No heartbeat was written yet: the time of the first look counts.
    match remember(run.path(), 0).since.elapsed() < START_LIMIT {
        true => Health::Unknown,
        false => Health::Lost,
    }
}

/// Whether a file was written longer ago than `limit`, on a disk whose clock is ours.
fn is_older_here(path: &Path, limit: Duration) -> bool {
    let age = || {
        let written = std::fs::metadata(path).and_then(|data| data.modified()).ok()?;
        SystemTime::now().duration_since(written).ok()
    };
    is_local(path) && age().is_some_and(|age| age > limit)
}

/// Whether a file lies on a disk of this computer, so that nobody else writes it.
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

/// What came of a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The worker that holds the run has got it: its process number here.
    Sent(u32),
    /// No worker holds the run.
    NoWorker,
    /// A worker holds it, and cannot be reached from here: why.
    OutOfReach(String),
}

/// Sends a signal to the worker that holds `run`, and to no other process: it must hold the lock of this very directory, or
/// have it open where the system does not name the holders of locks.
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

/// The worker that the status names, or another that is found to hold the run.
fn find_holder(run: &RunDir, status: Option<&Status>) -> Option<u32> {
    let named = status.and_then(|status| status.worker.pid_here());
    named.filter(|&pid| holds(run, pid)).or_else(|| {
        let holders = FileId::of(run.path()).map(|id| id.lock_holders()).unwrap_or_default();
        let found = holders.into_iter().find(|&pid| is_worker(pid) && holds(run, pid));
        found.or_else(|| visible().find(|&pid| is_worker(pid) && holds(run, pid)))
    })
}

/// Whether process `pid` holds the run: by the system's list of locks, or because it has the directory open.
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
    use crate::runs::process::ProcessId;
    use crate::runs::run_lock::RunLock;
    use crate::runs::runs_dir::RunsDir;
    use crate::runs::status::RunState;

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
        // Its process runs: it is this one. Only the lock says whether it works on this directory.
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

    #[test]
    fn no_signal_goes_to_a_process_that_does_not_hold_the_run() {
        let place = tempfile::tempdir().unwrap();
        let mut sleeper = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let worker = ProcessId::of(sleeper.id()).unwrap();
        let status = Status { worker, ..Status::new(RunState::Training, 2) };
        let run = run_in(place.path(), &status);
        let kill = || signal_worker(&run, Some(&status), Signal::KILL).unwrap();
        assert_eq!(kill(), Delivery::NoWorker);
        let lock = RunLock::take(run.path()).unwrap();
        assert!(
            matches!(kill(), Delivery::OutOfReach(words) if words.contains("does not work on"))
        );
        let other = Status { worker: elsewhere(), host: Some("box".to_owned()), ..status.clone() };
        let reply = signal_worker(&run, Some(&other), Signal::KILL).unwrap();
        assert!(matches!(reply, Delivery::OutOfReach(words) if words.contains("'box'")));
        assert!(sleeper.try_wait().unwrap().is_none());
        drop(lock);
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
    }
}
