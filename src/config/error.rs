//! Errors in settings and in `lab.toml`, worded so that a new user can act on them.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Reason why a setting was refused.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum SettingError {
    #[error("'{key}' is not a setting{}", did_you_mean(.nearest))]
    Unknown { key: String, nearest: Option<String> },
    #[error("'{key}' is now called '{new}'; rename it")]
    Renamed { key: String, new: String },
    #[error("'{key}' is {found}, but must be {accepted}{}", did_you_mean(.nearest))]
    Value { key: String, found: String, accepted: String, nearest: Option<String> },
    #[error("'{key}' is invalid: {problem}")]
    Combination { key: String, problem: String },
    #[error("'{found}' does not have the form key=value")]
    Form { found: String },
}

impl SettingError {
    pub fn combination(key: &str, problem: impl Into<String>) -> Self {
        Self::Combination { key: key.to_owned(), problem: problem.into() }
    }

    /// The same error with `section` prefixed to the key.
    pub fn under(mut self, section: &str) -> Self {
        let extend = |key: &mut String| *key = format!("{section}.{key}");
        match &mut self {
            Self::Unknown { key, .. } | Self::Value { key, .. } | Self::Combination { key, .. } => {
                extend(key);
            }
            Self::Renamed { key, new } => [key, new].into_iter().for_each(extend),
            Self::Form { .. } => {}
        }
        self
    }
}

/// A refused pair among several `--set` arguments.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("taking --set '{pair}'")]
pub struct PairError {
    pub pair: String,
    pub source: SettingError,
}

/// Reason why a `lab.toml` (or a `run.toml`, which has the same sections) was refused.
#[derive(Debug, Error)]
pub enum ConfigError {
    #[error("reading '{}'", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}:{line}: not valid TOML: {problem}", path.display())]
    Syntax { path: PathBuf, line: usize, problem: String },
    #[error("{}:{line}: {problem}", path.display())]
    Setting { path: PathBuf, line: usize, problem: Box<SettingError> },
    #[error("{}:{line}: 'experiment.{name}.base' is '{base}', but {problem}{}", path.display(), did_you_mean(.nearest))]
    Base {
        path: PathBuf,
        line: usize,
        name: String,
        base: String,
        problem: &'static str,
        nearest: Option<String>,
    },
    #[error("'{}' holds no experiment '{name}'{}; it holds {known}", path.display(), did_you_mean(.nearest))]
    NoExperiment { path: PathBuf, name: String, nearest: Option<String>, known: String },
    #[error(
        "{place}: 'experiment.{name}.dataset.{key}' names '{}', {problem}", found.display()
    )]
    MissingDataset {
        place: String,
        name: String,
        key: &'static str,
        found: PathBuf,
        /// A relative clause that begins with "which", followed by advice.
        problem: Box<str>,
    },
    #[error(
        "{place}: 'experiment.{name}.dataset.{key}' names '{}', whose path is not UTF-8: the description of a run cannot hold it; rename what is not UTF-8, or reach it through a link that is", found.display()
    )]
    NotUtf8 { place: String, name: String, key: &'static str, found: PathBuf },
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |name| format!("; did you mean '{name}'?"))
}
