//! Keys of the palette, and what its entries do.

use ratatui::crossterm::event::{KeyCode, KeyEvent};

use super::runs::open_run;
use super::{actions, inspector};
use crate::tui::message::Effect;
use crate::tui::palette::{Choice, matching};
use crate::tui::state::{App, Popup};
use crate::tui::typed::Typed;

/// Handles a key while the palette is open.
pub fn on_key(app: &mut App, key: KeyEvent, mut typed: Typed, mut cursor: usize) -> Vec<Effect> {
    let found = matching(app, typed.text());
    let last = found.len().saturating_sub(1);
    match key.code {
        KeyCode::Esc => return Vec::new(),
        KeyCode::Enter => {
            let chosen = found.into_iter().nth(cursor);
            return chosen.map(|entry| choose(app, entry.choice)).unwrap_or_default();
        }
        KeyCode::Down => cursor = (cursor + 1).min(last),
        KeyCode::Up => cursor = cursor.saturating_sub(1),
        KeyCode::Tab => {
            if let Some(entry) = found.get(cursor) {
                typed = entry.name.as_str().into();
                cursor = 0;
            }
        }
        _ if typed.on_key(key) => cursor = 0,
        _ => {}
    }
    app.popup = Some(Popup::Palette { typed, cursor });
    Vec::new()
}

fn choose(app: &mut App, choice: Choice) -> Vec<Effect> {
    match choice {
        Choice::Action(action) => actions::perform(app, action),
        Choice::Inspector(action) => inspector::perform(app, action),
        Choice::OpenRun(run) => open_run(app, run),
        Choice::Launch(index) => {
            let Some(experiment) = app.experiments.get(index).cloned() else { return Vec::new() };
            let experiment = Box::new(experiment);
            vec![Effect::Launch { experiment, parent: None, queued: false }]
        }
    }
}
