//! The lab as the dashboard sees it: run directories on disk, and workers behind their sockets. It holds no state of
//! the screen; errors are texts for the screen.

use std::collections::HashMap;
use std::error::Error;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

use super::export::contents::Export;
use super::export::write::EXPORTS_DIR;
use crate::config::Experiment;
use crate::evaluation::calibration::Calibration;
use crate::evaluation::inspect::{self, Trace};
use crate::evaluation::preview_request::PreviewRequest;
use crate::hardware::device::DeviceRequest;
use crate::hardware::system::Monitor;
use crate::runs::command::{Act, Reply};
use crate::runs::control;
use crate::runs::event::Event;
use crate::runs::event_log::EventTail;
use crate::runs::launch::{self, LaunchError, LaunchOptions};
use crate::runs::note::About;
use crate::runs::preview::{self, Preview};
use crate::runs::process::this_program;
use crate::runs::run_dir::RunDir;
use crate::runs::runs_dir::RunsDir;

/// What a thread of its own does in the background.
type Work<T> = Box<dyn FnOnce() -> Result<T, String> + Send>;

/// Bytes that are read from the end of a log.
const LOG_BYTES: u64 = 64 << 10;

/// Reads and steers the runs of one directory.
pub struct Disk {
    pub runs: RunsDir,
    /// The device of launched runs.
    device: DeviceRequest,
    /// Readers of the events of runs, by run.
    tails: HashMap<String, EventTail>,
    /// Bytes of logs when they were read last, by run; `None` for a log that could not be read.
    logs: HashMap<String, Option<u64>>,
    pub monitor: Monitor,
}

impl Disk {
    pub fn new(runs: RunsDir, device: DeviceRequest) -> Self {
        let monitor = Monitor::new(runs.path());
        Self { runs, device, tails: HashMap::new(), logs: HashMap::new(), monitor }
    }

    fn dir(&self, run: &str) -> RunDir {
        RunDir::open(self.runs.path().join(run))
    }
}

/// Runs a mosaic command in a process of its own, because the dashboard never computes. `what` names it in errors.
fn compute(runs: &Path, arguments: &[&str], what: &str) -> Result<(), String> {
    let failed = |error| format!("{what}: {error}");
    let program = this_program().map_err(failed)?;
    let mut work = Process::new(program);
    work.arg("--runs-dir").arg(runs).args(arguments);
    let done = work.stdin(Stdio::null()).stdout(Stdio::null()).output().map_err(failed)?;
    if done.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&done.stderr);
    let last = words.lines().rfind(|line| !line.is_empty()).unwrap_or("it said nothing");
    Err(format!("{what}: {last}"))
}

/// An error with its causes, in one line.
fn words(error: impl Error + Send + Sync + 'static) -> String {
    format!("{:#}", anyhow::Error::new(error))
}

impl Disk {
    /// The events of a run since the last call for it; all of them on the first call and after [`Disk::forget`].
    pub fn events(&mut self, run: &str) -> Vec<Event> {
        let path = self.dir(run).events_path();
        let tail = self.tails.entry(run.to_owned()).or_insert_with(|| EventTail::new(path));
        // A file that cannot be read now is read at the next poll; the run list shows the state.
        tail.poll().unwrap_or_default()
    }

    /// Makes the next calls for a run read its events and log from the start.
    pub fn forget(&mut self, run: &str) {
        self.tails.remove(run);
        self.logs.remove(run);
    }

    /// The settings a run was launched with.
    ///
    /// # Errors
    ///
    /// If the run's `run.toml` cannot be read or is invalid.
    pub fn experiment(&self, run: &str) -> Result<Experiment, String> {
        self.dir(run).experiment().map_err(words)
    }

    /// Training steps of a run's complete previews, in increasing order.
    pub fn preview_steps(&self, run: &str) -> Vec<u64> {
        preview::list(&self.dir(run).previews_path()).into_iter().map(|(step, _)| step).collect()
    }

    /// Reads the preview that a run made at a training step.
    ///
    /// # Errors
    ///
    /// If its file is missing or invalid.
    pub fn preview(&self, run: &str, step: u64) -> Result<Preview, String> {
        let place = self.dir(run).previews_path().join(preview::directory_name(step));
        Preview::read(&place).map_err(words)
    }

    /// The calibrated settings of a run's machines; `None` before they are calibrated.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, is of another format, or lacks a step of a schedule.
    pub fn calibration(&self, run: &str) -> Result<Option<Calibration>, String> {
        Calibration::read(&self.dir(run).calibration_path()).map_err(words)
    }

