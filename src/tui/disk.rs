//! The [`Link`] of the product: run directories on disk, workers behind their sockets.

use std::error::Error;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use super::link::Link;
use crate::lab::command::{Command, Reply};
use crate::lab::config::Experiment;
use crate::lab::control;
use crate::lab::event::Event;
use crate::lab::events::EventTail;
use crate::lab::launch::{self, LaunchOptions};
use crate::lab::preview::{self, Preview};
use crate::lab::run_dir::{RunDir, RunSummary, RunsDir};

/// As much of a log's end as anyone reads on a screen.
const LOG_BYTES: u64 = 64 << 10;

/// Reads and steers the runs of one directory.
pub struct Disk {
    runs: RunsDir,
    /// `auto`, `cpu` or `cuda:N`, for launches.
    device: String,
    /// The run whose events were asked for last.
    tail: Option<(String, EventTail)>,
}

impl Disk {
    pub fn new(runs: RunsDir, device: String) -> Self {
        Self { runs, device, tail: None }
    }

    fn dir(&self, run: &str) -> RunDir {
        RunDir::open(self.runs.path().join(run))
    }
}

/// An error with its causes, in one line.
fn words(error: impl Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

impl Link for Disk {
    fn runs(&mut self) -> Vec<RunSummary> {
        self.runs.list()
    }

    fn events(&mut self, run: &str) -> Vec<Event> {
        if self.tail.as_ref().is_none_or(|(of, _)| of != run) {
            self.tail = Some((run.to_owned(), EventTail::new(self.dir(run).events_path())));
        }
        // A file that cannot be read now is read at the next poll; the run list shows the state.
        self.tail.as_mut().and_then(|(_, tail)| tail.poll().ok()).unwrap_or_default()
    }

    fn experiment(&mut self, run: &str) -> Result<Experiment, String> {
        self.dir(run).experiment().map_err(words)
    }

    fn preview_steps(&mut self, run: &str) -> Vec<u64> {
        preview::list(&self.dir(run).previews_path()).into_iter().map(|(step, _)| step).collect()
    }

    fn preview(&mut self, run: &str, step: u64) -> Result<Preview, String> {
        let place = self.dir(run).previews_path().join(preview::directory_name(step));
        Preview::read(&place).map_err(words)
    }

    fn log(&mut self, run: &str) -> Result<String, String> {
        let read = || -> std::io::Result<Vec<u8>> {
            let mut file = File::open(self.dir(run).log_path())?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(LOG_BYTES)))?;
            let mut bytes = Vec::new();
            file.take(LOG_BYTES).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = read().map_err(|error| format!("reading the log of '{run}': {error}"))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn launch(&mut self, experiment: &Experiment, parent: Option<&str>) -> Result<String, String> {
        let options = LaunchOptions {
            device: self.device.clone(),
            parent: parent.map(str::to_owned),
            threads: None,
        };
        launch::launch(&self.runs, experiment, &options).map(|run| run.id()).map_err(words)
    }

    fn resume(&mut self, run: &str) -> Result<(), String> {
        launch::resume(&self.dir(run), None).map_err(words)
    }

    fn kill(&mut self, run: &str) -> Result<(), String> {
        launch::kill(&self.dir(run)).map_err(words)
    }

    fn send(&mut self, run: &str, command: &Command) -> Result<(), String> {
        match control::send(&self.dir(run), command).map_err(words)? {
            Reply::Accepted => Ok(()),
            Reply::Refused { reason } => Err(format!("run '{run}' refused: {reason}")),
        }
    }
}
