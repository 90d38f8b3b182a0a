//! Everything that can happen to the dashboard, and everything it can ask of the world.

use std::sync::Arc;

use ratatui::crossterm::event::{KeyEvent, MouseEvent};

use super::export::Export;
use crate::config::Experiment;
use crate::evaluation::calibration::Calibration;
use crate::evaluation::inspect::Trace;
use crate::evaluation::preview_request::PreviewRequest;
use crate::hardware::system::Reading;
use crate::runs::about::About;
use crate::runs::command::Command;
use crate::runs::event::Event;
use crate::runs::preview::Preview;
use crate::runs::runs_dir::RunSummary;

/// What happened.
#[derive(Debug)]
pub enum Message {
    Key(KeyEvent),
    /// Text that came at once, from a clipboard: never taken for keys.
    Pasted(String),
    /// The terminal's size changed, or it must be drawn anew for another reason.
    Resized,
    Mouse(MouseEvent),
    /// Stop until SIGCONT, like any program; with `group` whoever started the dashboard and waits for it too.
    Suspend {
        group: bool,
    },
    /// SIGCONT: somebody else had the terminal.
    Continued,
    /// A signal that ends the process.
    Ended(u8),
    Runs(Vec<RunSummary>),
    /// A look at the machine.
    System(Box<Reading>),
    /// News of one run, in the order they were written.
    Events {
        run: String,
        events: Vec<Event>,
    },
    Experiment {
        run: String,
        experiment: Result<Box<Experiment>, String>,
    },
    /// The calibrated settings of a run's machines, if there are some.
    Calibration {
        run: String,
        calibration: Result<Option<Box<Calibration>>, String>,
    },
    PreviewSteps {
        run: String,
        steps: Vec<u64>,
    },
    Preview {
        run: String,
        preview: Result<Box<Preview>, String>,
    },
    /// A run was to get another name: the new one.
    Renamed {
        from: String,
        renamed: Result<String, String>,
    },
    /// A preview was made of a run without a worker.
    Previewed {
        run: String,
        made: Result<(), String>,
    },
    /// The end of a run's log, when it has changed.
    Log {
        run: String,
        log: Result<String, String>,
    },
    Trace {
        run: String,
        seed: u64,
        trace: Result<Arc<Trace>, String>,
    },
    /// A launch came to something: the new run's name.
    Launched(Result<String, String>),
    /// A command to a worker came to something: what to say.
    Done(Result<String, String>),
}

/// What the shell is asked to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Leave the screen; runs go on.
    Detach,
    /// Leave it because of this signal.
    End(u8),
    /// Give the terminal back and stop until SIGCONT.
    Suspend {
        group: bool,
    },
    /// Take the terminal again.
    ComeBack,
    /// Clear the terminal and draw everything.
    Redraw,
    /// Tell whoever is not looking.
    Ring(String),
    /// Read this run's files from now on.
    Watch(String),
    /// Read these runs' events too: the marked ones.
    Follow(Vec<String>),
    LoadPreview {
        run: String,
        step: u64,
    },
    LoadCalibration(String),
    /// Write a tab into files.
    Export(Box<Export>),
    /// Make a preview of a run without a worker.
    Preview {
        run: String,
        request: PreviewRequest,
    },
    /// Follow a noise seed through the newest network of a run.
    Trace {
        run: String,
        seed: u64,
        /// Else only one that is there already is shown.
        may_compute: bool,
    },
    Launch {
        experiment: Box<Experiment>,
        parent: Option<String>,
        /// Wait until no other run is at work.
        queued: bool,
    },
    Resume(String),
    Kill(String),
    Describe {
        run: String,
        about: About,
    },
    Rename {
        run: String,
        to: String,
    },
    Delete(String),
    Send {
        run: String,
        command: Command,
    },
    /// Take control of a run's worker, from whoever has it.
    Hold(String),
    /// Give it back.
    Release(String),
}
