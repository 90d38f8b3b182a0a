//! Cursors and scroll positions, moved by arrow keys and the wheel.

use super::open_and_mark_runs::step_run;
use crate::tui::messages_and_effects::Effect;
use crate::tui::state::{App, Pane};

/// Entries that a page key moves by.
pub const PAGE: isize = 10;
/// Columns that tables of the report move by, and the most that they move in all.
const COLUMNS: isize = 16;
const COLUMNS_MAX: usize = 400;

/// Up and down: moves through what the focused pane lists.
pub fn step_focused(app: &mut App, by: isize) -> Vec<Effect> {
    let pane = app.screen.focused_pane();
    step(app, pane, by)
}

/// Moves through the runs, seeds, settings, news or log lines of a pane.
pub fn step(app: &mut App, pane: Pane, by: isize) -> Vec<Effect> {
    match pane {
        Pane::Samples => step_seed(app, by),
        Pane::Settings => step_setting(app, by),
        Pane::Results => step_line(app, by),
        Pane::News | Pane::Log => scroll_back(app, pane, -by),
        Pane::Runs | Pane::Charts | Pane::Header => return step_run(app, by),
    }
    Vec::new()
}

/// Left and right: moves the window of the charts, or the columns of the samples.
pub fn step_sideways(app: &mut App, right: bool) {
    match (app.screen.focused_pane(), right) {
        (Pane::Charts, false) => app.charts.window = app.charts.window.earlier(),
        (Pane::Charts, true) => app.charts.window = app.charts.window.later(),
        (Pane::Results, right) => {
            let by = if right { COLUMNS } else { -COLUMNS };
            let column = &mut app.cursors.report[1];
            *column = column.saturating_add_signed(by).min(COLUMNS_MAX);
        }
        (_, false) => app.cursors.first_column = app.cursors.first_column.saturating_sub(1),
        (_, true) => {
            app.cursors.first_column = (app.cursors.first_column + 1).min(last_column(app))
        }
    }
}

/// Index of the last column after the network's: machines come first, then their differences from the network.
fn last_column(app: &App) -> usize {
    let scored = app.open_run.as_ref().and_then(|run| run.shown_samples());
    scored.map_or(0, |scored| (2 * scored.preview.machines.len()).saturating_sub(1))
}

fn step_line(app: &mut App, by: isize) {
    let report = app.open_run.as_ref().and_then(|run| run.written_report());
    let last = report.map_or(0, |report| report.text.lines().count()).saturating_sub(1);
    let line = &mut app.cursors.report[0];
    *line = line.saturating_add_signed(by).min(last);
}

fn step_seed(app: &mut App, by: isize) {
    let scored = app.open_run.as_ref().and_then(|run| run.shown_samples());
    let last = scored.map_or(0, |scored| scored.preview.seeds.len().saturating_sub(1));
    app.cursors.first_seed = app.cursors.first_seed.saturating_add_signed(by).min(last);
}

fn step_setting(app: &mut App, by: isize) {
    let last = app.listed_settings().len().saturating_sub(1);
    app.cursors.setting = app.cursors.setting.min(last).saturating_add_signed(by).min(last);
}

fn scroll_back(app: &mut App, pane: Pane, by: isize) {
    let open = app.open_run.as_ref();
    let (position, n) = match pane {
        Pane::News => (&mut app.cursors.news_back, open.map_or(0, |run| run.news.len())),
        _ => (&mut app.cursors.log_back, open.map_or(0, |run| run.n_log_lines())),
    };
    *position = position.saturating_add_signed(by).min(n.saturating_sub(1));
}
