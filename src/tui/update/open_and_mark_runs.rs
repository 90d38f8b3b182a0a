//! Which run is open, which runs are marked, and what happens when the list of runs changes.

use std::collections::HashSet;

use super::preview_and_export_requests::load_calibration;
use crate::runs::alive_silent_or_lost::Health;
use crate::runs::runs_dir::RunSummary;
use crate::tui::messages_and_effects::{Effect, RunEffect};
use crate::tui::notifications;
use crate::tui::state::app::Cursors;
use crate::tui::state::{App, Notice, OpenRun};

/// Takes over a new list of runs.
pub fn on_runs(app: &mut App, runs: Vec<RunSummary>) -> Vec<Effect> {
    let ended = notifications::ended_runs(&app.runs.all, &runs);
    if let Some(warning) = notifications::lost_control(&app.runs.all, &runs) {
        app.notify(warning);
    }
    let open = app.open_run.as_ref().map(|run| run.id.clone()).unwrap_or_default();
    let before = app.runs.find(&open).map(RunSummary::listed_state);
    app.runs.all = runs;
    let now = app.runs.find(&open).map(RunSummary::listed_state);
    if before.is_some() && now.is_some() && before != now {
        // The command has had its effect.
        app.notice.take_if(|notice| notice.acknowledges_command_to(&open));
    }
    let mut effects: Vec<Effect> = ended.map(Effect::Ring).into_iter().collect();
    // A marked run that is gone could not be unmarked any more.
    let listed: HashSet<String> = app.runs.all.iter().map(|run| run.id.clone()).collect();
    effects.extend(unmark(app, |run| !listed.contains(&run.id)));
    effects.extend(replace_missing_run(app));
    effects
}

/// Opens another run if the open one is gone, or the first run that appears.
fn replace_missing_run(app: &mut App) -> Vec<Effect> {
    if app.open_summary().is_some() {
        return Vec::new();
    }
    // A run that was just launched may not be listed yet; one whose settings were read may have been deleted.
    if app.open_run.as_ref().is_some_and(|run| run.experiment.is_none()) {
        return Vec::new();
    }
    let gone = app.open_run.take().map(|run| run.id);
    let live = app.runs.all.iter().find(|run| run.health == Health::Alive);
    let Some(next) = live.or(app.runs.all.first()).map(|run| run.id.clone()) else {
        app.inspector = None;
        app.cursors = Cursors::default();
        return Vec::new();
    };
    let notice = app.notice.take();
    let effects = open_run(app, next);
    app.notice = match gone {
        None => notice,
        // It may be explained already, for instance by a notice that the run was deleted.
        Some(gone) => notice.filter(|notice| notice.run() == Some(&gone)).or_else(|| {
            let words = format!("{gone} no longer exists; showing another run");
            Some(Notice::warning(words).about(gone))
        }),
    };
    effects
}

/// Opens a run, from the newest samples and the end of its log.
pub fn open_run(app: &mut App, id: String) -> Vec<Effect> {
    app.open_run = Some(OpenRun::new(id.clone()));
    app.inspector = None;
    // It was about another run.
    app.notice = None;
    app.cursors = Cursors { setting: app.cursors.setting, ..Cursors::default() };
    let mut effects = vec![Effect::OnRun(id, RunEffect::Open)];
    effects.extend(load_calibration(app));
    effects
}

/// Opens the first listed run if the open run does not pass the filter.
pub fn open_listed_run(app: &mut App) -> Vec<Effect> {
    let first = app.runs.listed().first().map(|run| run.id.clone());
    match first {
        Some(id) if app.open_index().is_none() => open_run(app, id),
        _ => Vec::new(),
    }
}

/// Opens a run further down the list, or further up.
pub fn step_run(app: &mut App, by: isize) -> Vec<Effect> {
    let listed = app.runs.listed();
    let Some(last) = listed.len().checked_sub(1) else { return Vec::new() };
    let now = app.open_index();
    let next = now.map_or(0, |now| now.saturating_add_signed(by)).min(last);
    if now == Some(next) {
        return Vec::new();
    }
    let id = listed[next].id.clone();
    open_run(app, id)
}

/// Marks the open run, or removes its mark.
pub fn toggle_mark(app: &mut App) -> Vec<Effect> {
    let Some(open) = &app.open_run else { return Vec::new() };
    match app.marked.iter().position(|run| run.id == open.id) {
        Some(index) => drop(app.marked.remove(index)),
        None => app.marked.push(open.for_comparison()),
    }
    let words = match app.marked.len() {
        0 => "no run is marked".to_owned(),
        n => format!(
            "{n} marked: their curves are drawn together; 4 shows where their settings differ"
        ),
    };
    app.notify(Notice::info(words));
    vec![follow_marked(app)]
}

/// Removes the marks of these runs; returns an effect if there were any.
fn unmark(app: &mut App, is_gone: impl Fn(&OpenRun) -> bool) -> Vec<Effect> {
    let before = app.marked.len();
    app.marked.retain(|run| !is_gone(run));
    if app.marked.len() == before { Vec::new() } else { vec![follow_marked(app)] }
}

fn follow_marked(app: &App) -> Effect {
    Effect::FollowMarked(app.marked.iter().map(|run| run.id.clone()).collect())
}

/// A run was launched: it is opened.
pub fn on_launched(app: &mut App, id: String) -> Vec<Effect> {
    app.pending.launch = None;
    let effects = open_run(app, id.clone());
    app.notify(Notice::info(format!("launched {id}; it continues after q")).about(id));
    effects
}

/// A run has another name: it loses its mark, and is opened again if it was open.
pub fn on_renamed(app: &mut App, from: &str, to: String) -> Vec<Effect> {
    let mut effects = unmark(app, |run| run.id == from);
    if app.open_run_mut(from).is_some() {
        effects.extend(open_run(app, to.clone()));
    }
    app.notify(Notice::info(format!("{from} is now {to}")).about(to));
    effects
}
