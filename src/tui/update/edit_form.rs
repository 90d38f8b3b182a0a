//! The form of settings: opened on the open run or on an experiment, edited, and launched as a new run.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::tui::key_table::moved;
use crate::tui::messages_and_effects::Effect;
use crate::tui::state::{App, EditForm, Notice, Popup};
use crate::tui::tabs::Tab;

/// Opens the form on the settings of the open run, at the setting that is selected in the settings tab.
pub fn open(app: &mut App) {
    let known = app.open_run.as_ref().and_then(|run| Some((&run.id, run.experiment.as_ref()?)));
    let Some((parent, experiment)) = known else {
        app.notify(Notice::warning("there are no settings to edit yet"));
        return;
    };
    let mut form = EditForm::new(parent.clone(), experiment.clone());
    if app.screen.tab == Tab::Settings {
        let selected = app.listed_settings().get(app.cursors.setting).copied();
        let entries = form.experiment.entries();
        let found = entries.iter().position(|entry| Some(entry.key) == selected);
        form.cursor = found.unwrap_or(0);
    }
    app.popup = Some(Popup::Edit(Box::new(form)));
}

/// Handles a key while the form is open.
pub fn on_key(app: &mut App, key: KeyEvent, mut form: EditForm) -> Vec<Effect> {
    if form.is_confirming {
        if let KeyCode::Enter | KeyCode::Char('y' | 'w') = key.code {
            return launch(app, form, key.code == KeyCode::Char('w'));
        }
        form.is_confirming = false;
    } else if form.typing.is_some() {
        on_value_key(&mut form, key);
    } else if !on_list_key(&mut form, key) {
        return Vec::new();
    }
    app.popup = Some(Popup::Edit(Box::new(form)));
    Vec::new()
}

/// Handles a key while a setting is chosen: letters search. Returns false if the form closes.
fn on_list_key(form: &mut EditForm, key: KeyEvent) -> bool {
    let listed = form.listed();
    let last = listed.len().saturating_sub(1);
    match key.code {
        KeyCode::Esc if form.search.text().is_empty() => return false,
        KeyCode::Esc => {
            form.search.clear();
            form.cursor = 0;
        }
        KeyCode::Enter => {
            form.typing = listed.get(form.cursor).map(|entry| entry.value.as_str().into());
        }
        // Checked as a whole before anything is launched.
        KeyCode::Char('n') if key.modifiers.contains(KeyModifiers::CONTROL) => {
            form.error = form.experiment.check().err().map(|error| error.to_string());
            form.is_confirming = form.error.is_none();
        }
        KeyCode::Up | KeyCode::Down | KeyCode::PageUp | KeyCode::PageDown => {
            form.cursor = moved(key.code, form.cursor).unwrap_or(form.cursor).min(last);
        }
        KeyCode::Home => form.cursor = 0,
        KeyCode::End => form.cursor = last,
        _ if form.search.on_key(key) => (form.cursor, form.error) = (0, None),
        _ => {}
    }
    true
}

/// Handles a key while a value is typed.
fn on_value_key(form: &mut EditForm, key: KeyEvent) {
    let Some(mut text) = form.typing.take() else { return };
    match key.code {
        KeyCode::Esc => form.error = None,
        KeyCode::Enter => form.accept(&text),
        _ => {
            text.on_key(key);
            form.typing = Some(text);
        }
    }
}

fn launch(app: &mut App, form: EditForm, queued: bool) -> Vec<Effect> {
    app.pending.launch = Some(Box::new(EditForm { is_confirming: false, ..form.clone() }));
    let parent = Some(form.parent).filter(|parent| !parent.is_empty());
    vec![Effect::Launch { experiment: Box::new(form.experiment), parent, queued }]
}

/// A launch has failed. The form that it came from opens again, so that nothing typed is lost, unless something else is open.
pub fn on_launch_failed(app: &mut App, problem: String) {
    if app.popup.is_none()
        && let Some(mut form) = app.pending.launch.take()
    {
        form.error = Some(problem);
        app.popup = Some(Popup::Edit(form));
    } else {
        app.notify(Notice::error(problem));
    }
}
