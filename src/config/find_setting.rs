//! Finds a setting by its key, and lists all of them. What they are is in [`super::experiment_settings`].

use super::error::SettingError;
use super::experiment_settings::{
    CalibrateSettings, CompareSettings, DIFFUSION, DatasetSettings, Experiment, NetworkSettings,
    PreviewSettings, TRAINING, TheorySettings,
};
use super::renamed_settings::new_name;
use super::setting_definition::find_in;

/// One key of an experiment.
pub type Setting = super::setting_definition::Setting<Experiment>;

/// Finds the setting with this key.
///
/// # Errors
///
/// If the key was renamed (the error gives the new name) or is unknown (the error gives the nearest key).
pub fn find(key: &str) -> Result<&'static Setting, SettingError> {
    if let Some(new) = new_name(key) {
        return Err(SettingError::Renamed { key: key.to_owned(), new: new.to_owned() });
    }
    find_in(all(), key)
}

/// All settings of an experiment, in display order.
pub fn all() -> impl Iterator<Item = &'static Setting> + Clone {
    let sections = [
        DatasetSettings::ROWS,
        NetworkSettings::ROWS,
        DIFFUSION,
        TRAINING,
        TheorySettings::ROWS,
        PreviewSettings::ROWS,
        CompareSettings::ROWS,
        CalibrateSettings::ROWS,
    ];
    sections.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn keys_are_unique_and_every_default_is_accepted() {
        let experiment = Experiment::default();
        let mut keys = HashSet::new();
        for setting in all() {
            assert!(keys.insert(setting.key), "{}", setting.key);
            let default = (setting.get)(&experiment);
            assert_eq!(setting.accepted.admit(default.clone()), Some(default), "{}", setting.key);
        }
    }
}
