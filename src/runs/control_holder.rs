//! Who has control of a run's worker (`T`, `--force`): one process at a time.
//!
//! The first process that commands a free worker becomes its holder, until it exits, releases control, or
//! another process explicitly takes it. No keep-alive is needed: a killed holder no longer counts, and control
//! can be taken from one that hangs. The worker keeps track of the holder and publishes it in its status, so
//! that every viewer sees it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::process_identity::{ProcessId, Sighting};

/// Maximum length of a name in characters; names are shown on one line.
const NAME_LETTERS_MAX: usize = 60;

/// A process that has control of a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Display name chosen by the process: the user and the terminal.
    pub name: String,
    pub process: ProcessId,
}

/// Relation of this process to the holder of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Steering {
    /// There is no holder; the first process to send a command becomes the holder.
    #[default]
    Free,
    /// This process is the holder.
    Mine,
    /// Another process, named here, is the holder.
    Theirs(String),
}

impl Holder {
    /// A process and the name it gave itself, shortened to fit on one line.
    pub fn new(name: &str, process: ProcessId) -> Self {
        let letters = name.chars().filter(|letter| !letter.is_control());
        Self { name: letters.take(NAME_LETTERS_MAX).collect(), process }
    }

    /// The name and the process number, for display.
    pub fn words(&self) -> String {
        format!("{} (process {})", self.name, self.process.pid)
    }
}

impl Steering {
    /// Relation of this process to a worker with that holder.
    pub fn of(holder: Option<&Holder>) -> Self {
        // A holder that is not visible from here (in another container) is left to the worker's judgement.
        match holder.filter(|holder| holder.process.sighting() != Sighting::Gone) {
            None => Self::Free,
            Some(holder) if holder.process == ProcessId::current() => Self::Mine,
            Some(holder) => Self::Theirs(holder.words()),
        }
    }
}

/// Outcome of a claim to control.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The claimant was already the holder.
    Kept,
    /// There was no holder.
    Won,
    /// Control was taken from a living holder.
    TakenFrom(Holder),
    /// A living holder keeps control.
    Refused(Holder),
}

/// Decides a claim by `process` on a worker with that holder; `take` takes control from a living one.
pub fn claim(holder: Option<&Holder>, process: &ProcessId, take: bool) -> Claim {
    match holder.filter(|holder| holder.process.is_running()) {
        None => Claim::Won,
        Some(holder) if holder.process == *process => Claim::Kept,
        Some(holder) if take => Claim::TakenFrom(holder.clone()),
        Some(holder) => Claim::Refused(holder.clone()),
    }
}

/// Display name of this process: `ana@pts/3`, or `ana` if it has no terminal.
pub fn my_name() -> String {
    let user = ["USER", "LOGNAME"].into_iter().find_map(|key| std::env::var(key).ok());
    let user = user.filter(|user| !user.is_empty()).unwrap_or_else(|| "someone".to_owned());
    let terminal = std::fs::read_link("/proc/self/fd/0").ok();
    let terminal = terminal.as_deref().and_then(|path| path.strip_prefix("/dev").ok());
    match terminal.filter(|path| path.starts_with("pts") || path.starts_with("tty")) {
        Some(path) => format!("{user}@{}", Path::display(path)),
        None => user,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_holder_gives_way_only_to_who_takes_over_and_a_dead_one_to_anybody() {
        let me = ProcessId::current();
        let parent = ProcessId::of(std::os::unix::process::parent_id()).unwrap();
        let dead = ProcessId { start_ticks: me.start_ticks + 1, ..me.clone() };
        let holder = |process: &ProcessId| Holder::new("ana@pts/3", process.clone());
        assert_eq!(claim(None, &me, false), Claim::Won);
        assert_eq!(claim(Some(&holder(&dead)), &me, false), Claim::Won);
        assert_eq!(claim(Some(&holder(&me)), &me, true), Claim::Kept);
        let theirs = holder(&parent);
        assert_eq!(claim(Some(&theirs), &me, false), Claim::Refused(theirs.clone()));
        assert_eq!(claim(Some(&theirs), &me, true), Claim::TakenFrom(theirs.clone()));
        assert_eq!(Steering::of(Some(&holder(&me))), Steering::Mine);
        assert_eq!(Steering::of(Some(&holder(&dead))), Steering::Free);
        assert_eq!(Steering::of(Some(&theirs)), Steering::Theirs(theirs.words()));
    }

    #[test]
    fn a_name_is_one_short_line() {
        let holder = Holder::new(&format!("a\u{1b}[2J\n{}", "x".repeat(200)), ProcessId::current());
        assert!(holder.name.chars().count() == 60 && holder.name.starts_with("a[2Jxx"));
        assert!(!my_name().is_empty());
    }
}
