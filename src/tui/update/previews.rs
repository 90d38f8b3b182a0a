//! Previews: made on demand, and stepped through.
//!
//! A live worker is sent a command; for a run without one, a process of its own makes the preview.

use super::open_run_or_warning::on_open_run;
use super::preview_and_export_requests::load_preview;
use crate::config::Experiment;
use crate::evaluation::preview_request::PreviewRequest;
use crate::runs::alive_silent_or_lost::Health;
use crate::runs::control_messages::Command;
use crate::runs::preview_files::Preview;
use crate::tui::messages_and_effects::{Effect, RunEffect};
use crate::tui::state::{App, Notice, ScoredPreview};

/// Makes a preview of the run's own seeds.
pub fn make_preview(app: &mut App) -> Vec<Effect> {
    if app.open_summary().is_none_or(|run| run.health == Health::Alive) {
        return on_open_run(app, RunEffect::Send(Command::Sample { seeds: None, steps: None }));
    }
    let Some(open) = &app.open_run else { return Vec::new() };
    let Some(experiment) = &open.experiment else { return Vec::new() };
    make_without_worker(app, open.id.clone(), PreviewRequest::of(experiment))
}

/// Makes a preview of chosen seeds of a run.
pub fn make_chosen_preview(app: &mut App, run: &str, request: PreviewRequest) -> Vec<Effect> {
    match app.runs.find(run).map(|run| run.health) {
        Some(Health::Alive) => {
            vec![Effect::OnRun(run.to_owned(), RunEffect::Send(request.command()))]
        }
        _ => make_without_worker(app, run.to_owned(), request),
    }
}

fn make_without_worker(app: &mut App, run: String, request: PreviewRequest) -> Vec<Effect> {
    if !app.pending.previews.insert(run.clone()) {
        let words = format!("{run}: a preview is already being made");
        app.notify(Notice::warning(words).about(run));
        return Vec::new();
    }
    app.notify(Notice::info("making a preview of the newest checkpoint"));
    vec![Effect::OnRun(run, RunEffect::MakePreview(request))]
}

/// A process has made a preview, or failed to.
pub fn on_preview_made(app: &mut App, run: &str, made: Result<(), String>) -> Vec<Effect> {
    app.pending.previews.remove(run);
    app.notify(match made {
        Ok(()) => Notice::info(format!("{run}: preview made")).about_command(run),
        Err(problem) => Notice::error(problem).about(run),
    });
    if let Some(open) = app.open_run_mut(run) {
        // It may have replaced the one on screen.
        open.requested_step = None;
        // It is what was asked for; the samples of the report are one step newer.
        open.pinned_step = open.preview_steps.last().copied().filter(|_| open.results.is_some());
    }
    load_preview(app)
}

/// Shows a preview that was read.
pub fn show_preview(app: &mut App, run: &str, preview: Preview) {
    let Some(open) = app.open_run_mut(run) else { return };
    let last = preview.seeds.len().saturating_sub(1);
    open.preview = Some(ScoredPreview::new(preview));
    app.cursors.first_seed = app.cursors.first_seed.min(last);
}

/// Seeds and sampling steps of the preview on screen, as a user would type them.
pub fn typed_request(app: &App) -> Vec<String> {
    let open = app.open_run.as_ref();
    let own = open.and_then(|run| run.experiment.as_ref()).map(PreviewRequest::of);
    let shown = open.and_then(|run| run.shown_samples()).and_then(|scored| {
        let preview = &scored.preview;
        let seeds = preview.first_seed..preview.first_seed + preview.seeds.len() as u64;
        PreviewRequest::new(seeds, preview.sampling_steps).ok()
    });
    let default = || PreviewRequest::of(&Experiment::default());
    let PreviewRequest { seeds, steps } = shown.or(own).unwrap_or_else(default);
    vec![seeds.to_string(), steps.to_string()]
}

/// Shows an older or newer preview, and stays with it.
pub fn step_preview(app: &mut App, by: isize) -> Vec<Effect> {
    let Some(open) = &mut app.open_run else { return Vec::new() };
    let Some(shown) = open.step_to_show() else { return Vec::new() };
    let steps = &open.preview_steps;
    // The samples of the report come after the newest preview.
    let now = match open.shows_results() {
        true => steps.len(),
        false => steps.partition_point(|step| *step < shown),
    };
    let next = now.saturating_add_signed(by);
    open.pinned_step = match (steps.get(next), &open.results) {
        (Some(step), _) => Some(*step),
        (None, Some(_)) => None,
        (None, None) => steps.last().copied(),
    };
    let last = open.shown_samples().map_or(0, |shown| shown.preview.seeds.len().saturating_sub(1));
    app.cursors.first_seed = app.cursors.first_seed.min(last);
    load_preview(app)
}

/// Shows the newest preview from now on.
pub fn follow_newest(app: &mut App) -> Vec<Effect> {
    if let Some(open) = &mut app.open_run {
        open.pinned_step = None;
    }
    load_preview(app)
}
