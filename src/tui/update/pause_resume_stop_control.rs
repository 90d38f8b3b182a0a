//! Commands to the open run's worker: pause, resume, stop, control.

use crate::runs::control_holder::Steering;
use crate::runs::control_messages::Command;
use crate::tui::key_table::Action;
use crate::tui::messages_and_effects::{Effect, RunEffect};
use crate::tui::state::{App, Notice, Popup};

/// The warning when an action needs a run and none is open.
pub const NO_OPEN_RUN: &str = "there is no run on screen; n launches one";

/// Shows a warning, without any effect.
pub fn warn(app: &mut App, words: &str) -> Vec<Effect> {
    app.notify(Notice::warning(words));
    Vec::new()
}

/// The effect on the open run, or a warning that no run is open.
pub fn on_open_run(app: &mut App, effect: RunEffect) -> Vec<Effect> {
    let Some(run) = app.open_summary() else { return warn(app, NO_OPEN_RUN) };
    vec![Effect::OnRun(run.id.clone(), effect)]
}

/// Pauses the run, or lets a paused or queued one continue.
pub fn pause_or_continue(app: &mut App) -> Vec<Effect> {
    let command = if app.is_waiting() { Command::Resume } else { Command::Pause };
    on_open_run(app, RunEffect::Send(command))
}

/// Starts a worker on a run that has none; a paused or queued run continues.
pub fn resume(app: &mut App) -> Vec<Effect> {
    if app.is_waiting() {
        return on_open_run(app, RunEffect::Send(Command::Resume));
    }
    if !app.is_available(Action::Resume) {
        return warn(app, "nothing to resume: the run has a worker or is finished");
    }
    on_open_run(app, RunEffect::Resume)
}

/// Takes control of the run's worker, or gives it back.
pub fn take_or_give_back(app: &mut App) -> Vec<Effect> {
    let is_mine = app.open_summary().is_some_and(|run| run.steering == Steering::Mine);
    on_open_run(app, if is_mine { RunEffect::Release } else { RunEffect::Hold })
}

/// Asks whether the open run is to be stopped.
pub fn confirm_stop(app: &mut App) {
    if let Some(run) = app.open_summary().map(|run| run.id.clone()) {
        app.popup = Some(Popup::ConfirmStop { run });
    }
}
