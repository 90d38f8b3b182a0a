//! Errors of reading files of arrays.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Reason why a file of arrays, or an array in it, could not be read.
#[derive(Debug, Error)]
pub enum ArrayError {
    #[error("cannot read '{}'; check the path", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// The problem is a phrase that follows the file's name.
    #[error("'{}': {problem}", path.display())]
    File { path: PathBuf, problem: String },
    /// The problem is a phrase that follows the array's name, which is empty for the only array of a `.npy` file.
    #[error("{} of '{}': {problem}", called(name), path.display())]
    Array { path: PathBuf, name: String, problem: String },
    #[error("'{}' holds no array '{name}'; it holds {found}", path.display())]
    Missing { path: PathBuf, name: String, found: String },
}

/// An array of this name as it is called in sentences.
pub fn called(name: &str) -> String {
    if name.is_empty() { "the array".to_owned() } else { format!("array '{name}'") }
}

impl ArrayError {
    pub(super) fn file(path: &Path, problem: impl Into<String>) -> Self {
        Self::File { path: path.to_owned(), problem: problem.into() }
    }

    pub(super) fn array(path: &Path, name: &str, problem: impl Into<String>) -> Self {
        Self::Array { path: path.to_owned(), name: name.to_owned(), problem: problem.into() }
    }
}
