//! Keys and pasted text while a popup is open.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::open_and_mark_runs::{open_listed_run, open_run};
use super::{edit_form, inspector, key_actions, launch_form, sample_note_rename_kill_delete_forms};
use crate::runs::control_messages::Command;
use crate::tui::command_palette::{Choice, matching};
use crate::tui::key_table::moved;
use crate::tui::messages_and_effects::{Effect, RunEffect};
use crate::tui::state::{App, Notice, Popup};
use crate::tui::text_field::TextField;

/// Handles a key while a popup is open. A popup that stays open is put back.
pub fn on_key(app: &mut App, key: KeyEvent) -> Vec<Effect> {
    // A letter with Ctrl or Alt is not that letter: Ctrl-N must not launch.
    let is_other = key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT);
    if is_other && matches!(key.code, KeyCode::Char(_)) && active_field(app).is_none() {
        return Vec::new();
    }
    let Some(popup) = app.popup.take() else { return Vec::new() };
    match popup {
        Popup::Filter => on_filter_key(app, key),
        Popup::Palette { typed, cursor } => on_palette_key(app, key, typed, cursor),
        Popup::Help { first } => {
            app.popup = moved(key.code, first).map(|first| Popup::Help { first });
            Vec::new()
        }
        Popup::Glossary { first } => {
            app.popup = moved(key.code, first).map(|first| Popup::Glossary { first });
            Vec::new()
        }
        Popup::ConfirmStop { run } => match key.code {
            KeyCode::Char('y') | KeyCode::Enter => {
                vec![Effect::OnRun(run, RunEffect::Send(Command::Stop))]
            }
            _ => Vec::new(),
        },
        Popup::ConfirmResume { run, .. } => match key.code {
            KeyCode::Char('y') | KeyCode::Enter => {
                vec![Effect::OnRun(run, RunEffect::Send(Command::Resume))]
            }
            _ => Vec::new(),
        },
        Popup::Launch(form) => launch_form::on_key(app, key, form),
        Popup::Edit(form) => edit_form::on_key(app, key, *form),
        Popup::Fields(form) => sample_note_rename_kill_delete_forms::on_key(app, key, form),
    }
}

/// The text field that is typed into, if one is.
fn active_field(app: &mut App) -> Option<&mut TextField> {
    match app.popup.as_mut()? {
        Popup::Filter => Some(&mut app.runs.filter),
        Popup::Palette { typed, .. } => Some(typed),
        Popup::Launch(form) => form.is_typing.then_some(&mut form.seeds),
        Popup::Edit(form) if form.is_confirming => None,
        Popup::Edit(form) => Some(form.typing.as_mut().unwrap_or(&mut form.search)),
        Popup::Fields(form) => form.values.get_mut(form.at),
        _ => None,
    }
}

/// Inserts pasted text into the active text field. Elsewhere it is refused: taken for keys, it might stop a run.
pub fn paste(app: &mut App, text: &str) {
    if let Some(field) = active_field(app) {
        field.paste(text);
    } else {
        app.notify(Notice::warning("paste works only in text fields"));
    }
    match &mut app.popup {
        Some(Popup::Palette { cursor, .. }) => *cursor = 0,
        Some(Popup::Edit(form)) if form.typing.is_none() => form.cursor = 0,
        _ => {}
    }
}

fn on_filter_key(app: &mut App, key: KeyEvent) -> Vec<Effect> {
    match key.code {
        KeyCode::Enter => return open_listed_run(app),
        KeyCode::Esc => app.runs.filter.clear(),
        _ => {
            app.runs.filter.on_key(key);
            app.popup = Some(Popup::Filter);
        }
    }
    Vec::new()
}

/// Handles a key while the palette is open.
fn on_palette_key(
    app: &mut App,
    key: KeyEvent,
    mut typed: TextField,
    mut cursor: usize,
) -> Vec<Effect> {
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
        Choice::Action(action) => key_actions::perform(app, action),
        Choice::Inspector(action) => inspector::perform(app, action),
        Choice::OpenRun(run) => open_run(app, run),
        Choice::Launch(index) => {
            let Some(experiment) = app.experiments.get(index).cloned() else { return Vec::new() };
            let experiment = Box::new(experiment);
            vec![Effect::Launch { experiment, parent: None, queued: false }]
        }
    }
}
