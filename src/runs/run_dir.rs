//! A run's directory: its layout, and the files that hold its description and status.
//!
//! ```text
//! <runs>/<experiment>-<suffix>/   run.toml status.json events.jsonl worker.log control.sock .worker.lock
//!                                 state/ previews/ report/ attention-optimal/
//! ```

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::control_holder::Steering;
use super::format_versions::NewerFormat;
use super::run_lock::RunLock;
use super::run_toml::{self, RunTomlError};
use super::status_json::Status;
use crate::config::Experiment;

/// One run's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDir {
    pub(super) path: PathBuf,
    /// Base path for reading and writing files: `path`, or an anchor that survives moving the directory.
    base: PathBuf,
}

impl RunDir {
    /// The run at `path`, which need not exist.
    pub fn open(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { base: path.clone(), path }
    }

    /// The same run for the worker that holds it: its files are those of the locked directory, even if that is
    /// moved or renamed. `lock` must outlive the returned value.
    pub fn anchored(&self, lock: &RunLock) -> Self {
        let base = lock.anchor().unwrap_or_else(|| self.path.clone());
        Self { path: self.path.clone(), base }
    }

    /// The directory's path, for display and for finding sibling runs; files are reached through the other
    /// functions.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file of this run, relative to the run's directory.
    pub fn relative<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.base).unwrap_or(path)
    }

    /// Replaces anchored paths in a message by the paths that users know.
    pub fn in_words(&self, text: &str) -> String {
        match self.base == self.path {
            true => text.to_owned(),
            false => text.replace(&*self.base.to_string_lossy(), &self.path.to_string_lossy()),
        }
    }

    pub fn id(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The run's status; `None` if there is no readable one.
    pub fn status(&self) -> Option<Status> {
        self.readable_status().unwrap_or(None)
    }

    /// Like [`RunDir::status`], for callers about to act on it: a status in a newer format is an error.
    ///
    /// # Errors
    ///
    /// If the status has a newer format.
    pub fn readable_status(&self) -> Result<Option<Status>, NewerFormat> {
        Status::read(&self.status_path())
    }

    /// Relation of this process to the worker's holder.
    pub fn steering(&self) -> Steering {
        steering(self.status().as_ref())
    }

    /// The resolved experiment that this run was launched with.
    ///
    /// # Errors
    ///
    /// If `run.toml` cannot be read, is invalid or has a newer format.
    pub fn experiment(&self) -> Result<Experiment, RunTomlError> {
        run_toml::read(&self.run_toml_path()).map(|run| run.experiment)
    }

    /// Breaks hard links of append-only files in a hard-linked copy of a run (`cp -al`), so that appending does
    /// not change the original.
    ///
    /// # Errors
    ///
    /// If a file cannot be copied or replaced.
    pub fn unshare_files(&self) -> io::Result<()> {
        for path in [self.events_path(), self.log_path(), self.seen_seeds_path()] {
            if std::fs::metadata(&path).is_ok_and(|data| data.nlink() > 1) {
                let beside = path.with_extension("unshared");
                std::fs::copy(&path, &beside)?;
                std::fs::rename(&beside, &path)?;
            }
        }
        Ok(())
    }
}

/// The paths of a run's files and directories, by their names in its directory.
macro_rules! paths {
    ($($path:ident: $name:literal,)+) => {
        impl RunDir {
            $(pub fn $path(&self) -> PathBuf {
                self.base.join($name)
            })+
        }
    };
}

paths! {
    run_toml_path: "run.toml",
    status_path: "status.json",
    events_path: "events.jsonl",
    seen_seeds_path: "seen_seeds.jsonl",
    log_path: "worker.log",
    ticket_path: "queue.json",
    about_path: "about.json",
    socket_path: "control.sock",
    state_path: "state",
    previews_path: "previews",
    floors_path: "floors.json",
    calibration_path: "calibration.json",
    report_path: "report",
}

/// A worker that is gone has no holder.
pub(super) fn steering(status: Option<&Status>) -> Steering {
    let held = status.filter(|status| !status.state.is_over());
    Steering::of(held.and_then(|status| status.holder.as_ref()))
}
