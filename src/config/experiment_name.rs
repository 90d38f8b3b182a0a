//! Names of experiments.

use std::fmt;
use std::ops::Deref;

use super::error::SettingError;

/// Name of an experiment: one or more letters, digits, `-` and `_`, since it names directories.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExperimentName(Box<str>);

impl ExperimentName {
    /// Validates a name.
    ///
    /// # Errors
    ///
    /// If the name is empty or contains another character.
    pub fn new(name: &str) -> Result<Self, SettingError> {
        if !name.is_empty() && name.chars().all(is_safe) {
            return Ok(Self(name.into()));
        }
        Err(SettingError::Value {
            key: name.to_owned(),
            found: format!("named '{name}'"),
            accepted: "named with letters, digits, '-' and '_' (it names directories)".to_owned(),
            nearest: None,
        })
    }

    /// Turns `text` into a valid name by replacing other characters with `_`.
    pub fn like(text: &str) -> Self {
        let safe = |c: char| if is_safe(c) { c } else { '_' };
        let name: String = text.chars().map(safe).collect();
        Self(if name.is_empty() { "_".into() } else { name.into() })
    }

    /// This name, a hyphen and `suffix`, with other characters replaced by `_`.
    pub fn with_suffix(&self, suffix: &str) -> Self {
        Self::like(&format!("{}-{}", self.0, suffix.replace('-', "_")))
    }
}

fn is_safe(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

impl Deref for ExperimentName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ExperimentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
