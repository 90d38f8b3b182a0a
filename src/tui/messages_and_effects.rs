//! Messages, which say what happened, and effects, which say what must be done.

use std::sync::Arc;

use ratatui::crossterm::event::{KeyEvent, MouseEvent};

use super::export::exported_tables_and_curves::Export;
use super::state::Notice;
use crate::config::{Arm, Experiment};
use crate::evaluation::calibration::Calibration;
use crate::evaluation::inspect::Trace;
use crate::evaluation::preview_request::PreviewRequest;
use crate::evaluation::report::written_report::WrittenReport;
use crate::evaluation::studies::enqueue_training_seeds::Enqueued;
use crate::hardware::system_load::Reading;
use crate::runs::control_messages::Command;
use crate::runs::event::Event;
use crate::runs::note_and_tags::About;
use crate::runs::preview_files::Preview;
use crate::runs::run_toml::Origin;
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
    /// News of the run of this id, or the result of an effect on it.
    OfRun(String, RunMessage),
    /// The result of a launch: the new run's id.
    Launched(Result<String, String>),
    /// The result of launching several training seeds.
    Enqueued(Result<Enqueued, String>),
    /// The result of another effect, for the user.
    Notice(Notice),
}

/// What has happened to one run.
#[derive(Debug)]
pub enum RunMessage {
    /// New events, in the order they were written.
    Events(Vec<Event>),
    Experiment(Result<Box<Experiment>, String>),
    /// Where its network comes from.
    Origin(Origin),
    /// The calibrated settings of the run's machines; `None` if it was not calibrated.
    Calibration(Result<Option<Box<Calibration>>, String>),
    PreviewSteps(Vec<u64>),
    Preview(Result<Box<Preview>, String>),
    /// The report of the run, when there is one and after a change.
    Report(Result<Option<Box<WrittenReport>>, String>),
    /// The result of renaming the run: its new id.
    Renamed(Result<String, String>),
    /// The result of making a preview of a run without a worker.
    PreviewMade(Result<(), String>),
    /// The result of a recomputation.
    Recomputed(Recomputation, Result<(), String>),
    /// The end of the run's log, after a change.
    Log(Result<String, String>),
    /// The result of tracing a noise seed through the run's network and machines.
    Trace {
        seed: u64,
        trace: Result<Arc<Trace>, String>,
    },
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
    /// Read the events of these runs too: they are all marked runs.
    FollowMarked(Vec<String>),
    /// Write the content of a tab into files.
    Export(Box<Export>),
    Launch {
        experiment: Box<Experiment>,
        parent: Option<String>,
        /// Whether the run waits until no other run is at work.
        queued: bool,
    },
    /// Launch training seeds of one experiment, one after the other.
    LaunchSeeds {
        arms: Vec<Arm>,
        /// Whether the first one waits too until no other run is at work.
        queued: bool,
    },
    OnRun(String, RunEffect),
}

/// What is computed again of a finished run, by the subcommand of this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Recomputation {
    Compare,
    Calibrate,
}

/// Something to do with one run.
#[derive(Clone, Debug, PartialEq)]
pub enum RunEffect {
    /// Read its files from now on: it is the open run.
    Open,
    /// Read the preview of this training step.
    LoadPreview(u64),
    LoadCalibration,
    /// Compare or calibrate the run, which has no worker, by a process of its own.
    Recompute(Recomputation),
    /// Make a preview; the run has no worker.
    MakePreview(PreviewRequest),
    /// Trace a noise seed through the newest network and the machines; unless `may_compute`, only a trace on disk is shown.
    Trace {
        seed: u64,
        may_compute: bool,
    },
    /// Start a worker.
    Resume,
    Kill,
    Describe(About),
    Rename(String),
    Delete,
    Send(Command),
    /// Take control of the worker, even from someone else.
    Hold,
    /// Give control of the worker back.
    Release,
}
