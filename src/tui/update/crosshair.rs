//! The crosshair of the charts: placed, moved from point to point of the first curve, and removed.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::tui::state::{App, Crosshair, Notice};
use crate::tui::tabs::Tab;

/// Steps of the crosshair that cross the window; a fast step is as long as ten of them.
const STEPS_ACROSS: usize = 200;
const FAST: usize = 10;

/// Places the crosshair on the newest point; then marks the place that differences are computed from; then removes both.
pub fn cycle(app: &mut App) {
    let Some(newest) = moved(app, f64::INFINITY, true, false) else {
        app.notify(Notice::warning("no curve yet for a crosshair"));
        return;
    };
    app.screen.tab = Tab::Charts;
    let (crosshair, words) = match app.charts.crosshair {
        None => (
            Some(Crosshair { x: newest, anchor: None }),
            "crosshair: Left and Right move it, Shift faster; c measures from here; Esc closes it",
        ),
        Some(Crosshair { x, anchor: None }) => {
            (Some(Crosshair { x, anchor: Some(x) }), "measuring from here; c closes the crosshair")
        }
        Some(_) => (None, "no crosshair"),
    };
    app.charts.crosshair = crosshair;
    app.notify(Notice::info(words));
}

/// Handles a key while the crosshair is on screen. Returns false for a key that does not move or remove it.
pub fn on_key(app: &mut App, key: KeyEvent) -> bool {
    let on_screen = app.charts.crosshair.filter(|_| app.screen.tab == Tab::Charts);
    let Some(crosshair) = on_screen else { return false };
    let shift = key.modifiers == KeyModifiers::SHIFT;
    if !shift && !key.modifiers.is_empty() {
        return false;
    }
    let (right, fast) = match key.code {
        KeyCode::Left | KeyCode::Char('h') => (false, shift),
        KeyCode::Right | KeyCode::Char('l') => (true, shift),
        KeyCode::Char('H') => (false, true),
        KeyCode::Char('L') => (true, true),
        KeyCode::Esc => {
            app.charts.crosshair = None;
            return true;
        }
        _ => return false,
    };
    if let Some(x) = moved(app, crosshair.x, right, fast) {
        app.charts.crosshair = Some(Crosshair { x, ..crosshair });
    }
    true
}

/// The x of another point of the first curve, within the window.
fn moved(app: &App, x: f64, right: bool, fast: bool) -> Option<f64> {
    let curves = app.chart_curves();
    let [start, end] = app.visible_range(&curves);
    let points: &[(f64, f64)] = curves.first()?.series;
    let first = points.partition_point(|point| point.0 < start);
    let last = points.partition_point(|point| point.0 <= end).checked_sub(1)?;
    let now = points.partition_point(|point| point.0 <= x).saturating_sub(1);
    let stride = ((last + 1).saturating_sub(first) / STEPS_ACROSS).max(1);
    let stride = if fast { FAST * stride } else { stride };
    let next = if right { now + stride } else { now.saturating_sub(stride) };
    Some(points[next.clamp(first.min(last), last)].0)
}
