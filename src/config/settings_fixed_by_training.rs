//! Which settings stay as they are once weights are trained: those that must match for training to continue from a
//! checkpoint, and those that cannot be changed when a trained network is evaluated.

use super::enum_settings::ArchitectureKind;
use super::experiment_settings::Experiment;
use super::find_setting::{self, Setting};
use super::renamed_settings::RENAMED;
use crate::training::checkpoint_settings::DecidingSettings;
use crate::training::training_config::{LossWeighting, LrSchedule};

/// Settings of the network and of training that leave the weights after a given number of updates as they are.
const WITHOUT_EFFECT: [&str; 8] = [
    "network.clamp",
    "training.compute_type",
    "training.checkpoint_every",
    "training.keep_checkpoints",
    "training.keep_every",
    "training.rollback_after",
    "training.patience",
    "training.minutes",
];

/// True if the weights after a given number of updates depend on this setting; a checkpoint is then continued only
/// with the same value. (The images of a data set are compared by themselves.)
fn decides_weights(key: &str) -> bool {
    let is_of_training = ["network.", "training."].iter().any(|section| key.starts_with(section));
    (is_of_training && !WITHOUT_EFFECT.contains(&key)) || key == "diffusion.schedule"
}

/// The refusal to change a setting of a trained network.
#[derive(Debug, thiserror::Error)]
#[error(
    "'{key}' made the network of run '{run}' what it is and cannot be changed now; 'mosaic run' trains another"
)]
pub struct FixedSetting {
    pub key: &'static str,
    pub run: String,
}

impl Experiment {
    /// Refuses settings that differ from those with which the network of `run` was trained, where they are fixed.
    ///
    /// # Errors
    ///
    /// If a setting on which the weights depend has changed, or one that has no effect any more.
    pub fn check_fixed(&self, trained: &Self, run: &str) -> Result<(), FixedSetting> {
        match self.changed_fixed(trained) {
            Some(key) => Err(FixedSetting { key, run: run.to_owned() }),
            None => Ok(()),
        }
    }

    /// The key of the first setting that differs and is fixed once a network is trained: the weights depend on it, or
    /// it has no effect any more.
    fn changed_fixed(&self, trained: &Self) -> Option<&'static str> {
        let of_training = |key: &str| key.starts_with("dataset.") || key.starts_with("training.");
        let fixed = |setting: &&Setting| decides_weights(setting.key) || of_training(setting.key);
        let differs = |setting: &&Setting| (setting.get)(self) != (setting.get)(trained);
        find_setting::all().filter(fixed).find(differs).map(|setting| setting.key)
    }

    /// The settings that determine the weights after a given number of updates, in their TOML form.
    pub fn deciding_settings(&self) -> DecidingSettings {
        let default = Self::default();
        let renamed =
            RENAMED.into_iter().map(|(old, new)| (old.to_owned(), new.to_owned())).collect();
        let mut found = DecidingSettings { renamed, ..DecidingSettings::default() };
        for setting in find_setting::all().filter(|s| decides_weights(s.key) && self.uses(s.key)) {
            let value = (setting.get)(self);
            if value == (setting.get)(&default) {
                found.at_default.insert(setting.key.to_owned());
            }
            found.values.insert(setting.key.to_owned(), value.to_string());
        }
        found
    }

    /// True if a setting has an effect, given the other settings.
    fn uses(&self, key: &str) -> bool {
        let is_unet = self.network.architecture == ArchitectureKind::UNet;
        match key {
            "network.width" | "network.kernels" => !is_unet,
            "network.widths" | "network.embedding" => is_unet,
            "network.heads" | "network.head_width" | "network.normalise" => {
                self.network.attention.is_some()
            }
            "training.final_factor" => self.training.lr_schedule == LrSchedule::Exponential,
            "training.focus_from" | "training.focus_to" => self.training.focus_share > 0.0,
            "training.weighting_limit" => self.training.weighting == LossWeighting::Velocity,
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_settings_with_an_effect_on_the_weights_count() {
        let mut experiment = Experiment::default();
        let before = experiment.deciding_settings();
        for pair in ["network.widths=8", "theory.lambda=3", "training.final_factor=0.5"] {
            experiment.set_pair(pair).unwrap();
        }
        assert_eq!(experiment.deciding_settings(), before);
        experiment.set_pair("training.lr_schedule=exponential").unwrap();
        let after = experiment.deciding_settings().values;
        assert_eq!(after["training.final_factor"], "0.5");
        assert_eq!(after["training.lr_schedule"], "\"exponential\"");
        experiment.set_pair("network.architecture=unet").unwrap();
        let unet = experiment.deciding_settings();
        assert_eq!(unet.values["network.widths"], "[8]");
        assert!(!unet.values.contains_key("network.kernels"));
    }

    #[test]
    fn every_setting_of_network_and_training_was_thought_about() {
        let keys: Vec<&str> = find_setting::all().map(|setting| setting.key).collect();
        assert!(WITHOUT_EFFECT.iter().all(|key| keys.contains(key)), "{WITHOUT_EFFECT:?}");
        // A new setting of the network or of training changes the number: does it decide the weights?
        assert_eq!(keys.iter().filter(|key| decides_weights(key)).count(), 36);
    }
}
