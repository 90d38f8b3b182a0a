//! `events.jsonl`: writer and reader of the append-only event log.
//!
//! The worker is the only writer; any number of readers poll the file. A line counts only once its newline is
//! written, so a line torn by a crash or a full disk is skipped; the next writer terminates it first.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::event::{Event, EventBody};
use super::format_versions::{self, NewerFormat, RUN_FORMAT};
use super::status_json::now_ms;
use crate::files::if_there;

/// The writing end, held by the worker.
#[derive(Debug)]
pub struct EventLog {
    file: File,
    /// True if a failed write may have left a partial line.
    is_torn: bool,
}

impl EventLog {
    /// Opens the log for appending, terminating any line that an earlier worker left torn.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened, read or terminated.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file =
            OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(path)?;
        if file.seek(SeekFrom::End(0))? > 0 {
            file.seek(SeekFrom::End(-1))?;
            let mut last = [0];
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
            }
        }
        Ok(Self { file, is_torn: false })
    }

    /// Appends one event in a single write. State changes and final figures are also synced to disk; losing a
    /// few metrics in a power cut is acceptable.
    ///
    /// # Errors
    ///
    /// If the event cannot be written, or cannot be synced to disk where that is required.
    pub fn append(&mut self, step: u64, body: EventBody) -> io::Result<()> {
        let durable = matches!(body, EventBody::State { .. } | EventBody::Agreement { .. });
        let event = Event { v: RUN_FORMAT, time_ms: now_ms(), step, body };
        let mut line = if self.is_torn { vec![b'\n'] } else { Vec::new() };
        serde_json::to_writer(&mut line, &event).map_err(io::Error::other)?;
        line.push(b'\n');
        self.is_torn = true;
        self.file.write_all(&line)?;
        self.is_torn = false;
        if durable { self.file.sync_data() } else { Ok(()) }
    }
}

/// A reader that remembers its position in the file.
#[derive(Debug)]
pub struct EventTail {
    path: PathBuf,
    offset: u64,
    /// Start of a line whose newline has not been written yet.
    partial: Vec<u8>,
    /// Set once a line was in a format that this version does not know.
    pub newer: Option<NewerFormat>,
}

impl EventTail {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), offset: 0, partial: Vec::new(), newer: None }
    }

    /// Returns the events added since the last call; none if there is no file yet. A file that became shorter
    /// was replaced and is read from its start.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened or read.
    pub fn poll(&mut self) -> io::Result<Vec<Event>> {
        let Some(mut file) = if_there(File::open(&self.path))? else { return Ok(Vec::new()) };
        if file.metadata()?.len() < self.offset {
            self.offset = 0;
            self.partial.clear();
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let n_before = self.partial.len();
        file.read_to_end(&mut self.partial)?;
        self.offset += (self.partial.len() - n_before) as u64;
        let Some(end) = self.partial.iter().rposition(|&byte| byte == b'\n') else {
            return Ok(Vec::new());
        };
        let rest = self.partial.split_off(end + 1);
        let whole = std::mem::replace(&mut self.partial, rest);
        Ok(whole.split(|&byte| byte == b'\n').filter_map(|line| self.read(line)).collect())
    }

    fn read(&mut self, line: &[u8]) -> Option<Event> {
        // A line that does not parse was torn by a crash; everything after it is still good.
        format_versions::parse(line, RUN_FORMAT).unwrap_or_else(|newer| {
            self.newer = Some(newer);
            None
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::event::NoticeLevel;

    fn notice(text: &str) -> EventBody {
        EventBody::Notice { level: NoticeLevel::Info, text: text.to_owned() }
    }

    fn texts(events: &[Event]) -> Vec<&str> {
        let text = |event| match event {
            &Event { body: EventBody::Notice { ref text, .. }, .. } => text.as_str(),
            _ => "?",
        };
        events.iter().map(text).collect()
    }

    #[test]
    fn a_torn_line_waits_for_its_end_or_is_skipped() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("events.jsonl");
        let mut tail = EventTail::new(&path);
        assert!(tail.poll().unwrap().is_empty());
        EventLog::open(&path).unwrap().append(1, notice("one")).unwrap();
        assert_eq!(texts(&tail.poll().unwrap()), ["one"]);
        // A worker crashes in the middle of a line.
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"v\":1,\"ti").unwrap();
        assert!(tail.poll().unwrap().is_empty());
        EventLog::open(&path).unwrap().append(2, notice("two")).unwrap();
        assert_eq!(texts(&tail.poll().unwrap()), ["two"]);
        assert!(tail.poll().unwrap().is_empty());
    }

    #[test]
    fn lines_of_a_newer_format_are_left_out_and_said_to_be() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("events.jsonl");
        EventLog::open(&path).unwrap().append(1, notice("one")).unwrap();
        let mut tail = EventTail::new(&path);
        assert_eq!((texts(&tail.poll().unwrap()), tail.newer.clone()), (vec!["one"], None));
        let newer =
            br#"{"v":7,"time_ms":1,"step":2,"body":{"kind":"notice","level":"info","text":"x"}}"#;
        OpenOptions::new().append(true).open(&path).unwrap().write_all(newer).unwrap();
        EventLog::open(&path).unwrap().append(3, notice("three")).unwrap();
        assert_eq!(texts(&tail.poll().unwrap()), ["three"]);
        assert_eq!(tail.newer.map(|newer| newer.found), Some(7));
    }

    #[test]
    fn a_shorter_file_is_read_from_its_start() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("events.jsonl");
        let mut log = EventLog::open(&path).unwrap();
        (0..5).for_each(|step| log.append(step, notice("old")).unwrap());
        let mut tail = EventTail::new(&path);
        assert_eq!(tail.poll().unwrap().len(), 5);
        std::fs::write(&path, "").unwrap();
        EventLog::open(&path).unwrap().append(1, notice("new")).unwrap();
        assert_eq!(texts(&tail.poll().unwrap()), ["new"]);
    }
}
