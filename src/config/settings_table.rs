//! The settings table: every key of an experiment, with its explanation. Rows of `dataset`, `network`, `theory`, `preview`,
//! `compare` and `calibrate` are in [`super::experiment`], those of `training` and `diffusion` here.
//!
//! To add a setting, add a line to its section in [`super::experiment`] (settings of training: a field with its
//! default in [`crate::training::training_config`], and a line here). Parsing, `--set`, `run.toml`, the edit form and
//! the docs follow.

use strum::VariantNames;

use super::accepted_values::Accepted;
use super::error::SettingError;
use super::experiment::{
    CalibrateSettings, CompareSettings, DatasetSettings, Experiment, NetworkSettings,
    PreviewSettings, TheorySettings,
};
use super::renamed_settings::new_name;
use super::setting_definition::{COUNT, POSITIVE, SEED, WHOLE, find_in, rows};
use crate::diffusion::Schedule;
use crate::training::training_config::{ComputeType, LossWeighting, LrSchedule, OptimizerKind};

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

const DIFFUSION: &[Setting] = rows! {
    Experiment, "diffusion", [];

    /// noise schedule of training, sampling and theory
    schedule, Accepted::Choice(Schedule::VARIANTS);
    /// DDIM steps of the network and of every machine
    sampling_steps, Accepted::Integer { min: 1, max: 1000 };
    /// seed of the noise that previews and comparisons start from
    noise_seed, SEED;
};

const TRAINING: &[Setting] = rows! {
    Experiment, "training", [training];

    /// total number of optimiser updates
    steps, COUNT;
    /// images per update
    batch, Accepted::Integer { min: 1, max: 65_536 };
    /// micro-batches per batch (gradient accumulation), to save memory; divides training.batch
    accumulate, Accepted::Integer { min: 1, max: 65_536 };
    /// compute precision. On a GPU, tf32: 11-bit mantissas; bf16: hidden layers are stored in bfloat16, which halves
    /// their memory. On the CPU, tf32 means f32; bf16: hidden layers of a ResNet without group_norm multiply bfloat16
    /// values, on processors with avx512_bf16
    compute_type, Accepted::Choice(ComputeType::VARIANTS);
    /// seed of weights, data order, noise and noise levels
    seed, SEED;
    /// share of the noise levels t drawn from training.focus_from to training.focus_to; the others are drawn from all
    /// levels. More of the levels at which a network is furthest from its floor bring it closer (`mosaic report`)
    focus_share, Accepted::Number { min: 0.0, max: 0.99 };
    /// lowest t of training.focus_share
    focus_from, Accepted::Number { min: 0.0, max: 1.0 };
    /// highest t of training.focus_share
    focus_to, Accepted::Number { min: 0.0, max: 1.0 };
    /// soap: Adam in the eigenbases of the gradients' second moments; needs fewer updates, each a tenth to a fifth
    /// longer, and suits higher learning rates (0.01); trains on the CPU only
    optimizer, Accepted::Choice(OptimizerKind::VARIANTS);
    /// peak learning rate
    learning_rate, POSITIVE;
    /// updates over which the learning rate rises linearly from 0
    warmup, WHOLE;
    /// updates at the peak learning rate after warm-up, before training.lr_schedule begins
    lr_hold_steps, WHOLE;
    /// learning rate after warm-up and training.lr_hold_steps
    lr_schedule, Accepted::Choice(LrSchedule::VARIANTS);
    /// lr_schedule exponential: learning rate at the last step, as a fraction of the peak
    final_factor, Accepted::Number { min: 1e-9, max: 1.0 };
    /// loss weight of each noise level: noise weights the noise's error equally; velocity weights it as the
    /// velocity's error, which counts high noise more, where the image as a whole is decided
    weighting, Accepted::Choice(LossWeighting::VARIANTS);
    /// weighting velocity: largest weight of a noise level
    weighting_limit, Accepted::Number { min: 1.0, max: f64::INFINITY };
    /// decoupled weight decay of the optimiser
    weight_decay, POSITIVE;
    /// gradients are scaled down to this norm; inf disables clipping
    clip_norm, POSITIVE;
    /// EMA decay of the weights; samples use the averaged weights
    ema_decay, Accepted::Number { min: 0.0, max: 0.999_999 };
    /// updates between checkpoints
    checkpoint_every, COUNT;
    /// newest complete checkpoints that are kept
    keep_checkpoints, COUNT;
    /// checkpoints at multiples of this are kept as well; 0: none
    keep_every, WHOLE;
    /// consecutive non-finite losses before training returns to the last checkpoint
    rollback_after, COUNT;
    /// stop early if the mean loss falls by less than a thousandth over this many updates; 0: never
    patience, WHOLE;
    /// minutes of training, over all resumes, after which it ends early; 0: no limit
    minutes, POSITIVE;
};

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
