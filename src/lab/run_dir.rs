//! A run's directory: its layout, its name, and what can be told from outside about its worker.
//!
//! ```text
//! <runs>/<experiment>-<suffix>/   run.toml status.json events.jsonl worker.log control.sock .worker.lock
//!                                 state/ previews/ report/
//! ```
//!
//! The suffix is the launch time in seconds since 2020, in base 36, six digits: names of one
//! experiment sort by time. Directories are the owner's alone (0700). Readers tolerate junk.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use thiserror::Error;

use super::about::About;
use super::config::Experiment;
use super::format::NewerFormat;
use super::holder::Steering;
use super::run_lock::RunLock;
use super::run_toml::{self, RunTomlError};
use super::status::{Status, now_ms};

/// 2020-01-01 in milliseconds since the Unix epoch.
const EPOCH_2020_MS: u64 = 1_577_836_800_000;
const SUFFIX_DIGITS: usize = 6;
/// A worker writes its heartbeat every second; this much older means that it hangs or is gone.
pub const HEARTBEAT_LIMIT_MS: u64 = 10_000;

/// File systems take 255; some room is left for temporary names.
const NAME_BYTES_MAX: usize = 200;

/// The directory that holds all runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunsDir {
    path: PathBuf,
}

/// One run's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDir {
    path: PathBuf,
}

/// What is known of a run from its files.
#[derive(Clone, Debug, PartialEq)]
pub struct RunSummary {
    pub id: String,
    pub dir: RunDir,
    pub status: Option<Status>,
    pub health: Health,
    pub experiment: String,
    pub created_ms: u64,
    /// Note and tags.
    pub about: About,
    /// Who steers its worker, as this process sees it.
    pub steering: Steering,
    /// Why nothing is known of it, if a newer mosaic wrote it.
    pub newer: Option<NewerFormat>,
}

/// Whether someone works on a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// The worker runs and says so.
    Alive,
    /// The worker's process is there but has said nothing for a while: it hangs, or the machine slept.
    Silent,
    /// The worker ended without saying so; the run can be resumed.
    Lost,
    /// Finished, stopped or failed.
    Over,
    /// No status yet: just launched, or not a whole run.
    Unknown,
    /// A newer mosaic works or worked on it, in a format that this one cannot read.
    Newer,
}

