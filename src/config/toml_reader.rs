//! The text of a lab file, with the position of every key.
//!
//! TOML's spanned tables are walked directly rather than through serde, because an error message must give the
//! file, line, key, value found and values accepted.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, SettingError};
use super::experiment_name::ExperimentName;
use super::find_setting;
use super::nearest_name::nearest;
use super::parse_and_check_value::Accepted;
use super::renamed_settings::new_name;
use super::setting_definition::Setting;
use super::setting_value::Value;

/// How renamed settings are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldNames {
    /// As an error that gives the new name.
    Refused,
    /// As the new name, for files written by an earlier version.
    Read,
}

/// A text being read, with what error messages and paths need.
pub(super) struct Reader<'a> {
    pub text: &'a str,
    /// The file it came from, for error messages.
    pub origin: &'a Path,
    /// Base of relative paths.
    pub root: &'a Path,
    pub old_names: OldNames,
}

impl Reader<'_> {
    /// The line, counted from 1, at which `span` starts.
    pub fn line(&self, span: &Range<usize>) -> usize {
        let end = span.start.min(self.text.len());
        1 + self.text.as_bytes()[..end].iter().filter(|&&byte| byte == b'\n').count()
    }

    /// Attaches the line of `span` to `problem`.
    pub fn at(&self, span: &Range<usize>, problem: SettingError) -> ConfigError {
        ConfigError::Setting {
            path: self.origin.to_owned(),
            line: self.line(span),
            problem: Box::new(problem),
        }
    }

    /// Finds the setting with this key.
    pub fn setting(&self, key: &str) -> Result<&'static find_setting::Setting, SettingError> {
        match (self.old_names, new_name(key)) {
            (OldNames::Read, Some(new)) => find_setting::find(new),
            _ => find_setting::find(key),
        }
    }

    /// Checks a value and converts it to the form in which the setting is stored.
    pub fn admit<T>(
        &self,
        setting: &Setting<T>,
        value: &DeValue<'_>,
    ) -> Result<Value, SettingError> {
        let admitted = to_value(value).and_then(|value| setting.accepted.admit(value));
        admitted.ok_or_else(|| {
            setting.refusal(&in_words(value), &first_refused_word(value, setting.accepted))
        })
    }

    pub fn table<'b>(
        &self,
        value: &'b Spanned<DeValue<'b>>,
        key: &str,
    ) -> Result<&'b DeTable<'b>, ConfigError> {
        let table = value.get_ref().as_table();
        table.ok_or_else(|| self.refuse(value, key, &format!("a table, [{key}]"), None))
    }

    /// The error for the value of `key`, which is not what is accepted there.
    pub fn refuse(
        &self,
        value: &Spanned<DeValue<'_>>,
        key: &str,
        accepted: &str,
        nearest: Option<&str>,
    ) -> ConfigError {
        let problem = SettingError::Value {
            key: key.to_owned(),
            found: in_words(value.get_ref()),
            accepted: accepted.to_owned(),
            nearest: nearest.map(str::to_owned),
        };
        self.at(&value.span(), problem)
    }

    /// The error for a key that is none of `known`; `path` is the key with its sections.
    pub fn unknown<'b, T: AsRef<str>>(
        &self,
        key: &Spanned<T>,
        path: &str,
        known: impl IntoIterator<Item = &'b str>,
    ) -> ConfigError {
        let nearest = nearest(key.get_ref().as_ref(), known.into_iter()).map(str::to_owned);
        self.at(&key.span(), SettingError::Unknown { key: path.to_owned(), nearest })
    }

    /// Checks the name of a section, which is also used for directories.
    pub fn safe_name<T: AsRef<str>>(
        &self,
        key: &Spanned<T>,
        kind: &str,
    ) -> Result<ExperimentName, ConfigError> {
        ExperimentName::new(key.get_ref().as_ref())
            .map_err(|problem| self.at(&key.span(), problem.under(kind)))
    }
}

pub fn to_value(value: &DeValue<'_>) -> Option<Value> {
    Some(match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(integer) => {
            Value::Integer(i64::from_str_radix(integer.as_str(), integer.radix()).ok()?)
        }
        DeValue::Float(float) => Value::Number(float.as_str().parse().ok()?),
        DeValue::Boolean(flag) => Value::Boolean(*flag),
        DeValue::Array(items) => {
            Value::List(items.iter().map(|item| to_value(item.get_ref())).collect::<Option<_>>()?)
        }
        DeValue::Datetime(_) | DeValue::Table(_) => return None,
    })
}

/// A value as written in the file, with its type if that is the likely mistake.
fn in_words(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the text '{text}'"),
        DeValue::Integer(integer) => format!("'{}'", integer.as_str()),
        DeValue::Float(float) => format!("'{}'", float.as_str()),
        DeValue::Boolean(flag) => format!("'{flag}'"),
        DeValue::Datetime(date) => format!("the date '{date}'"),
        DeValue::Array(_) => match to_value(value) {
            Some(list) => format!("the list {list}"),
            None => "a list of something else".to_owned(),
        },
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// The word that was most likely misspelt.
fn first_refused_word(value: &DeValue<'_>, accepted: Accepted) -> String {
    let words: Vec<String> = match value {
        DeValue::String(text) => vec![text.to_string()],
        DeValue::Array(items) => {
            items.iter().filter_map(|item| item.get_ref().as_str()).map(str::to_owned).collect()
        }
        _ => Vec::new(),
    };
    let refused = |word: &&String| match accepted {
        Accepted::Words(choices) => !choices.contains(&word.as_str()),
        _ => true,
    };
    words.iter().find(refused).cloned().unwrap_or_default()
}
