//! The mouse: what a click or a turn of the wheel does in the pane below it.

use ratatui::crossterm::event::{KeyCode, KeyEvent, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Position;

use super::runs::{open_run, step_run};
use super::{actions, cursors, popups};
use crate::tui::keys::Action;
use crate::tui::message::Effect;
use crate::tui::panels::{header, runs};
use crate::tui::state::{App, Pane, Region};

/// What the user did with the mouse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gesture {
    Click,
    WheelUp,
    WheelDown,
}

impl Gesture {
    /// `None` for movements and other buttons, which do nothing.
    fn of(kind: MouseEventKind) -> Option<Self> {
        match kind {
            MouseEventKind::Down(MouseButton::Left) => Some(Self::Click),
            MouseEventKind::ScrollUp => Some(Self::WheelUp),
            MouseEventKind::ScrollDown => Some(Self::WheelDown),
            _ => None,
        }
    }
}

/// Handles the mouse on the screen that was drawn last.
pub fn on_mouse(app: &mut App, event: MouseEvent) -> Vec<Effect> {
    let Some(gesture) = Gesture::of(event.kind) else { return Vec::new() };
    if app.popup.is_some() {
        // A click beside a question must not answer it.
        return match gesture {
            Gesture::Click => Vec::new(),
            Gesture::WheelUp => popups::on_key(app, KeyEvent::from(KeyCode::Up)),
            Gesture::WheelDown => popups::on_key(app, KeyEvent::from(KeyCode::Down)),
        };
    }
    let at = Position::new(event.column, event.row);
    let region = app.screen.regions.iter().rev().find(|region| region.area.contains(at)).copied();
    let Some(region) = region else { return Vec::new() };
    match gesture {
        Gesture::Click => on_click(app, region, at),
        Gesture::WheelUp => on_wheel(app, region.pane, -1),
        Gesture::WheelDown => on_wheel(app, region.pane, 1),
    }
}

/// Shows a tab, opens a run, or gives the pane the focus.
fn on_click(app: &mut App, Region { pane, area }: Region, at: Position) -> Vec<Effect> {
    if pane != Pane::Header {
        app.screen.focus = pane;
    }
    match pane {
        Pane::Header => match header::tab_at(app, area.width, at.x.saturating_sub(area.x)) {
            Some(tab) => actions::perform(app, Action::Tab(tab)),
            None => Vec::new(),
        },
        Pane::Runs => match runs::row_at(app, area, at.y) {
            Some(id) if app.open_run_mut(&id).is_none() => open_run(app, id),
            _ => Vec::new(),
        },
        Pane::Charts | Pane::Samples | Pane::Settings | Pane::News | Pane::Log => Vec::new(),
    }
}

/// Zooms the charts, or moves through what the pane lists.
fn on_wheel(app: &mut App, pane: Pane, by: isize) -> Vec<Effect> {
    match pane {
        Pane::Header => Vec::new(),
        Pane::Charts if by < 0 => actions::perform(app, Action::ZoomIn),
        Pane::Charts => actions::perform(app, Action::ZoomOut),
        Pane::Runs => step_run(app, by),
        Pane::Samples | Pane::Settings | Pane::News | Pane::Log => cursors::step(app, pane, by),
    }
}
