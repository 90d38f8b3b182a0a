//! What the dashboard needs from the lab, as one trait: the file system behind it in the product, a
//! few vectors in tests. It holds no state of the screen.

use crate::lab::command::Command;
use crate::lab::event::Event;
use crate::lab::status::Status;

/// One run as the list shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRow {
    pub id: String,
    pub experiment: String,
    pub status: Option<Status>,
    /// The worker died without saying so.
    pub lost: bool,
}

/// The lab as the dashboard sees it. Failures are words for the screen.
pub trait Link {
    /// All runs, newest first.
    fn runs(&mut self) -> Vec<RunRow>;
    /// The events of a run since the last call for the same run; all of them after a change of run.
    fn events(&mut self, run: &str) -> Vec<Event>;
    /// Names and descriptions of the experiments that can be launched.
    fn experiments(&mut self) -> Vec<(String, String)>;
    /// Starts an experiment and returns the new run's id.
    fn launch(&mut self, experiment: &str) -> Result<String, String>;
    /// Starts a worker again for a run that was lost or stopped.
    fn resume(&mut self, run: &str) -> Result<(), String>;
    fn send(&mut self, run: &str, command: &Command) -> Result<(), String>;
}
