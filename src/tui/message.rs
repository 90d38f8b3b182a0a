//! Messages, which say what happened, and effects, which say what must be done.

use std::sync::Arc;

use ratatui::crossterm::event::{KeyEvent, MouseEvent};

use super::export::contents::Export;
use super::state::Notice;
use crate::config::Experiment;
use crate::evaluation::calibration::Calibration;
use crate::evaluation::inspect::Trace;
use crate::evaluation::preview_request::PreviewRequest;
use crate::hardware::system::Reading;
use crate::runs::command::Command;
use crate::runs::event::Event;
use crate::runs::note::About;
use crate::runs::preview::Preview;
use crate::runs::runs_dir::RunSummary;

/// Something that happened: input, signals, news of runs, and results of effects.
#[derive(Debug)]
pub enum Message {
    Key(KeyEvent),
    /// Text from a clipboard; it is never taken for keys.
    Pasted(String),
    /// The terminal's size changed, or its content was lost for another reason.
    Resized,
    Mouse(MouseEvent),
    /// SIGTSTP: stop until SIGCONT; with `group`, together with the script that started the dashboard.
    Suspend {
        group: bool,
    },
    /// SIGCONT: another program had the terminal meanwhile.
    Continued,
    /// A signal that ends the process, by number.
    Ended(u8),
    /// The list of runs has changed.
    Runs(Vec<RunSummary>),
    /// A reading of this computer.
    System(Box<Reading>),
    /// New events of one run, in the order they were written.
    Events {
        run: String,
        events: Vec<Event>,
    },
    Experiment {
        run: String,
        experiment: Result<Box<Experiment>, String>,
    },
    /// The calibrated settings of a run's machines; `None` if it was not calibrated.
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
    /// The result of renaming a run: its new id.
    Renamed {
        from: String,
        renamed: Result<String, String>,
    },
    /// The result of making a preview of a run without a worker.
    PreviewMade {
        run: String,
        made: Result<(), String>,
    },
    /// The end of a run's log, after a change.
    Log {
        run: String,
        log: Result<String, String>,
    },
    /// The result of tracing a noise seed through a run's network and machines.
    Trace {
        run: String,
        seed: u64,
        trace: Result<Arc<Trace>, String>,
    },
    /// The result of a launch: the new run's id.
    Launched(Result<String, String>),
    /// The result of another effect, for the user.
    Notice(Notice),
}

/// Something to do in the world: by the shell (terminal), or by the lab thread (runs).
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Leave the dashboard; runs go on.
    Detach,
    /// Leave the dashboard because of this signal.
    End(u8),
    /// Restore the terminal and stop until SIGCONT.
    Suspend {
        group: bool,
    },
    /// Take the terminal over again.
    ComeBack,
    /// Clear the terminal and draw everything.
    Redraw,
    /// Notify a user who is not looking, with this text.
    Ring(String),
    /// Read this run's files from now on: it is the open run.
    Open(String),
    /// Read the events of these runs too: they are all marked runs.
    FollowMarked(Vec<String>),
    LoadPreview {
        run: String,
        step: u64,
    },
    LoadCalibration(String),
    /// Write the content of a tab into files.
    Export(Box<Export>),
    /// Make a preview of a run that has no worker.
    MakePreview {
        run: String,
        request: PreviewRequest,
    },
    /// Trace a noise seed through the newest network of a run and its machines.
    Trace {
        run: String,
        seed: u64,
        /// Whether a trace may be computed; otherwise only one on disk is shown.
        may_compute: bool,
    },
    Launch {
        experiment: Box<Experiment>,
        parent: Option<String>,
        /// Whether the run waits until no other run is at work.
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
    /// Take control of a run's worker, even from someone else.
    Hold(String),
    /// Give control of a run's worker back.
    Release(String),
}
