//! Watches the run directories: what has changed since the last poll, as messages.
//!
//! All runs are listed; the events of the open run and of marked runs are read, and the log and previews of the open run.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::SystemTime;

use super::messages_and_effects::{Message, RunMessage};
use super::number_and_text_format::with_causes;
use crate::evaluation::report::written_report::WrittenReport;
use crate::hardware::system_load::Monitor;
use crate::runs::alive_silent_or_lost::Health;
use crate::runs::event_log::EventTail;
use crate::runs::preview_files;
use crate::runs::run_dir::RunDir;
use crate::runs::run_toml;
use crate::runs::runs_dir::{RunSummary, RunsDir};
use crate::runs::watching_dashboards::Watcher;

/// Bytes that are read from the end of a log.
const LOG_BYTES: u64 = 64 << 10;
/// Polls between two readings of this computer.
const POLLS_PER_READING: u32 = 8;

/// Reads what is new in the runs of one directory.
pub struct RunWatcher {
    pub runs: RunsDir,
    monitor: Monitor,
    /// The open run, whose files are read.
    open: Option<String>,
    /// Shows the open run's worker that somebody looks.
    watcher: Option<Watcher>,
    /// Marked runs, whose events are read.
    marked: Vec<String>,
    /// Readers of the events of runs, by run.
    tails: HashMap<String, EventTail>,
    /// The list of runs as sent last, so that nothing is drawn when nothing changed.
    listed: Vec<RunSummary>,
    /// The preview steps of the open run as sent last.
    steps: Vec<u64>,
    /// When the open run's report was written, as read last; the inner `None` is that there is none.
    report_time: Option<Option<SystemTime>>,
    /// Bytes of the open run's log when it was read last; the inner `None` is a log that could not be read.
    log_bytes: Option<Option<u64>>,
    /// Where the network of a run that was just opened comes from.
    origin: Option<Message>,
    /// Polls since the last reading of this computer.
    polls: u32,
}

impl RunWatcher {
    pub fn new(runs: RunsDir) -> Self {
        Self {
            monitor: Monitor::new(runs.path()),
            runs,
            open: None,
            watcher: None,
            marked: Vec::new(),
            tails: HashMap::new(),
            listed: Vec::new(),
            steps: Vec::new(),
            report_time: None,
            log_bytes: None,
            origin: None,
            polls: 0,
        }
    }

    pub fn dir(&self, run: &str) -> RunDir {
        RunDir::open(self.runs.path().join(run))
    }

    /// What has changed since the last poll.
    pub fn news(&mut self) -> Vec<Message> {
        let mut news: Vec<Message> = self.origin.take().into_iter().collect();
        let runs = self.runs.list();
        if runs != self.listed {
            self.listed.clone_from(&runs);
            news.push(Message::Runs(runs));
        }
        if self.polls == 0 {
            news.push(Message::System(Box::new(self.monitor.read(self.worker()))));
        }
        self.polls = (self.polls + 1) % POLLS_PER_READING;
        let marked = self.marked.iter().filter(|run| Some(*run) != self.open.as_ref());
        for run in marked.chain(&self.open) {
            let path = self.dir(run).events_path();
            let tail = self.tails.entry(run.clone()).or_insert_with(|| EventTail::new(path));
            // A file that cannot be read now is read at the next poll; the run list shows the state.
            let events = tail.poll().unwrap_or_default();
            if !events.is_empty() {
                news.push(Message::OfRun(run.clone(), RunMessage::Events(events)));
            }
        }
        if let Some(run) = self.open.clone() {
            let dir = self.dir(&run);
            if self.watcher.is_none() {
                self.watcher = Watcher::of(&dir);
            }
            let path = dir.log_path();
            let bytes = fs::metadata(&path).map(|data| data.len()).ok();
            if self.log_bytes.replace(bytes) != Some(bytes) {
                let failed = |error| format!("reading '{}': {error}", path.display());
                news.push(Message::OfRun(
                    run.clone(),
                    RunMessage::Log(end_of(&path).map_err(failed)),
                ));
            }
            let folder = dir.report_path();
            let time = fs::metadata(folder.join("report.json")).and_then(|data| data.modified());
            if self.report_time.replace(time.as_ref().ok().copied()) != Some(time.ok()) {
                let report = WrittenReport::read(&folder).map(|found| found.map(Box::new));
                let report = RunMessage::Report(report.map_err(with_causes));
                news.push(Message::OfRun(run.clone(), report));
            }
            let steps: Vec<u64> = preview_files::list(&dir.previews_path())
                .into_iter()
                .map(|(step, _)| step)
                .collect();
            if steps != self.steps {
                self.steps.clone_from(&steps);
                news.push(Message::OfRun(run, RunMessage::PreviewSteps(steps)));
            }
        }
        news
    }

    /// The process id of the open run's worker.
    fn worker(&self) -> Option<u32> {
        let run = self.listed.iter().find(|run| Some(&run.id) == self.open.as_ref())?;
        let status = run.status.as_ref().filter(|_| run.health == Health::Alive)?;
        status.worker.pid_here()
    }

    /// Reads another run from now on, from the start of its events and log. Returns its settings.
    pub fn open(&mut self, run: String) -> Message {
        if let Some(old) = self.open.replace(run.clone())
            && !self.marked.contains(&old)
        {
            self.tails.remove(&old);
        }
        // The screen has nothing of it yet, even if its events were read as those of a marked run.
        self.tails.remove(&run);
        self.log_bytes = None;
        self.report_time = None;
        self.steps.clear();
        self.watcher = None;
        let found = run_toml::read(&self.dir(&run).run_toml_path());
        let origin = found.as_ref().map(|found| found.origin.clone()).unwrap_or_default();
        self.origin = Some(Message::OfRun(run.clone(), RunMessage::Origin(origin)));
        let experiment = found.map(|found| Box::new(found.experiment)).map_err(with_causes);
        Message::OfRun(run, RunMessage::Experiment(experiment))
    }

    /// Reads the events of these marked runs from now on.
    pub fn follow_marked(&mut self, runs: Vec<String>) {
        self.marked = runs;
        self.tails.retain(|run, _| self.marked.contains(run) || Some(run) == self.open.as_ref());
    }
}

/// The end of a log.
fn end_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(LOG_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
