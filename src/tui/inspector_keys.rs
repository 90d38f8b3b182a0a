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
        letter("[", Noisier, "one step back, towards the noise", "noisier"),
        letter("]", Cleaner, "one step on, towards the sample", "cleaner"),
        key(KeyCode::Tab, NextViews, "Tab", "further pictures of each row", "more"),
        key(KeyCode::PageDown, NextActor, "PgDn", "further machines", "machines"),
        key(KeyCode::PageUp, PreviousActor, "PgUp", "back to earlier ones", ""),
        letter(
            "E",
            Export,
            "export: the pixel as CSV and PNG, the way as PNG, screen as text",
            "export",
        ),
        key(KeyCode::Esc, Close, "Esc", "back to the samples", "back"),
    ]
};
