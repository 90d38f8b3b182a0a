//! The directory that holds all runs: lists them, finds one by the beginning of its name, and creates new ones.
//!
//! A run is called `<experiment>-<suffix>`. The suffix is the launch time in seconds since 2020 as six base-36
//! digits, so names of one experiment sort by time. Directories are private to the owner (0700). Readers ignore
//! foreign files.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::{io, thread};

use super::alive_silent_or_lost::{self, BETWEEN_LOOKS, Health};
use super::control_holder::Steering;
use super::format_versions::NewerFormat;
use super::listed_run_state::ListedState;
use super::note_and_tags::About;
use super::run_dir::{RunDir, steering};
use super::status_json::{Status, now_ms};
use crate::files::{if_there, make_folder};

/// 2020-01-01 in milliseconds since the Unix epoch.
const EPOCH_2020_MS: u64 = 1_577_836_800_000;
const SUFFIX_DIGITS: usize = 6;

/// The directory that holds all runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunsDir {
    path: PathBuf,
}

/// Content of a runs directory.
#[derive(Debug, Default)]
pub struct Listing {
    /// Newest first.
    pub runs: Vec<RunSummary>,
    /// Number of directories that may not be read, such as other users' runs.
    pub n_unreadable: usize,
}

/// Summary of a run, read from its files.
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
    /// Relation of this process to the worker's holder.
    pub steering: Steering,
    /// Set if a newer mosaic wrote the run, which then cannot be read.
    pub newer: Option<NewerFormat>,
}

impl RunSummary {
    pub fn listed_state(&self) -> ListedState {
        ListedState::new(self.health, self.status.as_ref())
    }
}

impl RunsDir {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All runs, newest first; entries that are not runs are skipped. Empty if the directory cannot be read:
    /// use [`RunsDir::listing`] to report that to the user.
    pub fn list(&self) -> Vec<RunSummary> {
        self.listing().unwrap_or_default().runs
    }

    /// All runs, newest first, and what could not be read. A directory that does not exist holds no runs.
    ///
    /// # Errors
    ///
    /// If the directory exists and cannot be read.
    pub fn listing(&self) -> io::Result<Listing> {
        let mut listing = Listing::default();
        self.check()?;
        let entries = if_there(std::fs::read_dir(&self.path))?;
        for entry in entries.into_iter().flatten().filter_map(Result::ok) {
            let dir = RunDir::open(entry.path());
            match std::fs::metadata(dir.run_toml_path()) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    listing.n_unreadable += 1;
                }
                Ok(data) if data.is_file() => listing.runs.push(dir.summary()),
                _ if dir.status_path().is_file() => listing.runs.push(dir.summary()),
                _ => {}
            }
        }
        listing.runs.sort_by(|a, b| (b.created_ms, &b.id).cmp(&(a.created_ms, &a.id)));
        Ok(listing)
    }

    /// Checks that runs can be kept here at all.
    ///
    /// # Errors
    ///
    /// If the path, or a parent of it, exists but is not a directory.
    pub fn check(&self) -> io::Result<()> {
        match std::fs::metadata(&self.path) {
            Ok(about) if !about.is_dir() => Err(self.no_directory()),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(self.no_directory()),
            _ => Ok(()),
        }
    }

    fn no_directory(&self) -> io::Error {
        let words = format!(
            "'{}' is not a directory; choose another with --runs-dir or runs_dir in lab.toml",
            self.path.display()
        );
        io::Error::new(io::ErrorKind::NotADirectory, words)
    }

    /// Like [`RunsDir::listing`], for one-shot commands: waits for a second look at runs that need one.
    ///
    /// # Errors
    ///
    /// As [`RunsDir::listing`].
    pub fn settled_listing(&self) -> io::Result<Listing> {
        let mut listing = self.listing()?;
        settle(&mut listing.runs);
        Ok(listing)
    }

    /// The runs whose names start with `prefix`, or the single run with exactly that name.
    ///
    /// # Errors
    ///
    /// As [`RunsDir::listing`].
    pub fn matching(&self, prefix: &str) -> io::Result<Vec<RunSummary>> {
        let runs = self.listing()?.runs;
        let mut found = match runs.iter().find(|run| run.id == prefix) {
            Some(exact) => vec![exact.clone()],
            None => runs.into_iter().filter(|run| run.id.starts_with(prefix)).collect(),
        };
        settle(&mut found);
        Ok(found)
    }

    /// Creates the directory of a new run, never reusing an existing one.
    ///
    /// # Errors
    ///
    /// If the runs directory or the run's own directories cannot be created.
    pub fn create(&self, experiment: &str) -> io::Result<RunDir> {
        // Also creates the target of a dangling link.
        make_folder(&self.path)?;
        let mut seconds = now_ms().saturating_sub(EPOCH_2020_MS) / 1000;
        loop {
            let path = self.path.join(format!("{experiment}-{}", suffix(seconds)));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {
                    let dir = RunDir::open(path);
                    let inner = [dir.state_path(), dir.previews_path(), dir.report_path()];
                    let made = inner
                        .iter()
                        .try_for_each(|path| DirBuilder::new().mode(0o700).create(path));
                    if let Err(error) = made {
                        // The first error is the one to report.
                        let _ = std::fs::remove_dir_all(dir.path());
                        return Err(error);
                    }
                    return Ok(dir);
                }
                // Another run was launched within the same second: use the next free one.
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

/// The launch time encoded in a run's name, in milliseconds since the Unix epoch.
pub(super) fn created_ms(id: &str) -> Option<u64> {
    let (_, suffix) = id.rsplit_once('-')?;
    if suffix.len() != SUFFIX_DIGITS {
        return None;
    }
    u64::from_str_radix(suffix, 36).ok().map(|seconds| EPOCH_2020_MS + 1000 * seconds)
}

impl RunDir {
    /// Health of its worker, judged by one look; see [`alive_silent_or_lost`].
    pub fn health(&self) -> Health {
        self.readable_status()
            .map_or(Health::Newer, |status| alive_silent_or_lost::look(self, status.as_ref()))
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
                None => alive_silent_or_lost::look(self, status.as_ref()),
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

/// Waits for a second look at the runs that need one, all at the same time.
fn settle(runs: &mut [RunSummary]) {
    loop {
        let undecided = runs.iter_mut().filter(|run| run.health == Health::Undecided);
        let looked = undecided.map(|run| *run = run.dir.summary()).count();
        if looked == 0 {
            return;
        }
        thread::sleep(BETWEEN_LOOKS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

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
    fn what_a_newer_mosaic_works_on_is_listed_as_such() {
        let place = tempfile::tempdir().unwrap();
        let runs = RunsDir::new(place.path());
        let run = runs.create("a").unwrap();
        std::fs::write(run.status_path(), r#"{"v":7,"version":"9.9.9","state":"dreaming"}"#)
            .unwrap();
        let listed = runs.list().remove(0);
        assert_eq!((listed.health, listed.status), (Health::Newer, None));
        assert!(listed.newer.unwrap().to_string().contains("9.9.9"));
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
