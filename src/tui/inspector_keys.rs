//! The key table of the inspector.

use ratatui::crossterm::event::KeyCode;

use super::keys::{Binding, key, letter};

/// What a key does in the inspector. The palette lists actions under the names of these variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InspectorAction {
    Up,
    Down,
    Left,
    Right,
    Noisier,
    Cleaner,
    NextViews,
    NextActor,
    PreviousActor,
    Export,
    Close,
}

/// The keys of the inspector; other keys keep their usual meaning.
pub const INSPECTOR_BINDINGS: &[Binding<InspectorAction>] = {
    use InspectorAction::*;
    &[
        key(KeyCode::Up, Up, "Up", "the pixel above", ""),
        letter("k", Up, "the same", ""),
        key(KeyCode::Down, Down, "Down", "the pixel below", ""),
        letter("j", Down, "the same", ""),
        key(KeyCode::Left, Left, "Left", "the pixel on the left", ""),
        letter("h", Left, "the same", ""),
        key(KeyCode::Right, Right, "Right", "the pixel on the right", ""),
        key(KeyCode::Char('l'), Right, "hjkl", "the same", "pixel"),
        letter("[", Noisier, "previous sampling step (noisier)", "noisier"),
        letter("]", Cleaner, "next sampling step (cleaner)", "cleaner"),
        key(KeyCode::Tab, NextViews, "Tab", "more pictures of each row", "more"),
        key(KeyCode::PageDown, NextActor, "PgDn", "more machines", "machines"),
        key(KeyCode::PageUp, PreviousActor, "PgUp", "previous machines", ""),
        letter(
            "E",
            Export,
            "export: pixel as CSV and PNG, all steps as PNG, screen as text",
            "export",
        ),
        key(KeyCode::Esc, Close, "Esc", "back to the samples", "back"),
    ]
};
