//! Ensures one worker per run by locks on the run's directory, which the kernel frees when the worker ends,
//! however it ends.
//!
//! Two locks (`flock`) are taken:
//!
//! - the **directory** itself. It cannot be copied or hard-linked, so a copy of a live run is not locked, and a
//!   moved one is;
//! - the file `.worker.lock` in it, for file systems that lock only files (NFS).
//!
//! The file holds the inode number of the directory it belongs to, which distinguishes a hard-linked copy
//! (`cp -al`) that shares the locked file. (Device numbers differ between the computers that share a
//! directory.) If the file system refuses both kinds of lock, the result is [`Lock::Refused`] and
//! [`super::alive_silent_or_lost`] judges by other evidence.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::process_identity::FileId;

const LOCK: &str = ".worker.lock";
/// Retries cover readers, which hold a lock for a moment, and a killed worker, which holds it until its last
/// thread exits.
const TRIES: u32 = 40;
const BETWEEN_TRIES: Duration = Duration::from_millis(25);

/// State of a run's lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// A worker holds it.
    Held,
    /// No worker holds it, neither on this computer nor on another that shares locks with it.
    Free,
    /// The file system does not support locks, or the directory cannot be opened.
    Refused,
}

/// The lock of a run, held by its worker until it exits.
#[derive(Debug)]
pub struct RunLock {
    /// The run's directory, independent of its current name.
    directory: File,
    /// Set if the file system refuses locks, so that a second worker cannot be kept out.
    pub refused: Option<io::Error>,
    _file: Option<File>,
}

impl RunLock {
    /// Takes the run's lock; `None` if another worker holds it.
    ///
    /// # Errors
    ///
    /// If the directory cannot be opened, or if its lock file cannot be opened or replaced. It is no error if
    /// the file system does not support locks.
    pub fn take(run: &Path) -> io::Result<Option<Self>> {
        let directory = File::open(run)?;
        let id = FileId::of_open(&directory)?;
        for _ in 0..TRIES {
            match Self::attempt(run, &directory, &id)? {
                Attempt::Taken { file, refused } => {
                    return Ok(Some(Self { directory, refused, _file: file }));
                }
                Attempt::Held => thread::sleep(BETWEEN_TRIES),
            }
        }
        Ok(None)
    }

    fn attempt(run: &Path, directory: &File, id: &FileId) -> io::Result<Attempt> {
        let of_directory = flock(directory, FlockOperation::NonBlockingLockExclusive);
        if of_directory == Err(Errno::WOULDBLOCK) {
            return Ok(Attempt::Held);
        }
        let path = run.join(LOCK);
        let mut file = open_own(&path)?;
        let of_file = match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            // Held by the worker of the run that this directory is a hard-linked copy of: create a lock file of
            // our own.
            Err(Errno::WOULDBLOCK) if of_directory.is_ok() && !belongs(&mut file, id) => {
                std::fs::remove_file(&path)?;
                file = open_own(&path)?;
                flock(&file, FlockOperation::NonBlockingLockExclusive)
            }
            other => other,
        };
        match (of_directory, of_file) {
            (_, Err(Errno::WOULDBLOCK)) => {
                // Both or none: a lock on the directory alone would look like a live worker.
                let _ = flock(directory, FlockOperation::Unlock);
                Ok(Attempt::Held)
            }
            (Err(_), Err(error)) => Ok(Attempt::Taken { file: None, refused: Some(error.into()) }),
            (Ok(()), Err(_)) => Ok(Attempt::Taken { file: None, refused: None }),
            (_, Ok(())) => {
                // The mark only identifies hard-linked copies, so a full disk must not stop a worker.
                let _ = mark(&mut file, id);
                Ok(Attempt::Taken { file: Some(file), refused: None })
            }
        }
    }

    /// A path to the run's directory that stays valid when the directory is moved; `None` without `/proc`.
    pub fn anchor(&self) -> Option<PathBuf> {
        let path = PathBuf::from(format!("/proc/self/fd/{}", self.directory.as_raw_fd()));
        let is_it = FileId::of(&path).ok()? == FileId::of_open(&self.directory).ok()?;
        is_it.then_some(path)
    }

    /// Checks whether the directory is still at `path`, where it was locked.
    pub fn whereabouts(&self, path: &Path) -> Whereabouts {
        let Ok(own) = FileId::of_open(&self.directory) else { return Whereabouts::Gone };
        let is_deleted = self.directory.metadata().is_ok_and(|data| data.nlink() == 0);
        if is_deleted {
            return Whereabouts::Gone;
        }
        if FileId::of(path).is_ok_and(|found| found == own) {
            return Whereabouts::Here;
        }
        let now = self.anchor().and_then(|anchor| std::fs::read_link(anchor).ok());
        let now = now.filter(|now| FileId::of(now).is_ok_and(|found| found == own));
        now.map_or(Whereabouts::OutOfReach, Whereabouts::Moved)
    }
}

/// Current location of a locked directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    Here,
    Moved(PathBuf),
    /// It exists but cannot be reached by its path at the moment.
    OutOfReach,
    /// It was deleted.
    Gone,
}

