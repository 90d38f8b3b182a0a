//! Keys inside popups: lists to choose from, questions, and the form for a relaunch.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::app::{App, Form, Popup, SETTINGS};
use super::forms;
use super::message::Effect;
use super::palette;
use super::panels::settings;
use super::typed::Typed;
use super::update::watch_shown;
use crate::runs::command::Command;
use crate::runs::event::NoticeLevel;

/// A key while a popup is open.
pub fn on_key(app: &mut App, key: KeyEvent) -> Vec<Effect> {
    // A letter with Ctrl or Alt is not that letter: Ctrl-N would launch.
    let is_other = key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT);
    if is_other && matches!(key.code, KeyCode::Char(_)) && typed(app).is_none() {
        return Vec::new();
    }
    match std::mem::take(&mut app.popup) {
        Popup::None => Vec::new(),
        Popup::Filter => on_filter_key(app, key),
        Popup::Palette { typed, cursor } => palette::on_key(app, key, typed, cursor),
        Popup::Help { first } => {
            if let Some(first) = scrolled(key.code, first) {
                app.popup = Popup::Help { first };
            }
            Vec::new()
        }
        Popup::ConfirmStop { run } => match key.code {
            KeyCode::Char('y') | KeyCode::Enter => {
                vec![Effect::Send { run, command: Command::Stop }]
            }
            _ => Vec::new(),
        },
        Popup::Launch { cursor } => on_launch_key(app, key.code, cursor),
        Popup::Edit(form) => on_form_key(app, key, *form),
        Popup::Fields(form) => forms::on_key(app, key, form),
    }
}

/// The line that is being typed, if one is.
fn typed(app: &mut App) -> Option<&mut Typed> {
    match &mut app.popup {
        Popup::Filter => Some(&mut app.filter),
        Popup::Palette { typed, .. } => Some(typed),
        Popup::Edit(form) => form.typing.as_mut(),
        Popup::Fields(form) => form.values.get_mut(form.at),
        _ => None,
    }
}

/// Pasted text goes into what is being typed. Anywhere else it means nothing: as keys it might stop a run.
pub(super) fn paste(app: &mut App, text: &str) {
    if let Some(line) = typed(app) {
        line.paste(text);
    } else {
        app.say(NoticeLevel::Warning, "pasted text is taken where something is typed only");
    }
    if let Popup::Palette { cursor, .. } = &mut app.popup {
        *cursor = 0;
    }
}

/// The first line after a key that scrolls; `None` closes.
fn scrolled(code: KeyCode, first: usize) -> Option<usize> {
    match code {
        KeyCode::Down | KeyCode::Char('j') => Some(first + 1),
        KeyCode::Up | KeyCode::Char('k') => Some(first.saturating_sub(1)),
        KeyCode::PageDown | KeyCode::Char(' ') => Some(first + 10),
        KeyCode::PageUp => Some(first.saturating_sub(10)),
        _ => None,
    }
}

fn on_filter_key(app: &mut App, key: KeyEvent) -> Vec<Effect> {
    match key.code {
        KeyCode::Enter => return watch_shown(app),
        KeyCode::Esc => {
            app.filter.clear();
            return Vec::new();
        }
        _ => drop(app.filter.on_key(key)),
    }
    app.popup = Popup::Filter;
    Vec::new()
}

fn on_launch_key(app: &mut App, code: KeyCode, cursor: usize) -> Vec<Effect> {
    let last = app.experiments.len().saturating_sub(1);
    match code {
        KeyCode::Enter | KeyCode::Char('w') => {
            let Some(experiment) = app.experiments.get(cursor).cloned() else { return Vec::new() };
            let queued = code == KeyCode::Char('w');
            let word = if queued { "queueing" } else { "launching" };
            app.say(NoticeLevel::Info, format!("{word} {}", experiment.name));
            return vec![Effect::Launch { experiment: Box::new(experiment), parent: None, queued }];
        }
        KeyCode::Char('e') => {
            if let Some(experiment) = app.experiments.get(cursor).cloned() {
                app.popup = Popup::Edit(Box::new(Form::new(String::new(), experiment)));
            }
        }
        KeyCode::Esc | KeyCode::Char('q') => {}
        code => {
            let next = scrolled(code, cursor).unwrap_or(cursor).min(last);
            app.popup = Popup::Launch { cursor: next };
        }
    }
    Vec::new()
}

/// Opens the form on the settings of the run on screen.
pub fn open_form(app: &mut App) {
    let watched = app.watched.as_ref();
    match watched.and_then(|w| w.experiment.clone().map(|e| (w.id.clone(), e))) {
        Some((parent, experiment)) => {
            let mut form = Form::new(parent, experiment);
            // The setting that is looked at is the one to change.
            let looked_at = settings::rows(app).get(app.setting).copied();
            let looked_at = looked_at.filter(|_| app.tab == SETTINGS);
            let entries = form.experiment.entries();
            let found = entries.iter().position(|entry| Some(entry.key) == looked_at);
            form.cursor = found.unwrap_or(0);
            app.popup = Popup::Edit(Box::new(form));
        }
        None => app.say(NoticeLevel::Warning, "there are no settings to edit yet"),
    }
}

impl Form {
    pub fn new(parent: String, experiment: crate::config::Experiment) -> Self {
        Self { parent, experiment, cursor: 0, typing: None, error: None }
    }

    /// Takes the typed value, or says why not.
    fn accept(&mut self, text: &Typed) {
        let Some(key) = self.experiment.entries().get(self.cursor).map(|entry| entry.key) else {
            return;
        };
        self.error = self.experiment.set(key, text.text()).err().map(|error| error.to_string());
        self.typing = self.error.is_some().then(|| text.clone());
    }
}

fn on_form_key(app: &mut App, key: KeyEvent, mut form: Form) -> Vec<Effect> {
    if let Some(mut text) = form.typing.take() {
        match key.code {
            KeyCode::Esc => form.error = None,
            KeyCode::Enter => form.accept(&text),
            _ => {
                text.on_key(key);
                form.typing = Some(text);
            }
        }
        app.popup = Popup::Edit(Box::new(form));
        return Vec::new();
    }
    let entries = form.experiment.entries();
    let last = entries.len().saturating_sub(1);
    match key.code {
        KeyCode::Esc | KeyCode::Char('q') => return Vec::new(),
        KeyCode::Enter => {
            form.typing = entries.get(form.cursor).map(|entry| entry.value.as_str().into());
        }
        KeyCode::Char('n' | 'w') => {
            // Checked as a whole before anything is launched.
            match form.experiment.check() {
                Ok(()) => {
                    app.draft = Some(Box::new(form.clone()));
                    let parent = Some(form.parent).filter(|parent| !parent.is_empty());
                    let queued = key.code == KeyCode::Char('w');
                    return vec![Effect::Launch {
                        experiment: Box::new(form.experiment),
                        parent,
                        queued,
                    }];
                }
                Err(error) => form.error = Some(error.to_string()),
            }
        }
        code => form.cursor = scrolled(code, form.cursor).unwrap_or(form.cursor).min(last),
    }
    app.popup = Popup::Edit(Box::new(form));
    Vec::new()
}
