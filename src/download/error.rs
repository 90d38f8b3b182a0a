//! Why a file was not fetched.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::failure::Failure;
use super::source::Source;

/// Why a file was not fetched. The caller names the file.
#[derive(Debug, Error)]
pub enum DownloadError {
    #[error("{attempt} '{}'", path.display())]
    Disk { attempt: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "it needs {needed} more bytes in '{}', where {free} are free; make room, or choose another directory",
        folder.display()
    )]
    NoSpace { folder: PathBuf, needed: u64, free: u64 },
    #[error(
        "writing '{}' after {n_bytes} bytes, which are kept; make room, and the same command goes on from there",
        path.display()
    )]
    Full { path: PathBuf, n_bytes: u64, source: io::Error },
    #[error("another process is fetching it ('{}' is locked); wait for it", path.display())]
    Locked { path: PathBuf },
    #[error(
        "'{}' exists and is another file: {found} instead of {expected}; remove it, replace it with --force, or choose \
         another directory", path.display()
    )]
    Other { path: PathBuf, found: String, expected: String },
    #[error("no source has it{}", listed(failures))]
    NoSource { failures: Vec<(Source, Failure)> },
}

impl DownloadError {
    pub(super) fn disk(attempt: &'static str, path: &Path) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Disk { attempt, path: path.clone(), source }
    }
}

fn listed(failures: &[(Source, Failure)]) -> String {
    failures.iter().map(|(source, failure)| format!("\n{source}: {}", failure.words)).collect()
}
