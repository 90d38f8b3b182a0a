//! The lab as the dashboard sees it, as one trait. It holds no state of the screen; errors are texts for the screen.

use super::export::contents::Export;
use crate::config::Experiment;
use crate::evaluation::calibration::Calibration;
use crate::evaluation::inspect::Trace;
use crate::evaluation::preview_request::PreviewRequest;
use crate::hardware::system::Reading;
use crate::runs::command::Act;
use crate::runs::event::Event;
use crate::runs::note::About;
use crate::runs::preview::Preview;
use crate::runs::runs_dir::RunSummary;

/// Reads and steers runs.
pub trait Link: Send {
    /// All runs, newest first.
    fn runs(&mut self) -> Vec<RunSummary>;
    /// The events of a run since the last call for it; all of them on the first call and after [`Link::forget`].
    fn events(&mut self, run: &str) -> Vec<Event>;
    /// Makes the next calls for a run read its events and log from the start.
    fn forget(&mut self, run: &str);
    /// The settings a run was launched with.
    fn experiment(&mut self, run: &str) -> Result<Experiment, String>;
    /// Training steps of a run's complete previews, in increasing order.
    fn preview_steps(&mut self, run: &str) -> Vec<u64>;
    fn preview(&mut self, run: &str, step: u64) -> Result<Preview, String>;
    /// The calibrated settings of a run's machines; `None` before they are calibrated.
    fn calibration(&mut self, run: &str) -> Result<Option<Calibration>, String>;
    /// The end of the worker's log; `None` if it has not changed since the last call.
    fn log(&mut self, run: &str) -> Option<Result<String, String>>;
    /// Reads the trace of a noise seed through a run's newest network, and computes it first if there is none. The returned
    /// closure takes seconds: it is for a thread of its own.
    fn trace(
        &self,
        run: &str,
        seed: u64,
        may_compute: bool,
    ) -> Box<dyn FnOnce() -> Result<Trace, String> + Send>;
    /// Makes a preview of a run's newest checkpoint, in a thread of its own.
    fn make_preview(
        &self,
        run: &str,
        request: &PreviewRequest,
    ) -> Box<dyn FnOnce() -> Result<(), String> + Send>;
    /// Writes an export and returns a text that names the files, in a thread of its own.
    fn export(&self, export: Export) -> Box<dyn FnOnce() -> Result<String, String> + Send>;
    /// Starts an experiment, or queues it, and returns the new run's id.
    fn launch(
        &mut self,
        experiment: &Experiment,
        parent: Option<&str>,
        queued: bool,
    ) -> Result<String, String>;
    /// Starts a worker on a run that was stopped, failed or lost.
    fn resume(&mut self, run: &str) -> Result<(), String>;
    fn kill(&mut self, run: &str) -> Result<(), String>;
    /// Writes a run's note and tags.
    fn describe(&mut self, run: &str, about: &About) -> Result<(), String>;
    /// Renames a run and returns its new id.
    fn rename(&mut self, run: &str, to: &str) -> Result<String, String>;
    fn delete(&mut self, run: &str) -> Result<(), String>;
    /// A reading of this computer, and of the process `worker`.
    fn system(&mut self, worker: Option<u32>) -> Reading;
    /// Sends a command to a worker in the dashboard's name.
    fn send(&mut self, run: &str, act: Act) -> Result<(), String>;
}
