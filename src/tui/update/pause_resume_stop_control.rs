//! Commands to the open run's worker: pause, resume, stop, control.

use super::open_run_or_warning::{on_open_run, warn};
use crate::runs::alive_silent_or_lost::Health;
use crate::runs::control_holder::Steering;
use crate::runs::control_messages::Command;
use crate::runs::listed_run_state::ListedState;
use crate::runs::runs_dir::RunSummary;
use crate::tui::key_table::Action;
use crate::tui::messages_and_effects::{Effect, RunEffect};
use crate::tui::state::{App, Popup};

/// Pauses the run, or lets a paused or queued one continue.
pub fn pause_or_continue(app: &mut App) -> Vec<Effect> {
    if app.is_waiting() {
        return go_on(app);
    }
    on_open_run(app, RunEffect::Send(Command::Pause))
}

/// Lets a paused or queued run continue. While another is at work, this is asked first: both would train at once.
fn go_on(app: &mut App) -> Vec<Effect> {
    let Some(open) = app.open_summary() else { return Vec::new() };
    let is_at_work = |run: &&RunSummary| {
        run.id != open.id
            && run.health == Health::Alive
            && matches!(run.listed_state(), ListedState::Training | ListedState::Comparing)
    };
    let others: Vec<String> =
        app.runs.all.iter().filter(is_at_work).map(|run| run.id.clone()).collect();
    if others.is_empty() {
        return on_open_run(app, RunEffect::Send(Command::Resume));
    }
    app.popup = Some(Popup::ConfirmResume { run: open.id.clone(), others });
    Vec::new()
}

/// Starts a worker on a run that has none; a paused or queued run continues.
pub fn resume(app: &mut App) -> Vec<Effect> {
    if app.is_waiting() {
        return go_on(app);
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
