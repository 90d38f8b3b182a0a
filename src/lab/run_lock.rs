//! One worker a run: a lock on the run's directory, which the system frees when the worker ends, however it ends.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::run_dir::RunDir;

const LOCK: &str = ".worker.lock";
/// Whoever only looks holds the lock for a moment, and a killed worker for another; both are waited for.
const TRIES: u32 = 20;
const BETWEEN_TRIES: Duration = Duration::from_millis(25);

/// Held by a worker for as long as it lives.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

impl RunLock {
    /// `None` where another worker has it.
    pub fn take(run: &RunDir) -> io::Result<Option<Self>> {
        let file =
            File::options().create(true).append(true).mode(0o600).open(run.path().join(LOCK))?;
        for _ in 0..TRIES {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Some(Self { _file: file })),
                Err(Errno::WOULDBLOCK) => thread::sleep(BETWEEN_TRIES),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// Whether a worker holds it. One that was killed does until the last of its threads has ended, so this looks more
    /// than once. Where the system cannot say, the run's status has to.
    pub fn is_held(run: &RunDir) -> bool {
        let Ok(file) = File::open(run.path().join(LOCK)) else { return false };
        for _ in 0..TRIES {
            if flock(&file, FlockOperation::NonBlockingLockShared) != Err(Errno::WOULDBLOCK) {
                return false;
            }
            thread::sleep(BETWEEN_TRIES);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_has_one_worker_and_none_once_that_is_gone() {
        let place = tempfile::tempdir().unwrap();
        let run = RunDir::open(place.path());
        assert!(!RunLock::is_held(&run));
        let lock = RunLock::take(&run).unwrap().unwrap();
        assert!(RunLock::is_held(&run));
        assert!(RunLock::take(&run).unwrap().is_none());
        drop(lock);
        assert!(!RunLock::is_held(&run));
        assert!(RunLock::take(&run).unwrap().is_some());
    }
}
