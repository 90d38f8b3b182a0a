//! Settings and data that a checkpoint was trained with; training continues only with the same ones.
//!
//! Settings are compared by key, using their values as written in `lab.toml`. A setting that did not exist when
//! a checkpoint was written must have its default value now. Which settings determine the weights is listed in
//! `config::settings_fixed_by_training`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::checkpoint_format_1::IdentityV1;
use super::training_config::TrainingConfig;
use crate::dataset::Dataset;
use crate::network::network_config::NetworkConfig;

/// The settings that determine the weights after a given number of updates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DecidingSettings {
    /// Values by key.
    pub values: BTreeMap<String, String>,
    /// New names of renamed keys.
    pub renamed: BTreeMap<String, String>,
    /// Keys with default values.
    pub at_default: BTreeSet<String>,
}

/// Settings and training images of a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub settings: BTreeMap<String, String>,
    /// Number, shape and checksum of the training images.
    pub dataset: String,
}

/// The identity stored in a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SavedIdentity {
    V1(IdentityV1),
    V2(Identity),
}

/// A checkpoint has settings or training images that differ from the run's.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "the checkpoint's {what} is '{saved}' but this run's is '{now}'; resume with the same value"
)]
pub struct Mismatch {
    /// The key of a setting, or `dataset`.
    pub what: String,
    pub saved: String,
    pub now: String,
}

/// Identity of the current training.
pub struct Current<'a> {
    pub settings: &'a DecidingSettings,
    pub training: &'a TrainingConfig,
    pub network: &'a NetworkConfig,
    pub dataset: &'a Dataset,
}

impl Current<'_> {
    pub fn identity(&self) -> Identity {
        let settings = self.settings.values.clone();
        Identity { settings, dataset: in_words(self.dataset) }
    }

    /// Checks that training may continue from a checkpoint.
    ///
    /// # Errors
    ///
    /// Returns the first difference.
    pub fn check(&self, saved: &SavedIdentity) -> Result<(), Mismatch> {
        let difference = match saved {
            SavedIdentity::V1(saved) => self.difference_of_format_1(saved),
            SavedIdentity::V2(saved) => self.difference(saved),
        };
        difference.map_or(Ok(()), Err)
    }

    fn difference(&self, saved: &Identity) -> Option<Mismatch> {
        let now = &self.settings.values;
        let dataset = in_words(self.dataset);
        if saved.dataset != dataset {
            let (what, saved) = ("dataset".to_owned(), saved.dataset.clone());
            return Some(Mismatch { what, saved, now: dataset });
        }
        let new_name = |key: &String| self.settings.renamed.get(key).unwrap_or(key).clone();
        let saved: BTreeMap<String, String> =
            saved.settings.iter().map(|(key, value)| (new_name(key), value.clone())).collect();
        let is_expected = |key: &&String| match (saved.get(*key), now.get(*key)) {
            (None, Some(_)) => self.settings.at_default.contains(*key),
            (saved, now) => saved == now,
        };
        // A change of one setting may give others an effect, or none: the change itself is named first.
        let (both, one): (Vec<_>, Vec<_>) = saved
            .keys()
            .chain(now.keys().filter(|key| !saved.contains_key(*key)))
            .partition(|key| saved.contains_key(*key) && now.contains_key(*key));
        let key = both.into_iter().chain(one).find(|key| !is_expected(key))?;
        let value = |of: &BTreeMap<String, String>| {
            of.get(key).map_or("unset".to_owned(), |value| value.trim_matches('"').to_owned())
        };
        Some(Mismatch { what: key.clone(), saved: value(&saved), now: value(now) })
    }

    fn difference_of_format_1(&self, saved: &IdentityV1) -> Option<Mismatch> {
        let now = IdentityV1::new(self.network, self.training, in_words(self.dataset));
        let schedule = self.network.schedule;
        let (what, saved, now) = saved.difference(&now, schedule)?;
        Some(Mismatch { what: what.to_owned(), saved, now })
    }
}

fn in_words(dataset: &Dataset) -> String {
    let pixels = crc32fast::hash(dataset.pixels());
    format!("{} images of {}, checksum {pixels:08x}", dataset.len(), dataset.shape())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::ImageShape;
    use crate::training::checkpoint_format_1::example_network;
    use crate::training::training_config::example;

    fn settings(pairs: &[(&str, &str)], at_default: &[&str]) -> DecidingSettings {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        DecidingSettings {
            values: pairs.iter().map(owned).collect(),
            renamed: [("a.old".to_owned(), "a.x".to_owned())].into(),
            at_default: at_default.iter().map(|key| (*key).to_owned()).collect(),
        }
    }

    /// Checks whether training saved with the settings `saved` may continue with the settings `now`.
    fn check(saved: &DecidingSettings, now: &DecidingSettings) -> Result<(), String> {
        let dataset = Dataset::new("d", ImageShape::new(1, 2, 2), vec![0, 1, 2, 3], None);
        let (training, network) = (example(), example_network());
        let current = |settings| Current {
            settings,
            training: &training,
            network: &network,
            dataset: &dataset,
        };
        let saved = SavedIdentity::V2(current(saved).identity());
        current(now).check(&saved).map_err(|error| error.to_string())
    }

    #[test]
    fn a_setting_that_is_newer_than_a_checkpoint_must_be_at_its_default() {
        let old = settings(&[("a.x", "1")], &[]);
        assert_eq!(check(&old, &settings(&[("a.x", "1"), ("a.new", "0")], &["a.new"])), Ok(()));
        let error = check(&old, &settings(&[("a.x", "1"), ("a.new", "5")], &["a.x"])).unwrap_err();
        assert!(error.contains("a.new is 'unset' but this run's is '5'"), "{error}");
    }

    #[test]
    fn a_difference_is_named() {
        let error = check(&settings(&[("a.x", "1")], &[]), &settings(&[("a.x", "2")], &["a.x"]));
        assert!(error.unwrap_err().contains("a.x is '1' but this run's is '2'"));
        // A checkpoint from before a setting was renamed.
        assert_eq!(
            check(&settings(&[("a.old", "1")], &[]), &settings(&[("a.x", "1")], &[])),
            Ok(())
        );
        // A setting that no longer exists may have mattered.
        assert!(check(&settings(&[("a.gone", "1")], &[]), &settings(&[], &[])).is_err());
    }
}
