//! Small forms about one run: chosen seeds, note and tags, another name, and the two that ask for the run's name because
//! they cannot be undone.

use ratatui::crossterm::event::{KeyCode, KeyEvent};

use super::open_run_or_warning::NO_OPEN_RUN;
use super::previews;
use crate::evaluation::preview_request::PreviewRequest;
use crate::runs::note_and_tags::About;
use crate::tui::messages_and_effects::{Effect, RunEffect};
use crate::tui::state::{App, FieldsForm, Notice, Popup, Purpose};

/// Opens a form about the open run, with the values that it has now.
pub fn open(app: &mut App, purpose: Purpose) {
    let Some(run) = app.open_summary().cloned() else {
        app.notify(Notice::warning(NO_OPEN_RUN));
        return;
    };
    let values = match purpose {
        Purpose::Sample => previews::typed_request(app),
        Purpose::Describe => vec![run.about.note, run.about.tags.join(" ")],
        Purpose::Rename => {
            vec![run.id.rsplit_once('-').map_or(run.id.as_str(), |(name, _)| name).to_owned()]
        }
        Purpose::Kill | Purpose::Delete => vec![String::new()],
    };
    app.popup = Some(Popup::Fields(FieldsForm::new(purpose, run.id, values)));
}

/// Handles a key while a form is open.
pub fn on_key(app: &mut App, key: KeyEvent, mut form: FieldsForm) -> Vec<Effect> {
    let n = form.values.len();
    match key.code {
        KeyCode::Esc => return Vec::new(),
        KeyCode::Enter => match submit(app, &form) {
            Ok(effects) => return effects,
            Err(problem) => form.error = Some(problem),
        },
        KeyCode::Tab | KeyCode::Down => form.at = (form.at + 1) % n.max(1),
        KeyCode::BackTab | KeyCode::Up => form.at = (form.at + n.saturating_sub(1)) % n.max(1),
        _ => {
            if let Some(text) = form.values.get_mut(form.at) {
                text.on_key(key);
            }
        }
    }
    app.popup = Some(Popup::Fields(form));
    Vec::new()
}

/// Does what the form is for.
///
/// # Errors
///
/// If a value cannot be read, or the typed name is not the run's.
fn submit(app: &mut App, form: &FieldsForm) -> Result<Vec<Effect>, String> {
    let run = form.run.clone();
    Ok(match form.purpose {
        Purpose::Sample => {
            let request = PreviewRequest::parse(form.value(0), form.value(1))?;
            previews::make_chosen_preview(app, &run, request)
        }
        Purpose::Describe => {
            let about = About::new(form.value(0), form.value(1))?;
            vec![Effect::OnRun(run, RunEffect::Describe(about))]
        }
        Purpose::Rename => vec![Effect::OnRun(run, RunEffect::Rename(form.value(0).to_owned()))],
        Purpose::Kill | Purpose::Delete if form.value(0) != run => {
            return Err(format!("does not match the name: {run}"));
        }
        Purpose::Kill => vec![Effect::OnRun(run, RunEffect::Kill)],
        Purpose::Delete => vec![Effect::OnRun(run, RunEffect::Delete)],
    })
}
