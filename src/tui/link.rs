//! What the dashboard needs of the lab, as one trait: the file system behind it in the product, a few
//! vectors in tests. It holds no state of the screen; failures are words for the screen.

use super::export::Export;
use crate::config::Experiment;
use crate::evaluation::calibration::Calibration;
use crate::evaluation::inspect::Trace;
use crate::evaluation::preview_request::PreviewRequest;
use crate::hardware::system::Reading;
use crate::runs::about::About;
use crate::runs::command::Act;
use crate::runs::event::Event;
use crate::runs::preview::Preview;
use crate::runs::runs_dir::RunSummary;

/// The lab as the dashboard sees it.
pub trait Link: Send {
    /// All runs, newest first.
    fn runs(&mut self) -> Vec<RunSummary>;
    /// A run's events since the last call for it; all of them at first, and after it was forgotten.
    fn events(&mut self, run: &str) -> Vec<Event>;
    /// What was read of a run is read again when its events are next asked for.
    fn forget(&mut self, run: &str);
    /// The settings a run was launched with.
    fn experiment(&mut self, run: &str) -> Result<Experiment, String>;
    /// Training steps of a run's whole previews, in increasing order.
    fn preview_steps(&mut self, run: &str) -> Vec<u64>;
    fn preview(&mut self, run: &str, step: u64) -> Result<Preview, String>;
    /// The calibrated settings of a run's machines, once there are some.
    fn calibration(&mut self, run: &str) -> Result<Option<Calibration>, String>;
    /// The end of the worker's log; `None` where it is as it was at the last call.
    fn log(&mut self, run: &str) -> Option<Result<String, String>>;
    /// The way of a noise seed through a run's newest network, made if there is none: work for a thread of its own.
    fn trace(
        &self,
        run: &str,
        seed: u64,
        may_compute: bool,
    ) -> Box<dyn FnOnce() -> Result<Trace, String> + Send>;
    /// Makes a preview of a run's newest checkpoint: work for a thread of its own.
    fn make_preview(
        &self,
        run: &str,
        request: &PreviewRequest,
    ) -> Box<dyn FnOnce() -> Result<(), String> + Send>;
    /// Writes what a tab shows into files and returns their names: work for a thread of its own.
    fn export(&self, export: Export) -> Box<dyn FnOnce() -> Result<String, String> + Send>;
    /// Starts an experiment, or queues it, and returns the new run's name.
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
    /// Gives a run another name and returns it.
    fn rename(&mut self, run: &str, to: &str) -> Result<String, String>;
    fn delete(&mut self, run: &str) -> Result<(), String>;
    /// What the machine is doing; `worker` is a process to say more about.
    fn system(&mut self, worker: Option<u32>) -> Reading;
    /// Tells a worker something, in the dashboard's name.
    fn send(&mut self, run: &str, act: Act) -> Result<(), String>;
}
