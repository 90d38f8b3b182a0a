//! Renames and deletes runs that have no worker.

use std::io;

use thiserror::Error;

use super::alive_silent_or_lost;
use super::format_versions::NewerFormat;
use super::run_dir::RunDir;
use super::run_lock::RunLock;
use super::runs_dir::{RunsDir, created_ms};
use crate::files::directory_rename;

/// File systems allow 255 bytes; this leaves room for temporary names.
const NAME_BYTES_MAX: usize = 200;

/// Reason why a run's directory could not be renamed or deleted.
#[derive(Debug, Error)]
pub enum RunDirError {
    #[error("{attempt} run '{run}': it has a worker; stop it first: mosaic stop {run}")]
    Busy { attempt: &'static str, run: String },
    #[error("{attempt} run '{run}'")]
    Newer { attempt: &'static str, run: String, source: NewerFormat },
    #[error("the name '{}' {problem}", name.escape_debug())]
    Name { name: String, problem: String },
    #[error("{attempt}")]
    Io { attempt: String, source: io::Error },
}

impl RunsDir {
    /// Renames a run and returns the new name, which keeps the launch time at its end.
    ///
    /// # Errors
    ///
    /// If the name is invalid or taken, or if the run has a worker.
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
        let _lock = run.claim("renaming")?;
        let path = self.path().join(&name);
        directory_rename::rename_to_free(&run.path, &path).map_err(|source| RunDirError::Io {
            attempt: format!("renaming run '{from}' to '{name}'"),
            source,
        })?;
        Ok(name)
    }
}

impl RunDir {
    /// Deletes the run and its directory's content.
    ///
    /// # Errors
    ///
    /// If the run has a worker or was written by a newer mosaic.
    pub fn delete(&self) -> Result<(), RunDirError> {
        let _lock = self.claim("deleting")?;
        std::fs::remove_dir_all(&self.path).map_err(|source| RunDirError::Io {
            attempt: format!("deleting '{}'", self.path.display()),
            source,
        })
    }

    /// Keeps workers out while the directory is deleted or renamed; an error if there is a live worker.
    pub(super) fn claim(&self, attempt: &'static str) -> Result<RunLock, RunDirError> {
        let newer = |source| RunDirError::Newer { attempt, run: self.id(), source };
        self.readable_status().map_err(newer)?;
        let busy = || RunDirError::Busy { attempt, run: self.id() };
        if alive_silent_or_lost::is_at_work(self) {
            return Err(busy());
        }
        let io =
            |source| RunDirError::Io { attempt: format!("{attempt} run '{}'", self.id()), source };
        RunLock::take(self.path()).map_err(io)?.ok_or_else(busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::status_json::{RunState, Status};

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
        Status::new(RunState::Training, 2).write(&run.status_path()).unwrap();
        let lock = RunLock::take(run.path()).unwrap();
        assert!(matches!(run.delete(), Err(RunDirError::Busy { .. })));
        assert!(matches!(runs.rename(&run, "b"), Err(RunDirError::Busy { .. })));
        drop(lock);
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
        assert!(matches!(run.delete(), Err(RunDirError::Newer { .. })));
        assert!(matches!(runs.rename(&run, "b"), Err(RunDirError::Newer { .. })));
    }
}