/// Why a run's directory stays as it is.
#[derive(Debug, Error)]
pub enum RunDirError {
    #[error("{attempt} run '{run}': a worker is at work on it; stop it first: mosaic stop {run}")]
    Busy { attempt: &'static str, run: String },
    #[error("{attempt} run '{run}'")]
    Newer { attempt: &'static str, run: String, source: NewerFormat },
    #[error("the name '{}' {problem}", name.escape_debug())]
    Name { name: String, problem: String },
    #[error("{attempt}")]
    Io { attempt: String, source: io::Error },
}

impl RunsDir {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All runs, newest first; anything that is not a run is passed over.
    pub fn list(&self) -> Vec<RunSummary> {
        let Ok(entries) = std::fs::read_dir(&self.path) else { return Vec::new() };
        let mut runs: Vec<RunSummary> = entries
            .filter_map(Result::ok)
            .map(|entry| RunDir::open(entry.path()))
            .filter(|dir| dir.run_toml_path().is_file() || dir.status_path().is_file())
            .map(|dir| dir.summary())
            .collect();
        runs.sort_by(|a, b| (b.created_ms, &b.id).cmp(&(a.created_ms, &a.id)));
        runs
    }

    /// The runs whose name starts with `prefix`; one alone if it is the whole name.
    pub fn matching(&self, prefix: &str) -> Vec<RunSummary> {
        let runs = self.list();
        if let Some(exact) = runs.iter().find(|run| run.id == prefix) {
            return vec![exact.clone()];
        }
        runs.into_iter().filter(|run| run.id.starts_with(prefix)).collect()
    }

    /// Gives a run another name, which keeps the time of launch at its end; returns the new name.
    pub fn rename(&self, run: &RunDir, to: &str) -> Result<String, RunDirError> {
        let from = run.id();
        let refused = |problem: String| RunDirError::Name { name: to.to_owned(), problem };
        let is_word = |c: char| c.is_alphanumeric() || "-_.+".contains(c);
        if to.is_empty() || to.starts_with(['.', '-']) || !to.chars().all(is_word) {
            let problem =
                "must be letters, digits and any of - _ . +, and start with neither . nor -";
            return Err(refused(problem.to_owned()));
        }
        let time =
            from.rsplit_once('-').map(|(_, time)| time).filter(|_| created_ms(&from).is_some());
        let name = match time {
            Some(time) if !to.ends_with(&format!("-{time}")) => format!("{to}-{time}"),
            _ => to.to_owned(),
        };
        if name.len() > NAME_BYTES_MAX {
            return Err(refused(format!("is {} bytes long; at most {NAME_BYTES_MAX}", name.len())));
        }
        run.check_idle("renaming")?;
        let path = self.path.join(&name);
        renameat_with(CWD, &run.path, CWD, &path, RenameFlags::NOREPLACE).map_err(|error| {
            RunDirError::Io {
                attempt: format!("renaming run '{from}' to '{name}'"),
                source: error.into(),
            }
        })?;
        Ok(name)
    }

    /// Makes a new run's directory; never one that exists.
    pub fn create(&self, experiment: &str) -> io::Result<RunDir> {
        std::fs::create_dir_all(&self.path)?;
        let mut seconds = now_ms().saturating_sub(EPOCH_2020_MS) / 1000;
        loop {
            let path = self.path.join(format!("{experiment}-{}", suffix(seconds)));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {
                    let dir = RunDir::open(path);
                    for inner in [dir.state_path(), dir.previews_path(), dir.report_path()] {
                        DirBuilder::new().mode(0o700).create(inner)?;
                    }
                    return Ok(dir);
                }
                // Launched within the same second: take the next free one.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => seconds += 1,
                Err(error) => return Err(error),
            }
        }
    }
}

fn suffix(seconds: u64) -> String {
    let mut digits = [b'0'; SUFFIX_DIGITS];
    let mut rest = seconds;
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdefghijklmnopqrstuvwxyz"[(rest % 36) as usize];
        rest /= 36;
    }
    digits.iter().map(|&digit| char::from(digit)).collect()
}

/// The launch time in a run's name.
fn created_ms(id: &str) -> Option<u64> {
    let (_, suffix) = id.rsplit_once('-')?;
    if suffix.len() != SUFFIX_DIGITS {
        return None;
    }
    u64::from_str_radix(suffix, 36).ok().map(|seconds| EPOCH_2020_MS + 1000 * seconds)
}

