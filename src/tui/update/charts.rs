//! Changes of what the charts show.

use super::loading::load_calibration;
use crate::tui::chart::Window;
use crate::tui::message::Effect;
use crate::tui::state::{App, Notice};

/// Shows the next quantity; calibrated settings are read when they are first shown.
pub fn next_quantity(app: &mut App) -> Vec<Effect> {
    let charts = &mut app.charts;
    let before = charts.quantity;
    charts.quantity = before.next();
    if before.is_calibrated() != charts.quantity.is_calibrated() {
        // One is over t, the other over training steps.
        charts.crosshair = None;
        charts.window = Window::default();
    }
    let words = format!("chart: {}", charts.quantity.name());
    app.notify(Notice::info(words));
    load_calibration(app)
}

/// Draws attention entropy as a map, or as curves again.
pub fn toggle_entropy_map(app: &mut App) {
    app.charts.entropy_map = !app.charts.entropy_map;
    let has_attention = app.open_run.as_ref().is_none_or(|run| !run.attention.is_empty());
    app.notify(Notice::info(match (app.charts.entropy_map, has_attention) {
        (true, true) => "attention entropy as a map over steps and t",
        (true, false) => "entropy map is on; this run has no attention",
        (false, _) => "attention entropy as curves",
    }));
}

/// Draws curves with other characters.
pub fn next_dots(app: &mut App) {
    app.charts.dots = app.charts.dots.next();
    app.notify(Notice::info(format!("charts of {}", app.charts.dots.name())));
}
