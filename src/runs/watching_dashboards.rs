//! Whether somebody looks at a run: a dashboard that shows it holds a shared lock on its events, which the kernel frees
//! when the dashboard ends, however it ends. Where the file system has no locks, nobody is seen to look.

use std::fs::File;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::run_dir::RunDir;

/// Held by a dashboard while it shows a run.
#[derive(Debug)]
pub struct Watcher {
    _events: File,
}

impl Watcher {
    /// Shows that somebody looks at `run`; `None` if its events cannot be locked.
    pub fn of(run: &RunDir) -> Option<Self> {
        let events = File::open(run.events_path()).ok()?;
        flock(&events, FlockOperation::NonBlockingLockShared).ok()?;
        Some(Self { _events: events })
    }
}

/// Whether somebody looks at `run`.
pub fn is_watched(run: &RunDir) -> bool {
    File::open(run.events_path()).is_ok_and(|events| {
        flock(&events, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_watched_while_somebody_looks() {
        let place = tempfile::tempdir().unwrap();
        let run = RunDir::open(place.path());
        assert!(Watcher::of(&run).is_none() && !is_watched(&run));
        std::fs::write(run.events_path(), "").unwrap();
        assert!(!is_watched(&run));
        let looks = (Watcher::of(&run).unwrap(), Watcher::of(&run).unwrap());
        assert!(is_watched(&run));
        drop(looks.0);
        assert!(is_watched(&run));
        drop(looks.1);
        assert!(!is_watched(&run));
    }
}
