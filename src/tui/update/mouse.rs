//! The mouse: what a click or a turn of the wheel does in the pane below it.

use ratatui::crossterm::event::{KeyCode, KeyEvent, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Position;

use super::open_and_mark_runs::{open_run, step_run};
use super::{cursors_and_scrolling, key_actions, popup_keys};
use crate::tui::key_table::Action;
use crate::tui::messages_and_effects::Effect;
use crate::tui::panels::{header, runs};
use crate::tui::state::{App, Pane, Region};

/// Handles the mouse on the screen that was drawn last.
pub fn on_mouse(app: &mut App, event: MouseEvent) -> Vec<Effect> {
    if app.popup.is_some() {
        // A click beside a question must not answer it.
        return match event.kind {
            MouseEventKind::ScrollUp => popup_keys::on_key(app, KeyEvent::from(KeyCode::Up)),
            MouseEventKind::ScrollDown => popup_keys::on_key(app, KeyEvent::from(KeyCode::Down)),
            _ => Vec::new(),
        };
    }
    let at = Position::new(event.column, event.row);
    let region = app.screen.regions.iter().rev().find(|region| region.area.contains(at)).copied();
    let Some(region) = region else { return Vec::new() };
    match event.kind {
        MouseEventKind::Down(MouseButton::Left) => on_click(app, region, at),
        MouseEventKind::ScrollUp => on_wheel(app, region.pane, -1),
        MouseEventKind::ScrollDown => on_wheel(app, region.pane, 1),
        _ => Vec::new(),
    }
}

/// Shows a tab, opens a run, or gives the pane the focus.
fn on_click(app: &mut App, Region { pane, area }: Region, at: Position) -> Vec<Effect> {
    if pane != Pane::Header {
        app.screen.focus = pane;
    }
    match pane {
        Pane::Header => {
            let tab = header::tab_at(app, area.width, at.x.saturating_sub(area.x));
            tab.map(|tab| key_actions::perform(app, Action::Tab(tab))).unwrap_or_default()
        }
        Pane::Runs => match runs::row_at(app, area, at.y) {
            Some(id) if app.open_run_mut(&id).is_none() => open_run(app, id),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// Zooms the charts, or moves through what the pane lists.
fn on_wheel(app: &mut App, pane: Pane, by: isize) -> Vec<Effect> {
    match pane {
        Pane::Header => Vec::new(),
        Pane::Charts if by < 0 => key_actions::perform(app, Action::ZoomIn),
        Pane::Charts => key_actions::perform(app, Action::ZoomOut),
        Pane::Runs => step_run(app, by),
        Pane::Samples | Pane::Settings | Pane::News | Pane::Log | Pane::Results => {
            cursors_and_scrolling::step(app, pane, by)
        }
    }
}
