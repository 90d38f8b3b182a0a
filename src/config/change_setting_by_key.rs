//! Changes an experiment's settings by key, as `--set KEY=VALUE` and the dashboard's edit form do, through the settings
//! table ([`super::find_setting`]).

use super::error::{PairError, SettingError};
use super::experiment_settings::Experiment;
use super::find_setting;

impl Experiment {
    /// Changes one setting from user input.
    ///
    /// # Errors
    ///
    /// If the key is unknown or the value is not accepted; nothing is changed then.
    pub fn set(&mut self, key: &str, text: &str) -> Result<(), SettingError> {
        let setting = find_setting::find(key)?;
        let value = setting
            .accepted
            .parse(text)
            .ok_or_else(|| setting.refusal(&format!("'{text}'"), text))?;
        (setting.set)(self, &value);
        self.lines.remove(setting.key);
        Ok(())
    }

    /// Changes one setting from a pair `key=value`.
    ///
    /// # Errors
    ///
    /// If there is no `=`, or as [`Self::set`].
    pub fn set_pair(&mut self, pair: &str) -> Result<(), SettingError> {
        let (key, value) =
            pair.split_once('=').ok_or_else(|| SettingError::Form { found: pair.to_owned() })?;
        self.set(key.trim(), value)
    }

    /// Changes settings from `key=value` pairs in order, as given by `--set`.
    ///
    /// # Errors
    ///
    /// Returns the first error; the pairs before it remain applied.
    pub fn set_pairs(&mut self, pairs: &[String]) -> Result<(), PairError> {
        pairs.iter().try_for_each(|pair| {
            self.set_pair(pair).map_err(|source| PairError { pair: pair.clone(), source })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_value_changes_nothing() {
        let mut experiment = Experiment::default();
        let before = experiment.clone();
        assert!(experiment.set("training.steps", "-3").is_err());
        assert!(experiment.set("training.stepz", "3").is_err());
        assert_eq!(experiment, before);
    }

    #[test]
    fn an_unknown_key_names_the_nearest_right_one() {
        let error = Experiment::default().set("training.stepz", "3").unwrap_err();
        assert_eq!(
            error.to_string(),
            "'training.stepz' is not a setting; did you mean 'training.steps'?"
        );
    }

    #[test]
    fn a_refusal_says_what_was_found_and_what_is_accepted() {
        let mut experiment = Experiment::default();
        let error = experiment.set("network.attention", "sofmax").unwrap_err();
        assert_eq!(
            error.to_string(),
            "'network.attention' is 'sofmax', but must be one of none, softmax, top1, uniform, \
             identity; did you mean 'softmax'?"
        );
    }

    #[test]
    fn every_setting_can_be_set_to_what_it_prints() {
        let mut experiment = Experiment::default();
        for entry in experiment.entries() {
            experiment
                .set(entry.key, &entry.value)
                .unwrap_or_else(|e| panic!("{}: {e}", entry.key));
        }
        assert_eq!(experiment, Experiment::default());
    }

    #[test]
    fn an_old_key_is_refused_with_its_new_name() {
        let error = Experiment::default().set("training.rate", "0.1").unwrap_err();
        let expected = "'training.rate' is now called 'training.learning_rate'; rename it";
        assert_eq!(error.to_string(), expected);
    }
}
