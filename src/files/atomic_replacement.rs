//! Atomic replacement of files: write a temporary file in the same folder, then rename it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Number of temporary files created by this process, so that two threads never share a name.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// Replaces `path` by a new file with this content: a reader sees the old file or the new one, and on failure
/// the old one stays. A symbolic link at `path` is replaced, not followed.
///
/// # Errors
///
/// If the new file cannot be created, written or renamed.
pub fn write_atomically(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut beside = Temporary::beside(path)?;
    beside.file.write_all(content)?;
    beside.rename(path)
}

/// As [`write_atomically`], for a file too large to be held in memory: `write` puts its content into the new file.
///
/// # Errors
///
/// Those of `write`, and if the new file cannot be created or renamed.
pub fn write_atomically_by(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let mut beside = Temporary::beside(path)?;
    write(&mut beside.file)?;
    beside.rename(path)
}

/// A temporary file in the folder of another file, deleted on drop unless it was renamed.
pub(super) struct Temporary {
    pub file: File,
    path: PathBuf,
    is_renamed: bool,
}

impl Temporary {
    /// Creates a file in the folder of `path`, with the default mode of the umask. Its name does not depend on
    /// that of `path`, which may be as long as the file system allows.
    pub fn beside(path: &Path) -> io::Result<Self> {
        loop {
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!(".mosaic-{}-{number}.tmp", std::process::id());
            let path = path.with_file_name(name);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok(Self { file, path, is_renamed: false }),
                // Left over from a killed process that had the same process number.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub fn rename(mut self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path)?;
        self.is_renamed = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.is_renamed {
            // The original error is the one to report.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_leaves_the_old_file_and_nothing_beside_it() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a");
        write_atomically(&path, b"old").unwrap();
        write_atomically(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        fs::create_dir(place.path().join("folder")).unwrap();
        assert!(write_atomically(&place.path().join("folder"), b"x").is_err());
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 2);
    }

    #[test]
    fn the_longest_name_that_a_file_can_have_is_no_obstacle() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("n".repeat(255));
        write_atomically(&path, b"x").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"x");
    }

    #[test]
    fn a_file_that_a_killed_process_left_is_no_obstacle() {
        let place = tempfile::tempdir().unwrap();
        let next = COUNT.load(Ordering::Relaxed);
        // Parallel tests may use some of these numbers first; one collision is enough.
        for number in next..next + 20 {
            let name = format!(".mosaic-{}-{number}.tmp", std::process::id());
            fs::write(place.path().join(name), "left").unwrap();
        }
        let path = place.path().join("a");
        write_atomically(&path, b"x").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"x");
    }
}
