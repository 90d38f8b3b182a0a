//! User annotations of a run: a note and tags, kept in a separate file that the worker never writes.
//!
//! ```text
//! about.json   {"v": 1, "note": "lower rate", "tags": ["rates", "keep"]}
//! ```

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::files::write_atomically;

/// Format version of `about.json`.
const FORMAT: u32 = 1;
const NOTE_MAX: usize = 2000;
const TAG_MAX: usize = 40;

/// The note and tags of a run; both empty by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    #[serde(default)]
    v: u32,
    #[serde(default)]
    pub note: String,
    #[serde(default)]
    pub tags: Vec<String>,
}

impl About {
    /// Parses user input: a one-line note, and tags separated by blanks or commas.
    ///
    /// # Errors
    ///
    /// If the note is too long or has control characters, or as [`Self::add`]. The error is a message for
    /// the user.
    pub fn new(note: &str, tags: &str) -> Result<Self, String> {
        let note = note.trim();
        if note.chars().count() > NOTE_MAX {
            return Err(format!(
                "the note has {} characters; at most {NOTE_MAX}",
                note.chars().count()
            ));
        }
        if note.chars().any(char::is_control) {
            return Err("the note must be one line without control characters".to_owned());
        }
        let mut about = Self { v: FORMAT, note: note.to_owned(), tags: Vec::new() };
        for tag in tags.split([' ', ',']).filter(|tag| !tag.is_empty()) {
            about.add(tag)?;
        }
        Ok(about)
    }

    /// Adds a tag; a tag that is already present is not added twice.
    ///
    /// # Errors
    ///
    /// If the tag is empty, is too long, or has characters other than letters, digits and `- _ . / :`.
    pub fn add(&mut self, tag: &str) -> Result<(), String> {
        let is_word = tag.chars().all(|c| c.is_alphanumeric() || "-_./:".contains(c));
        if tag.is_empty() || !is_word || tag.chars().count() > TAG_MAX {
            return Err(format!(
                "tag '{}': must be 1 to {TAG_MAX} letters, digits or any of - _ . / :",
                tag.escape_debug()
            ));
        }
        if !self.tags.iter().any(|other| other == tag) {
            self.tags.push(tag.to_owned());
        }
        Ok(())
    }

    /// Reads `path`; returns an empty note if the file is missing or invalid, because a note is never worth an
    /// error.
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read(path).ok();
        text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    /// Replaces the file `path` by this note and its tags.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let about = Self { v: FORMAT, ..self.clone() };
        write_atomically(path, &serde_json::to_vec(&about).map_err(io::Error::other)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_and_tags_survive_the_disk_and_junk_is_nothing() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("about.json");
        assert_eq!(About::read(&path), About::default());
        let about = About::new(" a lower rate ", "rates, keep  rates").unwrap();
        assert_eq!((about.note.as_str(), about.tags.len()), ("a lower rate", 2));
        about.write(&path).unwrap();
        assert_eq!(About::read(&path), about);
        std::fs::write(&path, "{ torn").unwrap();
        assert_eq!(About::read(&path), About::default());
    }

    #[test]
    fn what_could_hide_something_is_refused() {
        assert!(About::new("two\nlines", "").unwrap_err().contains("one line"));
        assert!(About::new("", "a\u{1b}[31m").unwrap_err().contains("letters"));
        assert!(About::new(&"x".repeat(2001), "").is_err());
        assert!(About::new("日本語", "実験").is_ok());
    }
}
