//! Errors of writing to a path chosen by the user.

use std::io;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Number of links followed before a loop is assumed; the kernel has the same limit.
pub(super) const LINKS_MAX: usize = 40;

/// Reason why an output was not written. The caller names the path that the user gave.
#[derive(Debug, Error)]
pub enum OutputError {
    #[error("the name is empty; give the name of a file")]
    Empty,
    #[error("'{}' is a directory; give a file name in it", path.display())]
    Directory { path: PathBuf },
    #[error("'{}' is not a directory; remove it or give another name", path.display())]
    NotADirectory { path: PathBuf },
    #[error("the directory '{}' does not exist; create it first (mkdir -p), or correct the path", path.display())]
    NoDirectory { path: PathBuf },
    #[error("no permission to create a file in '{}'; choose a directory that you can write to", path.display())]
    NoFileIn { path: PathBuf },
    #[error(
        "it leads through more than {LINKS_MAX} symbolic links; remove the loop, or name the file itself"
    )]
    Loop,
    #[error("descriptor {number} is not open; redirect it to a file, as in '{number}>FILE'")]
    NotOpen { number: RawFd },
    #[error(
        "'{}' is write-protected (mode {mode:04o}, owner {owner}); change it with chmod, or choose another file",
        path.display()
    )]
    Protected { path: PathBuf, mode: u32, owner: u32 },
    #[error("'{}' was closed by its reader before all {n_bytes} bytes were written", path.display())]
    ReaderGone { path: PathBuf, n_bytes: usize },
    #[error(
        "writing '{}' was interrupted and its content is incomplete; write it again", path.display()
    )]
    Incomplete { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Io(#[from] FileError),
}

impl From<OutputError> for io::Error {
    fn from(error: OutputError) -> Self {
        let kind = match &error {
            OutputError::Io(FileError { source, .. }) | OutputError::Incomplete { source, .. } => {
                source.kind()
            }
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

pub(super) fn failed(attempt: &'static str, path: &Path) -> impl Fn(io::Error) -> OutputError {
    let failed = FileError::of(attempt, path);
    move |source| OutputError::Io(failed(source))
}

/// Something that was attempted with a file or directory failed.
#[derive(Debug, Error)]
#[error("{attempt} '{}'", path.display())]
pub struct FileError {
    pub attempt: &'static str,
    pub path: PathBuf,
    pub source: io::Error,
}

impl FileError {
    /// The error of this attempt, for its cause.
    pub fn of(attempt: &'static str, path: &Path) -> impl Fn(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { attempt, path: path.clone(), source }
    }
}
