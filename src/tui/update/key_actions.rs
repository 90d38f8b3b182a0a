//! Performs the actions of the key table.

use super::cursors_and_scrolling::PAGE;
use super::preview_and_export_requests::{export, load_calibration};
use super::{
    crosshair, cursors_and_scrolling, edit_form, inspector, open_and_mark_runs,
    pause_resume_stop_control, previews, read_only_and_refused_actions, recompute,
    sample_note_rename_kill_delete_forms,
};
use crate::tui::chart_arithmetic::Window;
use crate::tui::key_table::Action;
use crate::tui::messages_and_effects::{Effect, Recomputation};
use crate::tui::state::{App, LaunchForm, Notice, Pane, Popup, Purpose};
use crate::tui::tabs::Tab;
use crate::tui::text_field::TextField;

/// Performs an action, or says why it is refused.
pub fn perform(app: &mut App, action: Action) -> Vec<Effect> {
    if let Some(warning) = read_only_and_refused_actions::refusal(app, action) {
        app.notify(warning);
        return Vec::new();
    }
    match action {
        Action::Help => app.popup = Some(Popup::Help { first: 0 }),
        Action::Glossary => app.popup = Some(Popup::Glossary { first: 0 }),
        Action::Palette => {
            app.popup = Some(Popup::Palette { typed: TextField::default(), cursor: 0 });
        }
        Action::Filter => app.popup = Some(Popup::Filter),
        Action::Launch => app.popup = Some(Popup::Launch(LaunchForm::default())),
        Action::Edit => edit_form::open(app),
        Action::SampleChosen => sample_note_rename_kill_delete_forms::open(app, Purpose::Sample),
        Action::Describe => sample_note_rename_kill_delete_forms::open(app, Purpose::Describe),
        Action::Rename => sample_note_rename_kill_delete_forms::open(app, Purpose::Rename),
        Action::Delete => sample_note_rename_kill_delete_forms::open(app, Purpose::Delete),
        Action::Kill => sample_note_rename_kill_delete_forms::open(app, Purpose::Kill),
        Action::Stop => pause_resume_stop_control::confirm_stop(app),
        Action::NextTab if app.screen.cycle_focus(false) => {}
        Action::NextTab => app.screen.tab = app.screen.tab.next(),
        Action::PreviousTab if app.screen.cycle_focus(true) => {}
        Action::PreviousTab => app.screen.tab = app.screen.tab.previous(),
        Action::Tab(tab) => show_tab(app, tab),
        Action::Log => show_log(app),
        Action::Expand if app.screen.toggle_expanded() => {}
        Action::Expand => {
            app.notify(Notice::info("this tab shows one panel already; 1 shows the overview"));
        }
        Action::Up => return cursors_and_scrolling::step_focused(app, -1),
        Action::Down => return cursors_and_scrolling::step_focused(app, 1),
        Action::PageUp => return cursors_and_scrolling::step_focused(app, -PAGE),
        Action::PageDown => return cursors_and_scrolling::step_focused(app, PAGE),
        Action::Left => cursors_and_scrolling::step_sideways(app, false),
        Action::Right => cursors_and_scrolling::step_sideways(app, true),
        Action::Order => next_order(app),
        Action::Mark => return open_and_mark_runs::toggle_mark(app),
        Action::Quantity => return next_quantity(app),
        Action::AsMap => toggle_entropy_map(app),
        Action::Crosshair => crosshair::cycle(app),
        Action::Dots => next_dots(app),
        Action::ZoomIn => app.charts.window = app.charts.window.closer(),
        Action::ZoomOut => app.charts.window = app.charts.window.wider(),
        Action::ZoomAll => app.charts.window = Window::default(),
        Action::LogScale => app.charts.linear_scale = !app.charts.linear_scale,
        Action::Smoothing => app.charts.cycle_smoothing(),
        Action::Mouse => toggle_mouse(app),
        Action::Images => next_protocol(app),
        Action::Older => return previews::step_preview(app, -1),
        Action::Newer => return previews::step_preview(app, 1),
        Action::Follow => return previews::follow_newest(app),
        Action::Sample => return previews::make_preview(app),
        Action::Look => return inspector::open(app),
        Action::Pause => return pause_resume_stop_control::pause_or_continue(app),
        Action::Resume => return pause_resume_stop_control::resume(app),
        Action::Compare => return recompute::start(app, Recomputation::Compare),
        Action::Calibrate => return recompute::start(app, Recomputation::Calibrate),
        Action::Take => return pause_resume_stop_control::take_or_give_back(app),
        Action::Export => return export(app),
        Action::Redraw => return vec![Effect::Redraw],
        Action::Suspend => return vec![Effect::Suspend { group: true }],
        Action::Detach => return vec![Effect::Detach],
    }
    Vec::new()
}

fn show_tab(app: &mut App, tab: Tab) {
    app.inspector = None;
    app.screen.tab = tab;
}

fn show_log(app: &mut App) {
    show_tab(app, Tab::Log);
    app.screen.focus = Pane::Log;
}

fn next_order(app: &mut App) {
    app.runs.order = app.runs.order.next();
    app.notify(Notice::info(format!("runs: {}", app.runs.order.name())));
}

fn toggle_mouse(app: &mut App) {
    app.display.mouse = !app.display.mouse;
    app.notify(Notice::info(match app.display.mouse {
        true => "mouse on: click and scroll here; Shift selects text in most terminals",
        false => "mouse off: the terminal selects text again",
    }));
}

fn next_protocol(app: &mut App) {
    app.display.protocol = app.display.protocol.next(&app.display.protocols);
    app.notify(Notice::info(format!("images: {}", app.display.protocol.name())));
}

/// Shows the next quantity; calibrated settings are read when they are first shown.
fn next_quantity(app: &mut App) -> Vec<Effect> {
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
fn toggle_entropy_map(app: &mut App) {
    app.charts.entropy_map = !app.charts.entropy_map;
    let has_attention = app.open_run.as_ref().is_none_or(|run| !run.attention.is_empty());
    app.notify(Notice::info(match (app.charts.entropy_map, has_attention) {
        (true, true) => "attention entropy as a map over steps and t",
        (true, false) => "entropy map is on; this run has no attention",
        (false, _) => "attention entropy as curves",
    }));
}

/// Draws curves with other characters.
fn next_dots(app: &mut App) {
    app.charts.dots = app.charts.dots.next();
    app.notify(Notice::info(format!("charts of {}", app.charts.dots.name())));
}
