//! Popups: lists to choose from, questions and forms. At most one is open; it covers the inspector and the tabs, and
//! takes all keys but Ctrl-C, Ctrl-L and Ctrl-Z.

use crate::config::{Experiment, SettingEntry};
use crate::tui::text_field::TextField;

/// What is open over the screen.
#[derive(Clone, Debug, PartialEq)]
pub enum Popup {
    /// The filter of the list of runs is being typed, and takes effect at once.
    Filter,
    Palette {
        typed: TextField,
        cursor: usize,
    },
    Help {
        first: usize,
    },
    /// The words on the screen and their meanings.
    Glossary {
        first: usize,
    },
    Launch(LaunchForm),
    ConfirmStop {
        run: String,
    },
    /// The run is paused or queued, and others are at work: both would train at once.
    ConfirmResume {
        run: String,
        others: Vec<String>,
    },
    Edit(Box<EditForm>),
    Fields(FieldsForm),
}

/// The list of experiments, one of which is about to be launched.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LaunchForm {
    pub cursor: usize,
    /// Training seeds such as `0..5`, a run each; empty for a single run with the experiment's own.
    pub seeds: TextField,
    pub is_typing: bool,
    /// Why the seeds were refused.
    pub error: Option<String>,
}

/// The settings of a run that is about to be launched.
#[derive(Clone, Debug, PartialEq)]
pub struct EditForm {
    /// The run whose settings they were; empty for a new experiment.
    pub parent: String,
    /// The settings when the form was opened.
    pub original: Experiment,
    pub experiment: Experiment,
    /// Words that a listed setting must have in its key or explanation.
    pub search: TextField,
    /// Index of the selected setting among those listed.
    pub cursor: usize,
    /// Whether the form asks if the run is to be launched.
    pub is_confirming: bool,
    /// The new value of the setting at the cursor, while it is typed.
    pub typing: Option<TextField>,
    pub error: Option<String>,
}

/// A small form about one run.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldsForm {
    pub purpose: Purpose,
    pub run: String,
    pub values: Vec<TextField>,
    /// Index of the field that is typed into.
    pub at: usize,
    pub error: Option<String>,
}

/// What a small form is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Sample,
    Describe,
    Rename,
    Kill,
    Delete,
}

impl EditForm {
    pub fn new(parent: String, experiment: Experiment) -> Self {
        Self {
            parent,
            original: experiment.clone(),
            experiment,
            search: TextField::default(),
            cursor: 0,
            is_confirming: false,
            typing: None,
            error: None,
        }
    }

    /// The settings that the search finds, all without one.
    pub fn listed(&self) -> Vec<SettingEntry> {
        let search = self.search.text().to_lowercase();
        let is_found = |entry: &SettingEntry| {
            let text = format!("{} {}", entry.key, entry.doc).to_lowercase();
            search.split_whitespace().all(|word| text.contains(word))
        };
        let mut found: Vec<SettingEntry> =
            self.experiment.entries().into_iter().filter(is_found).collect();
        // Keys before explanations.
        found.sort_by_key(|entry| !search.split_whitespace().all(|word| entry.key.contains(word)));
        found
    }

    /// The settings that were changed: keys with old and new values.
    pub fn changes(&self) -> Vec<(&'static str, String, String)> {
        let both = self.original.entries().into_iter().zip(self.experiment.entries());
        both.filter(|(old, new)| old.value != new.value)
            .map(|(old, new)| (old.key, old.value, new.value))
            .collect()
    }

    /// Sets the setting at the cursor to the typed value, or keeps it in the line with an error.
    pub fn accept(&mut self, text: &TextField) {
        let Some(key) = self.listed().get(self.cursor).map(|entry| entry.key) else {
            return;
        };
        self.error = self.experiment.set(key, text.text()).err().map(|error| error.to_string());
        self.typing = self.error.is_some().then(|| text.clone());
    }
}

impl FieldsForm {
    pub fn new(purpose: Purpose, run: String, values: Vec<String>) -> Self {
        let values = values.iter().map(|value| value.as_str().into()).collect();
        Self { purpose, run, values, at: 0, error: None }
    }

    /// The text of a field.
    pub fn value(&self, index: usize) -> &str {
        self.values.get(index).map_or("", TextField::text)
    }
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

    /// A sentence on what Enter does.
    pub fn explanation(self, run: &str) -> String {
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
