//! One setting: its key, the values that it accepts, and how it is read and changed.
//!
//! A section of settings is a struct whose fields are defined together with their rows of the table, so that nothing
//! about a setting is said twice.

use super::error::SettingError;
use super::nearest_name::nearest;
use super::parse_and_check_value::Accepted;
use super::setting_value::Value;

/// One key of a table for `T`: an experiment, or the lab's own settings.
#[derive(Clone, Copy, Debug)]
pub struct Setting<T: 'static> {
    /// Section and name, e.g. `training.steps`.
    pub key: &'static str,
    pub doc: &'static str,
    pub accepted: Accepted,
    pub get: fn(&T) -> Value,
    /// Called only with values admitted by `accepted`.
    pub set: fn(&mut T, &Value),
}

impl<T> Setting<T> {
    /// The error for a value that was not admitted: `found` describes it, `word` is used to suggest an accepted
    /// one.
    pub fn refusal(&self, found: &str, word: &str) -> SettingError {
        SettingError::Value {
            key: self.key.to_owned(),
            found: found.to_owned(),
            accepted: self.accepted.to_string(),
            nearest: self.accepted.nearest(word).map(str::to_owned),
        }
    }
}

/// Finds the setting with this key in a table.
///
/// # Errors
///
/// If there is none; the error gives the nearest key.
pub(super) fn find_in<T>(
    mut table: impl Iterator<Item = &'static Setting<T>> + Clone,
    key: &str,
) -> Result<&'static Setting<T>, SettingError> {
    let keys = table.clone().map(|setting| setting.key);
    table.find(|setting| setting.key == key).ok_or_else(|| SettingError::Unknown {
        key: key.to_owned(),
        nearest: nearest(key, keys).map(str::to_owned),
    })
}

pub(super) const WHOLE: Accepted = Accepted::Integer { min: 0, max: i64::MAX };
pub(super) const COUNT: Accepted = Accepted::Integer { min: 1, max: i64::MAX };
pub(super) const SEED: Accepted = WHOLE;
pub(super) const POSITIVE: Accepted = Accepted::Number { min: 0.0, max: f64::INFINITY };
pub(super) const SHARE: Accepted = Accepted::Number { min: 0.0, max: 1.0 };

/// The field `[name]` of `$settings`, or for `[]` all of it.
macro_rules! part {
    ($settings:ident []) => {
        $settings
    };
    ($settings:ident [$part:ident]) => {
        $settings.$part
    };
}
pub(super) use part;

/// The rows of a table for fields of `$of`, or of its field `[$part]`: for each one its explanation, which is shown to
/// users, its name and the values that it accepts.
macro_rules! rows {
    (
        $of:ty, $section:literal, $part:tt;
        $($(#[doc = $doc:literal])+ $field:ident, $accepted:expr;)+
    ) => {
        &[$($crate::config::setting_definition::Setting {
            key: concat!($section, ".", stringify!($field)),
            doc: concat!($($doc),+).trim_ascii_start(),
            accepted: $accepted,
            get: |settings: &$of| {
                $crate::config::value_to_rust_type::Field::to_value(
                    &$crate::config::setting_definition::part!(settings $part).$field,
                )
            },
            set: |settings: &mut $of, value| {
                if let Some(value) = $crate::config::value_to_rust_type::Field::from_value(value) {
                    $crate::config::setting_definition::part!(settings $part).$field = value;
                }
            },
        }),+]
    };
}
pub(super) use rows;

/// A section: a struct, its defaults, and its rows of the table for `$of`. Each field has its explanation, which is
/// shown to users, its name, type and default, and the values that it accepts.
macro_rules! section {
    (
        $(#[$about:meta])*
        $name:ident: $of:ty, $section:literal, $part:tt;
        $($(#[doc = $doc:literal])+ $field:ident: $type:ty = $default:expr, $accepted:expr;)+
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $($(#[doc = $doc])+ pub $field: $type,)+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)+ }
            }
        }

        impl $name {
            pub(super) const ROWS: &[$crate::config::setting_definition::Setting<$of>] =
                $crate::config::setting_definition::rows! {
                    $of, $section, $part;
                    $($(#[doc = $doc])+ $field, $accepted;)+
                };
        }
    };
}
pub(super) use section;
