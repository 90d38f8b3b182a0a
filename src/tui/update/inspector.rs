//! Opens the inspector of a noise seed, shows its trace and moves through it.

use std::sync::Arc;

use super::open_run_or_warning::{NO_OPEN_RUN, warn};
use super::preview_and_export_requests::export;
use crate::evaluation::inspect::Trace;
use crate::tui::key_table::InspectorAction;
use crate::tui::messages_and_effects::{Effect, RunEffect};
use crate::tui::state::{App, Inspector, Notice};

/// Opens the inspector on the first seed on screen, and requests its trace.
pub fn open(app: &mut App) -> Vec<Effect> {
    let Some(open) = &app.open_run else { return warn(app, NO_OPEN_RUN) };
    let run = open.id.clone();
    let first_seed = open.shown_samples().map_or(0, |scored| scored.preview.first_seed);
    let seed = first_seed + app.cursors.first_seed as u64;
    app.inspector = Some(Inspector::new(run.clone(), seed));
    if !app.pending.traces.insert((run.clone(), seed)) {
        // Closed and opened again: the trace is still being computed.
        return Vec::new();
    }
    let may_compute = !app.read_only;
    vec![Effect::OnRun(run, RunEffect::Trace { seed, may_compute })]
}

/// Shows a trace that has arrived, or closes the inspector if there is none.
pub fn show_trace(app: &mut App, run: String, seed: u64, trace: Result<Arc<Trace>, String>) {
    let is_shown = |inspector: &&mut Inspector| inspector.run == run && inspector.seed == seed;
    let inspector = app.inspector.as_mut().filter(is_shown);
    match (inspector, trace) {
        (None, _) => {}
        (Some(inspector), Ok(trace)) => inspector.show(trace),
        (Some(_), Err(problem)) => {
            app.inspector = None;
            app.notify(Notice::error(problem).about(&run));
        }
    }
    app.pending.traces.remove(&(run, seed));
}

/// Performs an action of the inspector, if it is open and its trace has arrived.
pub fn perform(app: &mut App, action: InspectorAction) -> Vec<Effect> {
    let Some(inspector) = app.inspector.as_mut() else { return Vec::new() };
    if action == InspectorAction::Close {
        app.inspector = None;
        return Vec::new();
    }
    let Some(trace) = &inspector.trace else { return Vec::new() };
    let (height, width) = (trace.shape.height, trace.shape.width);
    let (row, column) = &mut inspector.at.pixel;
    match action {
        InspectorAction::Up => *row = row.checked_sub(1).unwrap_or(height - 1),
        InspectorAction::Down => *row = (*row + 1) % height,
        InspectorAction::Left => *column = column.checked_sub(1).unwrap_or(width - 1),
        InspectorAction::Right => *column = (*column + 1) % width,
        InspectorAction::Noisier => {
            inspector.at.index = (inspector.at.index + 1).min(trace.n_steps() - 1);
        }
        InspectorAction::Cleaner => inspector.at.index = inspector.at.index.saturating_sub(1),
        InspectorAction::NextViews => {
            let n_views = trace.actors.iter().map(|actor| trace.views(actor).len()).max();
            inspector.first_view = (inspector.first_view + 2) % n_views.unwrap_or(1).max(1);
        }
        InspectorAction::NextActor => {
            let last = trace.actors.len().saturating_sub(1);
            inspector.first_actor = (inspector.first_actor + 1).min(last);
        }
        InspectorAction::PreviousActor => {
            inspector.first_actor = inspector.first_actor.saturating_sub(1);
        }
        InspectorAction::Export => return export(app),
        InspectorAction::Close => {}
    }
    Vec::new()
}
