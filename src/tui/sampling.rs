//! Previews on demand: of the run's own seeds, or of chosen ones in chosen sampling steps.
//!
//! A live worker is asked; for a run without one a process of its own does the work.

use super::app::App;
use super::message::Effect;
use super::update::on_run;
use crate::evaluation::preview_request::PreviewRequest;
use crate::runs::command::Command;
use crate::runs::event::NoticeLevel;
use crate::runs::liveness::Health;

/// Asks for a preview of the run's own seeds.
pub(super) fn sample(app: &mut App) -> Vec<Effect> {
    match app.run().map(|run| run.health) {
        Some(Health::Alive) | None => on_run(app, |run| Effect::Send {
            run: run.id.clone(),
            command: Command::Sample { seeds: None, steps: None },
        }),
        Some(_) => {
            let Some(watched) = &app.watched else { return Vec::new() };
            match watched.experiment.as_ref().map(PreviewRequest::of) {
                Some(request) => make(app, watched.id.clone(), request),
                None => Vec::new(),
            }
        }
    }
}

/// Seeds and sampling steps of what is on screen, as a person would type them.
pub(super) fn shown(app: &App) -> Vec<String> {
    let watched = app.watched.as_ref();
    let own = watched.and_then(|watched| watched.experiment.as_ref()).map(PreviewRequest::of);
    let shown = watched.and_then(|watched| watched.preview.as_ref()).and_then(|shown| {
        let preview = &shown.preview;
        let seeds = preview.first_seed..preview.first_seed + preview.seeds.len() as u64;
        PreviewRequest::new(seeds, preview.sampling_steps).ok()
    });
    let PreviewRequest { seeds, steps } =
        shown.or(own).unwrap_or(PreviewRequest { seeds: 0..4, steps: 20 });
    vec![format!("{}..{}", seeds.start, seeds.end), steps.to_string()]
}

/// Asks for a preview of chosen seeds of a run.
pub(super) fn ask(app: &mut App, run: &str, request: PreviewRequest) -> Vec<Effect> {
    let health = app.runs.iter().find(|other| other.id == run).map(|run| run.health);
    match health {
        Some(Health::Alive) => {
            vec![Effect::Send { run: run.to_owned(), command: request.command() }]
        }
        _ => make(app, run.to_owned(), request),
    }
}

fn make(app: &mut App, run: String, request: PreviewRequest) -> Vec<Effect> {
    if !app.making.insert(run.clone()) {
        app.say(NoticeLevel::Warning, format!("{run}: a preview is being made already"));
        return Vec::new();
    }
    app.say(NoticeLevel::Info, "making a preview of the newest checkpoint");
    vec![Effect::Preview { run, request }]
}
