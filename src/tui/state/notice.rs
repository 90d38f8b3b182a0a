//! The line of text that answers the last key or reports a problem.

use crate::runs::event::NoticeLevel;

/// A message to the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub level: NoticeLevel,
    pub text: String,
    pub topic: Topic,
}

/// What a notice is about: it decides when the notice is outdated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Topic {
    /// The dashboard as a whole.
    #[default]
    General,
    /// A run, by its id: that it was launched, deleted or could not be read.
    Run(String),
    /// A command that a run, by its id, has accepted; outdated once the run's listed state changes.
    Command(String),
}

impl Notice {
    pub fn new(level: NoticeLevel, text: impl Into<String>) -> Self {
        Self { level, text: text.into(), topic: Topic::General }
    }

    pub fn info(text: impl Into<String>) -> Self {
        Self::new(NoticeLevel::Info, text)
    }

    pub fn warning(text: impl Into<String>) -> Self {
        Self::new(NoticeLevel::Warning, text)
    }

    pub fn error(text: impl Into<String>) -> Self {
        Self::new(NoticeLevel::Error, text)
    }

    /// The same notice about a run.
    pub fn about(self, run: impl Into<String>) -> Self {
        Self { topic: Topic::Run(run.into()), ..self }
    }

    /// The same notice about a command to a run.
    pub fn about_command(self, run: impl Into<String>) -> Self {
        Self { topic: Topic::Command(run.into()), ..self }
    }

    /// The run that it is about.
    pub fn run(&self) -> Option<&str> {
        match &self.topic {
            Topic::General => None,
            Topic::Run(run) | Topic::Command(run) => Some(run),
        }
    }

    /// Whether it acknowledges a command to this run that a change of the run's listed state answers.
    pub fn acknowledges_command_to(&self, run: &str) -> bool {
        self.level == NoticeLevel::Info && self.topic == Topic::Command(run.to_owned())
    }
}
