//! Handles every message: the entry of `update`.

use super::loading::{load_calibration, load_preview};
use super::{edit_form, inspector, keys, mouse, popups, runs, samples};
use crate::config::Experiment;
use crate::evaluation::calibration::Calibration;
use crate::runs::event::{Event, EventBody};
use crate::tui::message::{Effect, Message};
use crate::tui::state::{App, Notice};

/// Changes the state according to a message, and returns what must be done in the world.
pub fn update(app: &mut App, message: Message) -> Vec<Effect> {
    match message {
        Message::Key(key) => return keys::on_key(app, key),
        Message::Mouse(event) => return mouse::on_mouse(app, event),
        Message::Pasted(text) => popups::paste(app, &text),
        // A terminal that had another size for a moment has lost its content, even if its size is that of the last frame.
        Message::Resized => return vec![Effect::Redraw],
        Message::Suspend { group } => return vec![Effect::Suspend { group }],
        Message::Continued => return vec![Effect::ComeBack],
        Message::Ended(signal) => return vec![Effect::End(signal)],
        Message::Notice(notice) => app.notify(notice),
        Message::System(reading) => app.add_reading(*reading),
        Message::Runs(found) => return runs::on_runs(app, found),
        Message::Launched(Ok(run)) => return runs::on_launched(app, run),
        Message::Launched(Err(problem)) => edit_form::on_launch_failed(app, problem),
        Message::Renamed { from, renamed: Ok(to) } => return runs::on_renamed(app, &from, to),
        Message::Renamed { from, renamed: Err(problem) } => {
            app.notify(Notice::error(problem).about(from));
        }
        Message::Events { run, events } => return on_events(app, &run, &events),
        Message::Experiment { run, experiment } => on_experiment(app, &run, experiment),
        Message::Calibration { run, calibration } => on_calibration(app, &run, calibration),
        Message::Log { run, log } => {
            if let Some(open) = app.open_run_mut(&run) {
                open.log = Some(log);
            }
        }
        Message::PreviewSteps { run, steps } => {
            if let Some(open) = app.open_run_mut(&run) {
                open.preview_steps = steps;
            }
            return load_preview(app);
        }
        Message::Preview { run, preview: Ok(preview) } => {
            samples::show_preview(app, &run, *preview);
        }
        Message::Preview { run, preview: Err(problem) } => {
            app.notify(Notice::warning(problem).about(run));
        }
        Message::PreviewMade { run, made } => return samples::on_preview_made(app, &run, made),
        Message::Trace { run, seed, trace } => inspector::show_trace(app, run, seed, trace),
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

fn on_experiment(app: &mut App, run: &str, experiment: Result<Box<Experiment>, String>) {
    match experiment {
        Ok(experiment) => {
            app.runs_mut(run).for_each(|open| open.experiment = Some((*experiment).clone()));
        }
        Err(problem) => app.notify(Notice::error(problem).about(run)),
    }
}

fn on_calibration(app: &mut App, run: &str, found: Result<Option<Box<Calibration>>, String>) {
    match found {
        Ok(Some(calibration)) => {
            if let Some(open) = app.open_run_mut(run) {
                open.curves.calibrate(&calibration);
            }
        }
        Ok(None) => {}
        Err(problem) => app.notify(Notice::error(problem).about(run)),
    }
}
