//! Requests for what the screen shows and the state does not have yet, and for an export of what it shows.

use super::open_run_or_warning::warn;
use crate::tui::export::exported_tables_and_curves::collect;
use crate::tui::messages_and_effects::{Effect, RunEffect};
use crate::tui::state::App;

/// Requests the preview that should be on screen, once.
pub fn load_preview(app: &mut App) -> Vec<Effect> {
    let Some(open) = &mut app.open_run else { return Vec::new() };
    match open.step_to_show() {
        Some(step) if open.requested_step != Some(step) => {
            open.requested_step = Some(step);
            vec![Effect::OnRun(open.id.clone(), RunEffect::LoadPreview(step))]
        }
        _ => Vec::new(),
    }
}

/// Requests the calibrated settings of the open run, if a chart shows them.
pub fn load_calibration(app: &App) -> Vec<Effect> {
    let shown = app.open_run.iter().filter(|_| app.charts.quantity.is_calibrated());
    shown.map(|open| Effect::OnRun(open.id.clone(), RunEffect::LoadCalibration)).collect()
}

/// Exports the tab or the inspector on screen, or warns that it is empty.
pub fn export(app: &mut App) -> Vec<Effect> {
    match collect(app) {
        Some(export) => vec![Effect::Export(Box::new(export))],
        None => warn(app, "there is nothing here yet to export"),
    }
}
