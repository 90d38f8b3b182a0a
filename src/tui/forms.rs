//! Small forms: some typed fields, and a run they are about.
//!
//! Previews of chosen seeds, a note and tags, another name, and the two that want the run's name typed, because what
//! they do cannot be undone.

use ratatui::crossterm::event::{KeyCode, KeyEvent};

use super::app::{App, Popup};
use super::message::Effect;
use super::sampling;
use super::typed::Typed;
use crate::evaluation::preview_request::PreviewRequest;
use crate::runs::about::About;
use crate::runs::event::NoticeLevel;

/// What a form is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Sample,
    Describe,
    Rename,
    Kill,
    Delete,
}

/// Fields as typed.
#[derive(Clone, Debug, PartialEq)]
pub struct Fields {
    pub purpose: Purpose,
    pub run: String,
    pub values: Vec<Typed>,
    /// The one that is typed.
    pub at: usize,
    pub error: Option<String>,
}

impl Purpose {
    pub fn title(self) -> &'static str {
        match self {
            Self::Sample => "preview of chosen seeds",
            Self::Describe => "note and tags",
            Self::Rename => "another name",
            Self::Kill => "kill",
            Self::Delete => "delete",
        }
    }

    pub fn labels(self) -> &'static [&'static str] {
        match self {
            Self::Sample => &["noise seeds", "sampling steps"],
            Self::Describe => &["note", "tags"],
            Self::Rename => &["new name"],
            Self::Kill | Self::Delete => &["the run's name"],
        }
    }

    /// What Enter does.
    pub fn words(self, run: &str) -> String {
        match self {
            Self::Sample => {
                "Of the newest weights; takes the place of that step's preview.".to_owned()
            }
            Self::Describe => format!("Of {run}. The list shows tags, and / finds them."),
            Self::Rename => format!("For {run}. The time of launch stays at its end."),
            Self::Kill => format!("Kills the worker of {run} at once, without a checkpoint."),
            Self::Delete => {
                format!("Deletes {run} with its checkpoints, previews and report, for good.")
            }
        }
    }
}

impl Fields {
    pub fn new(purpose: Purpose, run: String, values: Vec<String>) -> Self {
        let values = values.iter().map(|value| value.as_str().into()).collect();
        Self { purpose, run, values, at: 0, error: None }
    }

    fn value(&self, index: usize) -> &str {
        self.values.get(index).map_or("", Typed::text)
    }
}

/// Opens a form about the run on screen.
pub(super) fn open(app: &mut App, purpose: Purpose) {
    let Some(run) = app.run().cloned() else {
        app.say(NoticeLevel::Warning, "there is no run on screen; n launches one");
        return;
    };
    let values = match purpose {
        Purpose::Sample => sampling::shown(app),
        Purpose::Describe => vec![run.about.note, run.about.tags.join(" ")],
        Purpose::Rename => {
            vec![run.id.rsplit_once('-').map_or(run.id.as_str(), |(name, _)| name).to_owned()]
        }
        Purpose::Kill | Purpose::Delete => vec![String::new()],
    };
    app.popup = Popup::Fields(Fields::new(purpose, run.id, values));
}

/// A key while a form is open.
pub(super) fn on_key(app: &mut App, key: KeyEvent, mut form: Fields) -> Vec<Effect> {
    let n = form.values.len();
    match key.code {
        KeyCode::Esc => return Vec::new(),
        KeyCode::Enter => match enter(app, &form) {
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
    app.popup = Popup::Fields(form);
    Vec::new()
}

fn enter(app: &mut App, form: &Fields) -> Result<Vec<Effect>, String> {
    let run = form.run.clone();
    Ok(match form.purpose {
        Purpose::Sample => {
            sampling::ask(app, &run, PreviewRequest::parse(form.value(0), form.value(1))?)
        }
        Purpose::Describe => {
            let about = About::new(form.value(0), form.value(1))?;
            vec![Effect::Describe { run, about }]
        }
        Purpose::Rename => vec![Effect::Rename { run, to: form.value(0).to_owned() }],
        Purpose::Kill | Purpose::Delete if form.value(0) != run => {
            return Err(format!("that is not its name: {run}"));
        }
        Purpose::Kill => vec![Effect::Kill(run)],
        Purpose::Delete => vec![Effect::Delete(run)],
    })
}
