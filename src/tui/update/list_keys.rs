//! The keys that move through a list or a text.

use ratatui::crossterm::event::KeyCode;

/// The position after a key that moves; `None` for other keys. The caller bounds it by the length of the list.
pub fn moved(code: KeyCode, position: usize) -> Option<usize> {
    match code {
        KeyCode::Down | KeyCode::Char('j') => Some(position + 1),
        KeyCode::Up | KeyCode::Char('k') => Some(position.saturating_sub(1)),
        KeyCode::PageDown | KeyCode::Char(' ') => Some(position + 10),
        KeyCode::PageUp => Some(position.saturating_sub(10)),
        _ => None,
    }
}
