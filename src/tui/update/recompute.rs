//! Comparing and calibrating the open run again, by a process of its own.

use super::open_run_or_warning::warn;
use crate::tui::key_table::Action;
use crate::tui::messages_and_effects::{Effect, Recomputation, RunEffect};
use crate::tui::state::{App, Notice};

/// Starts it for the open run, which must not have a worker.
pub fn start(app: &mut App, what: Recomputation) -> Vec<Effect> {
    let Some(run) = app.open_run.as_ref().map(|run| run.id.clone()) else { return Vec::new() };
    if !app.is_available(Action::Compare) {
        return warn(
            app,
            "only a run that has trained and has no worker can be compared; p pauses, x stops",
        );
    }
    if !app.pending.recomputed.insert(run.clone()) {
        return warn(app, "this run is already being compared or calibrated");
    }
    let word: &str = what.into();
    let notice = format!("mosaic {word} {run} has started; it may take minutes");
    app.notify(Notice::info(notice).about(run.clone()));
    vec![Effect::OnRun(run, RunEffect::Recompute(what))]
}

/// It has ended: a new report is read by the watcher, a new calibration is read here.
pub fn on_done(
    app: &mut App,
    run: &str,
    what: Recomputation,
    done: Result<(), String>,
) -> Vec<Effect> {
    app.pending.recomputed.remove(run);
    let words = match what {
        Recomputation::Compare => "compared again; 7 shows the report",
        Recomputation::Calibrate => "calibrated again; C compares with the new settings",
    };
    let is_done = done.is_ok();
    app.notify(match done {
        Ok(()) => Notice::info(format!("{run}: {words}")).about_command(run),
        Err(problem) => Notice::error(problem).about(run),
    });
    let is_open = app.open_run.as_ref().is_some_and(|open| open.id == run);
    match is_done && is_open && what == Recomputation::Calibrate {
        true => vec![Effect::OnRun(run.to_owned(), RunEffect::LoadCalibration)],
        false => Vec::new(),
    }
}