enum Attempt {
    Taken { file: Option<File>, refused: Option<io::Error> },
    Held,
}

fn open_own(path: &Path) -> io::Result<File> {
    File::options().create(true).read(true).append(true).mode(0o600).open(path)
}

/// Reads the state of a run's locks without keeping them.
pub fn look(run: &Path) -> Lock {
    let Ok(directory) = File::open(run) else { return Lock::Refused };
    let of_directory = try_shared(&directory);
    if of_directory == Lock::Held {
        return Lock::Held;
    }
    let Ok(mut file) = File::open(run.join(LOCK)) else { return of_directory };
    match try_shared(&file) {
        Lock::Held => {
            let id = FileId::of_open(&directory);
            if id.is_ok_and(|id| belongs(&mut file, &id)) { Lock::Held } else { of_directory }
        }
        Lock::Free => Lock::Free,
        Lock::Refused => of_directory,
    }
}

/// Like [`look`], but gives the threads of a killed worker and concurrent readers a moment to release their
/// locks.
pub fn look_patiently(run: &Path) -> Lock {
    for _ in 0..TRIES {
        let found = look(run);
        if found != Lock::Held {
            return found;
        }
        thread::sleep(BETWEEN_TRIES);
    }
    Lock::Held
}

fn try_shared(file: &File) -> Lock {
    match flock(file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Lock::Free,
        Err(Errno::WOULDBLOCK) => Lock::Held,
        Err(_) => Lock::Refused,
    }
}

fn mark(file: &mut File, id: &FileId) -> io::Result<()> {
    file.set_len(0)?;
    file.write_all(id.inode.to_string().as_bytes())
}

/// True if the lock file belongs to directory `id`. Only a file with several names can belong to another
/// directory; one without a mark counts as its own.
fn belongs(file: &mut File, id: &FileId) -> bool {
    if file.metadata().is_ok_and(|data| data.nlink() <= 1) {
        return true;
    }
    let mut text = String::new();
    let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_string(&mut text));
    read.is_err() || text.is_empty() || text == id.inode.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_has_one_worker_and_none_once_that_is_gone() {
        let place = tempfile::tempdir().unwrap();
        let run = place.path();
        assert_eq!(look(run), Lock::Free);
        let lock = RunLock::take(run).unwrap().unwrap();
        assert_eq!(look(run), Lock::Held);
        assert!(RunLock::take(run).unwrap().is_none());
        std::fs::remove_file(run.join(LOCK)).unwrap();
        assert_eq!(look(run), Lock::Held, "the directory is locked too");
        drop(lock);
        assert_eq!(look(run), Lock::Free);
        assert!(RunLock::take(run).unwrap().is_some());
    }

    #[test]
    fn a_lock_that_another_computer_has_marked_holds() {
        let place = tempfile::tempdir().unwrap();
        let run = place.path();
        // Device numbers of one directory differ between computers, so the mark of a file with a single name is
        // not checked.
        std::fs::write(run.join(LOCK), "45:1").unwrap();
        let held = File::options().append(true).open(run.join(LOCK)).unwrap();
        flock(&held, FlockOperation::LockExclusive).unwrap();
        assert_eq!(look(run), Lock::Held);
        assert!(RunLock::take(run).unwrap().is_none());
    }

    #[test]
    fn copies_and_hard_linked_copies_of_a_locked_run_are_free_and_a_moved_one_is_not() {
        let place = tempfile::tempdir().unwrap();
        let [original, copy, linked, moved] =
            ["original", "copy", "linked", "moved"].map(|name| place.path().join(name));
        for run in [&original, &copy, &linked] {
            std::fs::create_dir(run).unwrap();
        }
        let lock = RunLock::take(&original).unwrap().unwrap();
        std::fs::copy(original.join(LOCK), copy.join(LOCK)).unwrap();
        std::fs::hard_link(original.join(LOCK), linked.join(LOCK)).unwrap();
        assert_eq!(
            [&original, &copy, &linked].map(|run| look(run)),
            [Lock::Held, Lock::Free, Lock::Free]
        );
        let of_linked = RunLock::take(&linked).unwrap().unwrap();
        assert_eq!([&original, &linked].map(|run| look(run)), [Lock::Held, Lock::Held]);
        drop(of_linked);
        assert_eq!([&original, &linked].map(|run| look(run)), [Lock::Held, Lock::Free]);
        assert_eq!(lock.whereabouts(&original), Whereabouts::Here);
        std::fs::rename(&original, &moved).unwrap();
        assert_eq!(look(&moved), Lock::Held);
        let now = std::fs::canonicalize(&moved).unwrap();
        assert_eq!(lock.whereabouts(&original), Whereabouts::Moved(now));
        std::fs::create_dir(&original).unwrap();
        assert_ne!(lock.whereabouts(&original), Whereabouts::Here, "another took its name");
        std::fs::remove_dir_all(&moved).unwrap();
        assert_eq!(lock.whereabouts(&original), Whereabouts::Gone);
    }
}
