//! The condition of a run as the dashboard shows it: the state its worker reported, or what became of that worker.

use crate::runs::liveness::Health;
use crate::runs::runs_dir::RunSummary;
use crate::runs::status::RunState;

/// A run's state in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunCondition {
    /// No status was written yet.
    Launching,
    /// It is not known yet whether its worker is alive.
    Checking,
    Reported(RunState),
    /// Its worker is alive and has not reported for some time.
    Silent,
    /// Its worker died, whatever state it reported last.
    Lost,
    /// A newer mosaic wrote it, in a format this one does not read.
    Newer,
}

use RunCondition::{Checking, Launching, Lost, Newer, Reported, Silent};

impl RunCondition {
    pub fn of(run: &RunSummary) -> Self {
        match (run.health, &run.status) {
            (Health::Lost, _) => Lost,
            (Health::Silent, _) => Silent,
            (Health::Newer, _) => Newer,
            (Health::Undecided, _) => Checking,
            (_, Some(status)) => Reported(status.state),
            (_, None) => Launching,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Launching => "launching",
            Checking => "checking",
            Reported(state) => state_name(state),
            Silent => "silent",
            Lost => "lost",
            Newer => "newer",
        }
    }

    /// A character that tells conditions apart without colour.
    pub fn symbol(self) -> &'static str {
        match self {
            Reported(RunState::Training) => "▶",
            Reported(RunState::Comparing) => "◆",
            Reported(RunState::Queued) => "⋯",
            Reported(RunState::Paused) => "‖",
            Reported(RunState::Finished) => "✓",
            Reported(RunState::Stopped) => "■",
            Reported(RunState::Failed) | Lost => "✗",
            Newer => "?",
            Launching | Checking | Silent | Reported(RunState::Starting) => "…",
        }
    }

    /// Whether a worker is expected to change the run's files.
    pub fn is_at_work(self) -> bool {
        match self {
            Reported(state) => !state.is_over(),
            Silent => true,
            Launching | Checking | Lost | Newer => false,
        }
    }

    /// Whether the run ended by itself: nobody asked it to stop.
    pub fn has_ended(self) -> bool {
        matches!(self, Reported(RunState::Finished | RunState::Failed) | Lost)
    }
}

pub fn state_name(state: RunState) -> &'static str {
    match state {
        RunState::Queued => "queued",
        RunState::Starting => "starting",
        RunState::Training => "training",
        RunState::Paused => "paused",
        RunState::Comparing => "comparing",
        RunState::Finished => "finished",
        RunState::Stopped => "stopped",
        RunState::Failed => "failed",
    }
}
