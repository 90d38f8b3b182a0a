//! The key table of the inspector.

use ratatui::crossterm::event::{KeyCode, KeyModifiers};

use super::keys::Binding;

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

const fn key(
    code: KeyCode,
    action: InspectorAction,
    label: &'static str,
    help: &'static str,
    footer: &'static str,
) -> Binding<InspectorAction> {
    Binding { code, modifiers: KeyModifiers::NONE, action, label, help, footer }
}

/// The keys of the inspector; other keys keep their usual meaning.
pub const INSPECTOR_BINDINGS: &[Binding<InspectorAction>] = &[
    key(KeyCode::Up, InspectorAction::Up, "Up", "the pixel above", ""),
    key(KeyCode::Char('k'), InspectorAction::Up, "k", "the same", ""),
    key(KeyCode::Down, InspectorAction::Down, "Down", "the pixel below", ""),
    key(KeyCode::Char('j'), InspectorAction::Down, "j", "the same", ""),
    key(KeyCode::Left, InspectorAction::Left, "Left", "the pixel on the left", ""),
    key(KeyCode::Char('h'), InspectorAction::Left, "h", "the same", ""),
    key(KeyCode::Right, InspectorAction::Right, "Right", "the pixel on the right", ""),
    key(KeyCode::Char('l'), InspectorAction::Right, "hjkl", "the same", "pixel"),
    key(
        KeyCode::Char('['),
        InspectorAction::Noisier,
        "[",
        "one step back, towards the noise",
        "noisier",
    ),
    key(
        KeyCode::Char(']'),
        InspectorAction::Cleaner,
        "]",
        "one step on, towards the sample",
        "cleaner",
    ),
    key(KeyCode::Tab, InspectorAction::NextViews, "Tab", "further pictures of each row", "more"),
    key(KeyCode::PageDown, InspectorAction::NextActor, "PgDn", "further machines", "machines"),
    key(KeyCode::PageUp, InspectorAction::PreviousActor, "PgUp", "back to earlier ones", ""),
    key(
        KeyCode::Char('E'),
        InspectorAction::Export,
        "E",
        "export: the pixel as CSV and PNG, the way as PNG, screen as text",
        "export",
    ),
    key(KeyCode::Esc, InspectorAction::Close, "Esc", "back to the samples", "back"),
];
