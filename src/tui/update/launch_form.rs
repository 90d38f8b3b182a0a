//! The launch form (key `n`): keys while a list of experiments is open from which one is launched, queued or edited first.

use ratatui::crossterm::event::KeyCode;

use crate::tui::key_table::moved;
use crate::tui::messages_and_effects::Effect;
use crate::tui::state::{App, EditForm, Notice, Popup};

/// Handles a key while the launch form is open.
pub fn on_key(app: &mut App, code: KeyCode, cursor: usize) -> Vec<Effect> {
    let last = app.experiments.len().saturating_sub(1);
    match code {
        KeyCode::Enter | KeyCode::Char('w') => {
            let Some(experiment) = app.experiments.get(cursor).cloned() else { return Vec::new() };
            let queued = code == KeyCode::Char('w');
            let word = if queued { "queueing" } else { "launching" };
            app.notify(Notice::info(format!("{word} {}", experiment.name)));
            return vec![Effect::Launch { experiment: Box::new(experiment), parent: None, queued }];
        }
        KeyCode::Char('e') => {
            if let Some(experiment) = app.experiments.get(cursor).cloned() {
                app.popup = Some(Popup::Edit(Box::new(EditForm::new(String::new(), experiment))));
            }
        }
        KeyCode::Esc | KeyCode::Char('q') => {}
        code => {
            let cursor = moved(code, cursor).unwrap_or(cursor).min(last);
            app.popup = Some(Popup::Launch { cursor });
        }
    }
    Vec::new()
}
