//! The mouse, for those who want it: what lies under it, and what a click or a turn of the wheel does there.

use ratatui::crossterm::event::{KeyCode, KeyEvent, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect};

use super::app::{App, Popup};
use super::keys::Action;
use super::message::Effect;
use super::panels::runs;
use super::popups;
use super::update::{on_action, watch};
use super::view::tab_at;

/// A part of the screen that does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pane {
    Header,
    Runs,
    Charts,
    Samples,
    Settings,
    News,
    Log,
}

/// Where a pane was drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    pub pane: Pane,
    pub area: Rect,
}

/// What the mouse did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Press {
    Click,
    WheelUp,
    WheelDown,
}

impl Press {
    /// Moves and other buttons mean nothing.
    pub fn of(kind: MouseEventKind) -> Option<Self> {
        match kind {
            MouseEventKind::Down(MouseButton::Left) => Some(Self::Click),
            MouseEventKind::ScrollUp => Some(Self::WheelUp),
            MouseEventKind::ScrollDown => Some(Self::WheelDown),
            _ => None,
        }
    }
}

/// The mouse did something on the screen that was drawn last.
pub(super) fn on_mouse(app: &mut App, event: MouseEvent) -> Vec<Effect> {
    let Some(press) = Press::of(event.kind) else { return Vec::new() };
    let at = Position::new(event.column, event.row);
    let region = app.regions.iter().rev().find(|region| region.area.contains(at)).copied();
    if app.popup != Popup::None {
        // A click beside a question must not answer it.
        return match press {
            Press::Click => Vec::new(),
            Press::WheelUp => popups::on_key(app, KeyEvent::from(KeyCode::Up)),
            Press::WheelDown => popups::on_key(app, KeyEvent::from(KeyCode::Down)),
        };
    }
    let Some(Region { pane, area }) = region else { return Vec::new() };
    if press == Press::Click && pane != Pane::Header {
        app.focus = pane;
    }
    match (pane, press) {
        (Pane::Header, Press::Click) => {
            match tab_at(app, area.width, at.x.saturating_sub(area.x)) {
                Some(tab) => on_action(app, Action::Tab(tab)),
                None => Vec::new(),
            }
        }
        (Pane::Header, _) => Vec::new(),
        (Pane::Runs, Press::Click) => match runs::row_at(app, area, at.y) {
            Some(id) if app.watched.as_ref().is_none_or(|watched| watched.id != id) => {
                watch(app, id)
            }
            _ => Vec::new(),
        },
        (Pane::Runs, Press::WheelUp) => app.step_run(-1),
        (Pane::Runs, Press::WheelDown) => app.step_run(1),
        (Pane::Charts, Press::WheelUp) => on_action(app, Action::ZoomIn),
        (Pane::Charts, Press::WheelDown) => on_action(app, Action::ZoomOut),
        (Pane::Charts, Press::Click) => Vec::new(),
        (Pane::Samples, Press::WheelUp) => app.step_seed(-1),
        (Pane::Samples, Press::WheelDown) => app.step_seed(1),
        (Pane::Samples, Press::Click) => Vec::new(),
        (Pane::Settings, Press::WheelUp) => app.step_setting(-1),
        (Pane::Settings, Press::WheelDown) => app.step_setting(1),
        (Pane::News | Pane::Log, Press::WheelUp) => app.scroll(pane, 1),
        (Pane::News | Pane::Log, Press::WheelDown) => app.scroll(pane, -1),
        (Pane::Settings | Pane::News | Pane::Log, Press::Click) => Vec::new(),
    }
}
