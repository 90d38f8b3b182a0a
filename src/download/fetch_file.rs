//! Fetches one file: source after source, attempt after attempt, until the right bytes are at their place.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::statvfs;

use super::error::DownloadError;
use super::event::{Event, Outcome};
use super::failure::{Failure, FailureKind};
use super::partial_file::PartialFile;
use super::source::Source;
use super::transfer::{End, POLL, transfer};
use super::transfer_settings::TransferSettings;
use super::wanted_file::{Found, WantedFile};

/// What to do with another file at the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// An error.
    Keep,
    Replace,
}

/// How a source ended.
enum Tried {
    Right,
    Stopped,
    Failed(Failure),
}

/// Fetches a file, unless it is there, from the first of `sources` that has it. Its directory must exist.
///
/// When `stop` is set, what is there stays as a partial file, from which the next call goes on. A file with the wrong
/// checksum is never put in place.
///
/// # Errors
///
/// If another file is at its place and is to be kept; if another process is fetching it; if the disk is full or cannot
/// be written; if no source has it.
pub fn fetch(
    wanted: &WantedFile,
    sources: &[Source],
    existing: Existing,
    settings: &TransferSettings,
    stop: &AtomicBool,
    report: &mut dyn FnMut(Event<'_>),
) -> Result<Outcome, DownloadError> {
    if is_there(wanted, existing)? {
        return Ok(Outcome::WasThere);
    }
    let part_path = PartialFile::path_of(&wanted.path);
    let mut part = PartialFile::open(&wanted.path)
        .map_err(DownloadError::disk("opening", &part_path))?
        .ok_or(DownloadError::Locked { path: part_path })?;
    // The process that held the lock may have put it there.
    if is_there(wanted, existing)? {
        delete(part)?;
        return Ok(Outcome::WasThere);
    }
    if part.length() > wanted.length {
        report(Event::Dropped { n_bytes: part.length() });
        restart(&mut part)?;
    }
    if let Err(error) = check_space(&wanted.path, wanted.length - part.length()) {
        delete_if_empty(part)?;
        return Err(error);
    }
    let mut failures = Vec::new();
    for (i, source) in sources.iter().enumerate() {
        match try_source(source, wanted, &mut part, settings, stop, report)? {
            Tried::Right => {
                part.place(&wanted.path)
                    .map_err(DownloadError::disk("putting in place", &wanted.path))?;
                return Ok(Outcome::Fetched);
            }
            Tried::Stopped => {
                let n_bytes = part.length();
                delete_if_empty(part)?;
                return Ok(Outcome::Stopped { n_bytes });
            }
            Tried::Failed(failure) => {
                // The error tells of the last one.
                if i + 1 < sources.len() {
                    report(Event::GivenUp { source, failure: &failure });
                }
                failures.push((source.clone(), failure));
            }
        }
    }
    delete_if_empty(part)?;
    Err(DownloadError::NoSource { failures })
}

fn is_there(wanted: &WantedFile, existing: Existing) -> Result<bool, DownloadError> {
    let path = &wanted.path;
    match wanted.found().map_err(DownloadError::disk("reading", path))? {
        Found::Right => Ok(true),
        Found::Other(found) if existing == Existing::Keep => {
            let (path, expected) = (path.clone(), wanted.in_words());
            Err(DownloadError::Other { path, found, expected })
        }
        Found::Other(_) | Found::Nothing => Ok(false),
    }
}

/// Refuses to begin what the disk has no room for; if the system does not tell, it will show.
fn check_space(path: &Path, needed: u64) -> Result<(), DownloadError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let free = statvfs(folder).ok().and_then(|about| about.f_bavail.checked_mul(about.f_frsize));
    match free {
        Some(free) if free < needed => {
            Err(DownloadError::NoSpace { folder: folder.to_owned(), needed, free })
        }
        _ => Ok(()),
    }
}

fn restart(part: &mut PartialFile) -> Result<(), DownloadError> {
    let failed = DownloadError::disk("truncating", part.path());
    part.restart().map_err(failed)
}

fn delete(part: PartialFile) -> Result<(), DownloadError> {
    let failed = DownloadError::disk("removing", part.path());
    part.delete().map_err(failed)
}

fn delete_if_empty(part: PartialFile) -> Result<(), DownloadError> {
    if part.length() == 0 { delete(part) } else { Ok(()) }
}

/// Asks one source until it has sent the right file, fails for good, or has failed too often in a row.
fn try_source(
    source: &Source,
    wanted: &WantedFile,
    part: &mut PartialFile,
    settings: &TransferSettings,
    stop: &AtomicBool,
    report: &mut dyn FnMut(Event<'_>),
) -> Result<Tried, DownloadError> {
    let (mut n_failed, mut has_dropped) = (0, false);
    loop {
        let before = part.length();
        let end = match before == wanted.length {
            // It was complete and not yet checked.
            true => End::Complete { from: before },
            false => transfer(source, wanted.length, part, settings, stop, report),
        };
        let failure = match end {
            End::Stopped => return Ok(Tried::Stopped),
            End::Unwritten(error) => {
                let (path, n_bytes) = (part.path().to_owned(), part.length());
                return Err(DownloadError::Full { path, n_bytes, source: error });
            }
            End::Failed(failure) => failure,
            End::Complete { from } => match check(wanted, part, report)? {
                None => return Ok(Tried::Right),
                // The first bytes may be remains of another file, or of a power failure.
                Some(_) if from > 0 && !has_dropped => {
                    report(Event::Dropped { n_bytes: wanted.length });
                    has_dropped = true;
                    continue;
                }
                Some(failure) => return Ok(Tried::Failed(failure)),
            },
        };
        let FailureKind::Interrupted { pause } = failure.kind else {
            return Ok(Tried::Failed(failure));
        };
        if part.length() >= before.saturating_add(settings.progress_bytes) {
            n_failed = 0;
        }
        n_failed += 1;
        if n_failed >= settings.n_tries {
            return Ok(Tried::Failed(failure));
        }
        let (pause, n_tries) = (settings.pause(n_failed, pause), settings.n_tries);
        report(Event::Pausing { source, failure: &failure, pause, n_failed, n_tries });
        if is_stopped_within(pause, stop) {
            return Ok(Tried::Stopped);
        }
    }
}

/// Compares the checksum; the bytes of a wrong file are dropped.
fn check(
    wanted: &WantedFile,
    part: &mut PartialFile,
    report: &mut dyn FnMut(Event<'_>),
) -> Result<Option<Failure>, DownloadError> {
    report(Event::Checking);
    let failed = DownloadError::disk("checking", part.path());
    let found = part.sync_and_checksum().map_err(failed)?;
    if found == wanted.sha256 {
        return Ok(None);
    }
    restart(part)?;
    let words = format!(
        "it sent another file: {} bytes with SHA-256 {found} instead of {}",
        wanted.length, wanted.sha256
    );
    Ok(Some(Failure::refused(words)))
}

/// Waits; true if it is to stop.
fn is_stopped_within(pause: Duration, stop: &AtomicBool) -> bool {
    let end = Instant::now() + pause;
    loop {
        if stop.load(Ordering::SeqCst) {
            return true;
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        thread::sleep(left.min(POLL));
    }
}