impl RunDir {
    /// The run at `path`, which need not exist.
    pub fn open(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn id(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    pub fn run_toml_path(&self) -> PathBuf {
        self.path.join("run.toml")
    }

    pub fn status_path(&self) -> PathBuf {
        self.path.join("status.json")
    }

    pub fn events_path(&self) -> PathBuf {
        self.path.join("events.jsonl")
    }

    pub fn log_path(&self) -> PathBuf {
        self.path.join("worker.log")
    }

    pub fn ticket_path(&self) -> PathBuf {
        self.path.join("queue.json")
    }

    pub fn about_path(&self) -> PathBuf {
        self.path.join("about.json")
    }

    pub fn socket_path(&self) -> PathBuf {
        self.path.join("control.sock")
    }

    pub fn state_path(&self) -> PathBuf {
        self.path.join("state")
    }

    pub fn previews_path(&self) -> PathBuf {
        self.path.join("previews")
    }

    pub fn calibration_path(&self) -> PathBuf {
        self.path.join("calibration.json")
    }

    pub fn report_path(&self) -> PathBuf {
        self.path.join("report")
    }

    /// Where the run stands; `None` where nothing readable says so.
    pub fn status(&self) -> Option<Status> {
        self.readable_status().unwrap_or(None)
    }

    /// The same, for who is about to act on it: a status in a newer format is an error.
    pub fn readable_status(&self) -> Result<Option<Status>, NewerFormat> {
        Status::read(&self.status_path())
    }

    /// Who steers the worker, as this process sees it.
    pub fn steering(&self) -> Steering {
        steering(self.status().as_ref())
    }

    /// The resolved experiment that this run was launched with.
    pub fn experiment(&self) -> Result<Experiment, RunTomlError> {
        run_toml::read(&self.run_toml_path()).map(|run| run.experiment)
    }

    /// Deletes the run and all that is in its directory.
    pub fn delete(&self) -> Result<(), RunDirError> {
        self.check_idle("deleting")?;
        std::fs::remove_dir_all(&self.path).map_err(|source| RunDirError::Io {
            attempt: format!("deleting '{}'", self.path.display()),
            source,
        })
    }

    /// Refuses what would pull the directory from under a worker.
    fn check_idle(&self, attempt: &'static str) -> Result<(), RunDirError> {
        let newer = |source| RunDirError::Newer { attempt, run: self.id(), source };
        let status = self.readable_status().map_err(newer)?;
        match self.is_at_work(status.as_ref()) {
            true => Err(RunDirError::Busy { attempt, run: self.id() }),
            false => Ok(()),
        }
    }

    /// Whether a worker has this run: by its process, by a heartbeat that another machine wrote, or by its lock.
    pub fn is_at_work(&self, status: Option<&Status>) -> bool {
        matches!(health(status, now_ms()), Health::Alive | Health::Silent) || RunLock::is_held(self)
    }

    pub fn health(&self) -> Health {
        self.readable_status().map_or(Health::Newer, |status| health(status.as_ref(), now_ms()))
    }

    pub fn summary(&self) -> RunSummary {
        let (status, newer) = match self.readable_status() {
            Ok(status) => (status, None),
            Err(newer) => (None, Some(newer)),
        };
        let id = self.id();
        let experiment = id.rsplit_once('-').map_or(id.as_str(), |(name, _)| name).to_owned();
        RunSummary {
            health: match newer {
                Some(_) => Health::Newer,
                None => health(status.as_ref(), now_ms()),
            },
            steering: steering(status.as_ref()),
            newer,
            created_ms: created_ms(&id).unwrap_or(0),
            about: About::read(&self.about_path()),
            dir: self.clone(),
            status,
            experiment,
            id,
        }
    }
}

/// A worker that is gone is steered by nobody.
fn steering(status: Option<&Status>) -> Steering {
    let held = status.filter(|status| !status.state.is_over());
    Steering::of(held.and_then(|status| status.holder.as_ref()))
}

/// Judges a status at a moment.
pub fn health(status: Option<&Status>, now_ms: u64) -> Health {
    let Some(status) = status else { return Health::Unknown };
    if status.state.is_over() {
        Health::Over
    } else {
        let beats = now_ms.saturating_sub(status.heartbeat_ms) < HEARTBEAT_LIMIT_MS;
        // Of a process of another machine only its heartbeat can be seen.
        match (status.worker.is_running(), status.worker.is_elsewhere()) {
            (true, _) if beats => Health::Alive,
            (true, _) => Health::Silent,
            (false, true) if beats => Health::Alive,
            (false, _) => Health::Lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::status::RunState;
    use std::os::unix::fs::PermissionsExt;

    fn status(state: RunState) -> Status {
        Status { heartbeat_ms: 100_000, ..Status::new(state, 2) }
    }

    #[test]
    fn a_worker_is_lost_when_gone_and_silent_when_it_says_nothing() {
        let training = status(RunState::Training);
        assert_eq!(health(Some(&training), 101_000), Health::Alive);
        assert_eq!(health(Some(&training), 111_000), Health::Silent);
        let mut gone = training;
        gone.worker.start_ticks += 1;
        assert_eq!(health(Some(&gone), 101_000), Health::Lost);
        assert_eq!(health(Some(&status(RunState::Finished)), 999_000), Health::Over);
        assert_eq!(health(None, 0), Health::Unknown);
    }

    #[test]
    fn runs_of_one_second_get_names_of_their_own_that_sort_by_time() {
        let place = tempfile::tempdir().unwrap();
        let runs = RunsDir::new(place.path());
        let first = runs.create("a").unwrap();
        let second = runs.create("a").unwrap();
        assert!(first.id() < second.id());
        let mode = std::fs::metadata(first.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn a_renamed_run_keeps_its_time_and_replaces_none() {
        let place = tempfile::tempdir().unwrap();
        let runs = RunsDir::new(place.path());
        let (first, second) = (runs.create("a").unwrap(), runs.create("b").unwrap());
        let time = first.id().rsplit_once('-').unwrap().1.to_owned();
        assert_eq!(runs.rename(&first, "baseline").unwrap(), format!("baseline-{time}"));
        assert!(!first.path().exists() && place.path().join(format!("baseline-{time}")).is_dir());
        for wrong in ["", "../up", ".hidden", "a b", "-n", "a\u{1b}[2J"] {
            assert!(
                runs.rename(&second, wrong).unwrap_err().to_string().contains("must be letters")
            );
        }
        assert!(runs.rename(&second, &"x".repeat(300)).unwrap_err().to_string().contains("bytes"));
        std::fs::create_dir(place.path().join(second.id().replacen('b', "c", 1))).unwrap();
        assert!(matches!(runs.rename(&second, "c"), Err(RunDirError::Io { .. })), "one is there");
        assert!(second.path().is_dir());
    }

    #[test]
    fn the_run_of_a_living_worker_is_neither_deleted_nor_renamed() {
        let place = tempfile::tempdir().unwrap();
        let runs = RunsDir::new(place.path());
        let run = runs.create("a").unwrap();
        let write = |state| {
            let text = serde_json::to_vec(&status(state)).unwrap();
            std::fs::write(run.status_path(), text).unwrap();
        };
        write(RunState::Training);
        assert!(matches!(run.delete(), Err(RunDirError::Busy { .. })));
        assert!(matches!(runs.rename(&run, "b"), Err(RunDirError::Busy { .. })));
        write(RunState::Stopped);
        run.delete().unwrap();
        assert!(!run.path().exists());
    }

    #[test]
    fn what_a_newer_mosaic_works_on_is_left_alone() {
        let place = tempfile::tempdir().unwrap();
        let runs = RunsDir::new(place.path());
        let run = runs.create("a").unwrap();
        std::fs::write(run.status_path(), r#"{"v":7,"version":"9.9.9","state":"dreaming"}"#)
            .unwrap();
        let listed = runs.list().remove(0);
        assert_eq!((listed.health, listed.status), (Health::Newer, None));
        assert!(listed.newer.unwrap().to_string().contains("9.9.9"));
        assert!(matches!(run.delete(), Err(RunDirError::Newer { .. })));
        assert!(matches!(runs.rename(&run, "b"), Err(RunDirError::Newer { .. })));
    }

    #[test]
    fn junk_beside_runs_is_passed_over() {
        let place = tempfile::tempdir().unwrap();
        let runs = RunsDir::new(place.path());
        std::fs::write(place.path().join("README.md"), "x").unwrap();
        std::fs::create_dir(place.path().join("empty")).unwrap();
        let run = runs.create("glyphs-cnn").unwrap();
        std::fs::write(run.status_path(), "{ torn").unwrap();
        let listed = runs.list();
        assert_eq!(listed.len(), 1);
        assert_eq!(
            (listed[0].experiment.as_str(), listed[0].health),
            ("glyphs-cnn", Health::Unknown)
        );
        assert!(now_ms() - listed[0].created_ms < 10_000);
    }
}
