//! Errors of opening a data set.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::arrays::ArrayError;
use crate::files::file_kind::FileKind;

/// Maximum number of unusable files named in an error; the rest are counted.
const NAMED: usize = 5;

/// Reason why a data set could not be opened.
#[derive(Debug, Error)]
pub enum DatasetError {
    #[error("cannot read '{}'; {}", path.display(), advice(source))]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "unpacking '{}' ({packed} bytes) broke off after '{found}' bytes; the file is truncated or \
         damaged, fetch it again", path.display()
    )]
    Gzip { path: PathBuf, packed: usize, found: usize, source: io::Error },
    #[error(
        "the archive '{}' ('{found}' bytes unpacked) is truncated or damaged: {problem}; fetch it again",
        path.display()
    )]
    Archive { path: PathBuf, found: usize, problem: String },
    #[error("'{}' {holds} {kind}, not {expected}; {advice}", path.display())]
    WrongKind {
        path: PathBuf,
        expected: &'static str,
        holds: &'static str,
        kind: FileKind,
        advice: &'static str,
    },
    #[error(
        "'{}' is an IDX file of {kind} in {sizes}, but {expected} was expected; {advice}", path.display()
    )]
    IdxKind {
        path: PathBuf,
        kind: &'static str,
        sizes: String,
        expected: &'static str,
        advice: &'static str,
    },
    #[error(
        "'{}' should hold '{expected}' bytes by its header ({sizes}) but holds '{found}'; {advice}",
        path.display()
    )]
    Length { path: PathBuf, sizes: String, expected: u128, found: usize, advice: &'static str },
    #[error("'{}' holds no items ({sizes} by its header); name a file with at least one", path.display())]
    Empty { path: PathBuf, sizes: String },
    #[error(
        "'{}' holds '{found}' labels but '{}' holds '{expected}' images; name two files that belong \
         together", path.display(), images.display()
    )]
    Labels { path: PathBuf, images: PathBuf, found: usize, expected: usize },
    #[error(
        "'{}' holds '{found}' bytes, which are no whole number of CIFAR records (3073 bytes in CIFAR-10, 3074 in \
         CIFAR-100); the file is truncated or another one, fetch the binary version again", path.display()
    )]
    CifarLength { path: PathBuf, found: usize },
    #[error(
        "record '{number}' of '{}' has the label '{found}', but CIFAR's are below '{kinds}'; name the \
         binary version of CIFAR-10 or CIFAR-100", path.display()
    )]
    CifarLabel { path: PathBuf, number: usize, found: u8, kinds: u8 },
    #[error(
        "'{}' holds neither 'data_batch_1.bin' nor 'train.bin'{found}; name the directory or the archive of CIFAR's \
         binary version (https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz)", path.display()
    )]
    NoCifar { path: PathBuf, found: &'static str },
    #[error(
        "'{}' holds training files of CIFAR-10 ('{}') and of CIFAR-100 ('{}'); name a directory or an archive of one \
         of them", path.display(), ten.display(), hundred.display()
    )]
    CifarMixed { path: PathBuf, ten: PathBuf, hundred: PathBuf },
    #[error(
        "'{}' holds the same training images twice: '{}' and '{}'; remove one of them", path.display(),
        first.display(), second.display()
    )]
    CifarTwice { path: PathBuf, first: PathBuf, second: PathBuf },
    #[error(
        "'{}' holds no PNG, JPEG or WebP images, nor do its sub-folders{found}; name a folder with images", path.display()
    )]
    NoImages { path: PathBuf, found: String },
    #[error("'{}' has no sub-folder '{split}' (dataset.split); it has {found}", path.display())]
    NoSplit { path: PathBuf, split: String, found: String },
    #[error("{failures}; repair or remove {}", if failures.0.len() == 1 { "it" } else { "them" })]
    Images { failures: Failures },
    #[error(transparent)]
    ArrayFile(#[from] ArrayError),
    /// The problem is a phrase that follows the file's name.
    #[error("'{}': {problem}", path.display())]
    Content { path: PathBuf, problem: String },
    #[error("dataset setting '{name}' is '{value}'; choose a number from {low} to {high}")]
    Setting { name: &'static str, value: usize, low: usize, high: usize },
    #[error(
        "two disjoint halves of '{name}' need '{needed}' images together, but there are '{there}'; set dataset.n, the images \
         of each half, to at most {}, or dataset.half to all", there / 2
    )]
    Halves { name: String, needed: usize, there: u128 },
    #[error("the images cannot be laid out: {problem}")]
    Layout { problem: String },
}

impl DatasetError {
    /// The error for a file or folder that cannot be read.
    pub(super) fn reading(path: &Path) -> impl Fn(io::Error) -> Self {
        |source| Self::Read { path: path.to_owned(), source }
    }

    /// Refuses a value of a setting that is not in `low..=high`.
    pub(super) fn check(
        name: &'static str,
        value: usize,
        low: usize,
        high: usize,
    ) -> Result<(), Self> {
        match (low..=high).contains(&value) {
            true => Ok(()),
            false => Err(Self::Setting { name, value, low, high }),
        }
    }
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "check who may read it",
        io::ErrorKind::InvalidInput => "name a file",
        _ => "check the path, which is relative to lab.toml",
    }
}

/// Unusable files, each with the reason.
#[derive(Debug, PartialEq)]
pub struct Failures(pub Vec<(PathBuf, String)>);

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => f.write_str("cannot use ")?,
            n => write!(f, "cannot use {n} files of this data set: ")?,
        }
        for (i, (path, reason)) in self.0.iter().take(NAMED).enumerate() {
            write!(f, "{}'{}' ({reason})", if i > 0 { ", " } else { "" }, path.display())?;
        }
        match self.0.len().saturating_sub(NAMED) {
            0 => Ok(()),
            n => write!(f, " and {n} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failures_are_named_and_the_others_counted() {
        let failures = |n: usize| {
            Failures((0..n).map(|i| (format!("{i}.png").into(), "empty".into())).collect())
        };
        assert_eq!(failures(1).to_string(), "cannot use '0.png' (empty)");
        let many = failures(7).to_string();
        assert!(
            many.starts_with("cannot use 7 files") && many.ends_with("'4.png' (empty) and 2 more"),
            "{many}"
        );
    }
}
