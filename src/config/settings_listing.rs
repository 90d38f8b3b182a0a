//! Lists an experiment's settings with their values: one by key, all for the edit form, and all as TOML.

use super::error::SettingError;
use super::experiment_settings::Experiment;
use super::find_setting;
use super::setting_value::Value;

/// One row of the dashboard's edit form.
#[derive(Clone, Debug, PartialEq)]
pub struct SettingEntry {
    pub key: &'static str,
    pub value: String,
    pub doc: &'static str,
    /// Description of the accepted values, e.g. `a whole number of at least 1`.
    pub accepted: String,
    pub is_default: bool,
}

impl Experiment {
    /// The value of a setting, in its TOML form.
    ///
    /// # Errors
    ///
    /// If the key was renamed or is unknown.
    pub fn get(&self, key: &str) -> Result<Value, SettingError> {
        find_setting::find(key).map(|setting| (setting.get)(self))
    }

    /// All settings, in the order of the table.
    pub fn entries(&self) -> Vec<SettingEntry> {
        let default = Self::default();
        let entry = |setting: &find_setting::Setting| {
            let value = (setting.get)(self);
            SettingEntry {
                key: setting.key,
                is_default: value == (setting.get)(&default),
                value: value.plain(),
                doc: setting.doc,
                accepted: setting.accepted.to_string(),
            }
        };
        find_setting::all().map(entry).collect()
    }

    /// The experiment as a TOML section that [`super::lab_file::read`] reads back; values equal to their defaults
    /// are included.
    pub fn to_toml(&self) -> String {
        let mut text = format!("[experiment.{}]\n", self.name);
        text += &format!("description = {}\n", Value::Text(self.description.to_string()));
        for setting in find_setting::all() {
            text += &format!("{} = {}\n", setting.key, (setting.get)(self));
        }
        text
    }
}
