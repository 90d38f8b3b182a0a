//! A file that is known by its length and SHA-256, and whether it is at its place.

use std::io;
use std::path::PathBuf;

use crate::files::read_or_map_file::open_regular;
use crate::files::{if_there, sha256_of_reader};

/// A file, before it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedFile {
    /// Its place.
    pub path: PathBuf,
    /// In bytes.
    pub length: u64,
    /// 64 hexadecimal digits in small letters.
    pub sha256: String,
}

/// What is at the place of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Nothing,
    /// The file itself.
    Right,
    /// Another file, by its length and, if the length is right, its SHA-256: a fragment for people.
    Other(String),
}

impl WantedFile {
    /// Looks at the place.
    ///
    /// # Errors
    ///
    /// If what is there cannot be read, or is no file.
    pub fn found(&self) -> io::Result<Found> {
        let Some(mut file) = if_there(open_regular(&self.path))? else { return Ok(Found::Nothing) };
        let length = file.metadata()?.len();
        if length != self.length {
            return Ok(Found::Other(format!("{length} bytes")));
        }
        let (length, sha256) = sha256_of_reader(&mut file)?;
        Ok(match length == self.length && sha256 == self.sha256 {
            true => Found::Right,
            false => Found::Other(format!("{length} bytes with SHA-256 {sha256}")),
        })
    }

    /// Length and checksum, for people.
    pub fn in_words(&self) -> String {
        format!("{} bytes with SHA-256 {}", self.length, self.sha256)
    }
}
