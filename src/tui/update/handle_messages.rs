//! Handles every message: the entry of `update`.

use super::preview_and_export_requests::{load_calibration, load_preview};
use super::{
    edit_form, inspector, key_presses, launch_form, mouse, open_and_mark_runs, popup_keys,
    previews, recompute,
};
use crate::runs::event::{Event, EventBody};
use crate::tui::messages_and_effects::{Effect, Message, RunMessage};
use crate::tui::state::{App, Notice};

/// Changes the state according to a message, and returns what must be done in the world.
pub fn update(app: &mut App, message: Message) -> Vec<Effect> {
    match message {
        Message::Key(key) => return key_presses::on_key(app, key),
        Message::Mouse(event) => return mouse::on_mouse(app, event),
        Message::Pasted(text) => popup_keys::paste(app, &text),
        // A terminal that had another size for a moment has lost its content, even if its size is that of the last frame.
        Message::Resized => return vec![Effect::Redraw],
        Message::Suspend { group } => return vec![Effect::Suspend { group }],
        Message::Continued => return vec![Effect::ComeBack],
        Message::Ended(signal) => return vec![Effect::End(signal)],
        Message::Notice(notice) => app.notify(notice),
        Message::System(reading) => app.add_reading(*reading),
        Message::Runs(found) => return open_and_mark_runs::on_runs(app, found),
        Message::Launched(Ok(run)) => return open_and_mark_runs::on_launched(app, run),
        Message::Launched(Err(problem)) => edit_form::on_launch_failed(app, problem),
        Message::Enqueued(Ok(done)) => return launch_form::on_enqueued(app, done),
        Message::Enqueued(Err(problem)) => app.notify(Notice::error(problem)),
        Message::OfRun(run, message) => return on_run_message(app, run, message),
    }
    Vec::new()
}

fn on_run_message(app: &mut App, run: String, message: RunMessage) -> Vec<Effect> {
    match message {
        RunMessage::Events(events) => return on_events(app, &run, &events),
        RunMessage::Origin(origin) => {
            app.runs_mut(&run).for_each(|open| open.origin = origin.clone());
        }
        RunMessage::Experiment(Ok(experiment)) => {
            app.runs_mut(&run).for_each(|open| open.experiment = Some((*experiment).clone()));
        }
        RunMessage::Calibration(Ok(found)) => {
            if let (Some(open), Some(calibration)) = (app.open_run_mut(&run), found) {
                open.curves.calibrate(&calibration);
            }
        }
        RunMessage::Renamed(Ok(to)) => return open_and_mark_runs::on_renamed(app, &run, to),
        RunMessage::Experiment(Err(problem))
        | RunMessage::Calibration(Err(problem))
        | RunMessage::Renamed(Err(problem)) => app.notify(Notice::error(problem).about(run)),
        RunMessage::Log(log) => {
            if let Some(open) = app.open_run_mut(&run) {
                open.log = Some(log);
            }
        }
        RunMessage::PreviewSteps(steps) => {
            if let Some(open) = app.open_run_mut(&run) {
                open.preview_steps = steps;
            }
            return load_preview(app);
        }
        RunMessage::Preview(Ok(preview)) => previews::show_preview(app, &run, *preview),
        RunMessage::Report(report) => {
            if let Some(open) = app.open_run_mut(&run) {
                open.set_report(report.map(|found| found.map(|report| *report)));
            }
        }
        RunMessage::Preview(Err(problem)) => app.notify(Notice::warning(problem).about(run)),
        RunMessage::PreviewMade(made) => return previews::on_preview_made(app, &run, made),
        RunMessage::Recomputed(what, done) => return recompute::on_done(app, &run, what, done),
        RunMessage::Trace { seed, trace } => inspector::show_trace(app, run, seed, trace),
    }
    Vec::new()
}

fn on_events(app: &mut App, run: &str, events: &[Event]) -> Vec<Effect> {
    for open in app.runs_mut(run) {
        events.iter().for_each(|event| open.apply(event.clone()));
    }
    let mut effects = load_preview(app);
    // Machines are calibrated when training is over.
    if events.iter().any(|event| matches!(event.body, EventBody::State { .. })) {
        effects.extend(load_calibration(app));
    }
    effects
}
