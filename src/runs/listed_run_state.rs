//! The state of a run as `mosaic ls` and the dashboard list it, in one word: what its worker says (training, paused,
//! finished, ...), or *lost* or *silent* if the worker is gone or hangs (decided in `alive_silent_or_lost.rs`).

use serde::Serialize;

use super::alive_silent_or_lost::Health;
use super::status_json::{RunState, Status};

/// The state words of `mosaic ls --json` and of the dashboard's run list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ListedState {
    Queued,
    Starting,
    Training,
    Paused,
    Comparing,
    Finished,
    Stopped,
    Failed,
    /// The run has no status yet.
    Launching,
    /// The worker exited without reporting a status.
    Lost,
    /// The worker holds the run but has not updated its heartbeat recently.
    Silent,
    /// Written by a newer mosaic in a format that this version cannot read.
    Newer,
    /// A second look is needed to decide whether the worker is alive.
    Checking,
}

impl ListedState {
    /// Combines a run's health with its last status.
    pub fn new(health: Health, status: Option<&Status>) -> Self {
        match (health, status.map(|status| status.state)) {
            (Health::Lost, _) => Self::Lost,
            (Health::Silent, _) => Self::Silent,
            (Health::Newer, _) => Self::Newer,
            (Health::Undecided, _) => Self::Checking,
            (_, None) => Self::Launching,
            (_, Some(state)) => state.into(),
        }
    }

    /// Whether a worker is expected to change the run's files.
    pub fn is_at_work(self) -> bool {
        use ListedState::{Comparing, Paused, Queued, Silent, Starting, Training};
        matches!(self, Queued | Starting | Training | Paused | Comparing | Silent)
    }

    /// Whether the run ended by itself: it was not stopped.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Finished | Self::Failed | Self::Lost)
    }

    /// The state as one word.
    pub fn word(self) -> &'static str {
        self.into()
    }
}

impl From<RunState> for ListedState {
    fn from(state: RunState) -> Self {
        match state {
            RunState::Queued => Self::Queued,
            RunState::Starting => Self::Starting,
            RunState::Training => Self::Training,
            RunState::Paused => Self::Paused,
            RunState::Comparing => Self::Comparing,
            RunState::Finished => Self::Finished,
            RunState::Stopped => Self::Stopped,
            RunState::Failed => Self::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_worker_is_lost_whatever_it_said_last() {
        let status = Status::new(RunState::Training, 5);
        assert_eq!(ListedState::new(Health::Alive, Some(&status)).word(), "training");
        assert_eq!(ListedState::new(Health::Lost, Some(&status)), ListedState::Lost);
        assert_eq!(ListedState::new(Health::Unknown, None).word(), "launching");
    }

    #[test]
    fn words_are_the_same_in_json() {
        for state in [ListedState::Queued, ListedState::Checking, ListedState::Newer] {
            let json = serde_json::to_string(&state).unwrap();
            assert_eq!(json, format!("\"{}\"", state.word()));
        }
    }
}