    /// The end of the worker's log; `None` if it has not changed since the last call.
    pub fn log(&mut self, run: &str) -> Option<Result<String, String>> {
        let path = self.dir(run).log_path();
        let length = std::fs::metadata(&path).map(|data| data.len()).ok();
        if self.logs.insert(run.to_owned(), length) == Some(length) {
            return None;
        }
        let read = || -> std::io::Result<Vec<u8>> {
            let mut file = File::open(&path)?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(LOG_BYTES)))?;
            let mut bytes = Vec::new();
            file.take(LOG_BYTES).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let failed = |error| format!("reading '{}': {error}", path.display());
        Some(read().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).map_err(failed))
    }

    /// Reads the trace of a noise seed through a run's newest network, and computes it first if there is none. The returned
    /// closure takes seconds: it is for a thread of its own.
    pub fn trace(&self, run: &str, seed: u64, may_compute: bool) -> Work<Trace> {
        let dir = self.dir(run);
        let runs = self.runs.path().to_owned();
        Box::new(move || {
            if !inspect::is_current(&dir, seed) {
                if !may_compute {
                    return Err(format!(
                        "seed {seed} has no trace yet, and this dashboard is read-only"
                    ));
                }
                let seed = seed.to_string();
                let what = format!("tracing seed {seed} of '{}'", dir.id());
                compute(&runs, &["inspect", &dir.id(), "--seed", &seed], &what)?;
            }
            Trace::read(&inspect::path_of(&dir, seed)).map_err(words)
        })
    }

    /// Makes a preview of a run's newest checkpoint, in a thread of its own.
    pub fn make_preview(&self, run: &str, request: &PreviewRequest) -> Work<()> {
        let (runs, run) = (self.runs.path().to_owned(), run.to_owned());
        let PreviewRequest { seeds, steps } = request.clone();
        Box::new(move || {
            let (seeds, steps) = (seeds.to_string(), steps.to_string());
            let what = format!("making a preview of '{run}'");
            compute(&runs, &["preview", &run, "--seeds", &seeds, "--steps", &steps], &what)
        })
    }

    /// Writes an export and returns a text that names the files, in a thread of its own.
    pub fn export(&self, export: Export) -> Work<String> {
        let folder = match &export.run {
            Some(run) => self.runs.path().join(run).join(EXPORTS_DIR),
            None => PathBuf::from("."),
        };
        Box::new(move || {
            let failed = |error| format!("exporting {}: {error:#}", export.stem);
            let written = export.write(&folder).map_err(failed)?;
            let first = written.first().map(|path| path.with_extension("")).unwrap_or(folder);
            let name = first.file_name().unwrap_or_default().to_string_lossy();
            let ends = written.iter().filter_map(|path| path.file_name()?.to_str());
            let ends: Vec<&str> = ends.filter_map(|end| end.strip_prefix(&*name)).collect();
            Ok(format!("exported: {} ({})", first.display(), ends.join(", ")))
        })
    }

    /// Starts an experiment, or queues it, and returns the new run's id.
    ///
    /// # Errors
    ///
    /// If the settings or data files are unusable, the run's directory cannot be made, or the worker does not
    /// start.
    pub fn launch(
        &self,
        experiment: &Experiment,
        parent: Option<&str>,
        queued: bool,
    ) -> Result<String, String> {
        let options = LaunchOptions {
            device: self.device.clone(),
            parent: parent.map(str::to_owned),
            threads: None,
            queued,
        };
        launch::launch(&self.runs, experiment, &options).map(|run| run.id()).map_err(words)
    }

    /// Starts a worker on a run that was stopped, failed or lost.
    ///
    /// # Errors
    ///
    /// If the directory is not a run, has a live worker, is finished or was written by a newer mosaic, or if
    /// the worker does not start.
    pub fn resume(&self, run: &str) -> Result<(), String> {
        launch::resume(&self.dir(run), None).map_err(words)
    }

    /// Kills a run's worker, without a checkpoint.
    ///
    /// # Errors
    ///
    /// If another process has control of the run, if there is no worker, if it cannot be reached or does not
    /// exit within 5 seconds, or if the run was written by a newer mosaic.
    pub fn kill(&self, run: &str) -> Result<(), String> {
        launch::kill(&self.dir(run), false).map_err(|error| match error {
            LaunchError::Held { by, .. } => format!("{by} has control of '{run}'; T takes it"),
            error => words(error),
        })
    }

    /// Writes a run's note and tags.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn describe(&self, run: &str, about: &About) -> Result<(), String> {
        let path = self.dir(run).about_path();
        about.write(&path).map_err(|error| format!("writing '{}': {error}", path.display()))
    }

    /// Renames a run and returns its new id.
    ///
    /// # Errors
    ///
    /// If the name is invalid or taken, if the run has a worker or was written by a newer mosaic, or if its
    /// directory cannot be renamed.
    pub fn rename(&self, run: &str, to: &str) -> Result<String, String> {
        self.runs.rename(&self.dir(run), to).map_err(words)
    }

    /// Deletes a run and its directory's content.
    ///
    /// # Errors
    ///
    /// If the run has a worker or was written by a newer mosaic, or if its directory cannot be deleted.
    pub fn delete(&self, run: &str) -> Result<(), String> {
        self.dir(run).delete().map_err(words)
    }

    /// Sends a command to a worker in the dashboard's name.
    ///
    /// # Errors
    ///
    /// If there is no worker, if it does not reply in time, if it refuses, or if another process has control
    /// of it.
    pub fn send(&self, run: &str, act: Act) -> Result<(), String> {
        match control::send(&self.dir(run), act).map_err(words)? {
            Reply::Accepted => Ok(()),
            Reply::Refused { reason } => Err(format!("run '{run}' refused: {reason}")),
            Reply::Held { by } => Err(format!("{by} has control of '{run}'; T takes it")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_only_dashboard_makes_no_trace() {
        let place = tempfile::tempdir().unwrap();
        let run = RunsDir::new(place.path()).create("a").unwrap();
        let disk = Disk::new(RunsDir::new(place.path()), DeviceRequest::Cpu);
        let refused = disk.trace(&run.id(), 3, false)().unwrap_err();
        assert_eq!(refused, "seed 3 has no trace yet, and this dashboard is read-only");
        assert!(!inspect::path_of(&run, 3).exists());
    }
}
