//! The settings table: the single definition of every key of an experiment.
//!
//! To add a setting, add a field with a default to [`Experiment`] and one row here. Parsing, `--set`,
//! `run.toml`, the edit form and the docs follow.

use strum::VariantNames;

use super::error::SettingError;
use super::experiment::{ArchitectureKind, DatasetKind, Experiment, MachineName};
use super::noise_seeds::NoiseSeeds;
use super::renamed::new_name;
use super::value::{Accepted, Value, nearest};
use crate::diffusion::Schedule;
use crate::network::config::{Output, Padding};
use crate::training::config::{ComputeType, LossWeighting, LrSchedule};

/// One key of a table for `T`: an [`Experiment`], or the lab's own settings ([`super::lab_settings`]).
#[derive(Clone, Copy, Debug)]
pub struct Setting<T = Experiment> {
    /// Section and name, e.g. `training.steps`.
    pub key: &'static str,
    pub doc: &'static str,
    pub accepted: Accepted,
    pub get: fn(&T) -> Value,
    /// Called only with values admitted by `accepted`.
    pub set: fn(&mut T, &Value),
    /// True if the weights after a given number of updates depend on it; a checkpoint is then continued only
    /// with the same value. See `deciding_settings`.
    pub decides_weights: bool,
}

impl<T> Setting<T> {
    /// Marks the setting as one that determines the weights.
    const fn deciding_weights(mut self) -> Self {
        self.decides_weights = true;
        self
    }

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

/// Finds the setting with this key.
///
/// # Errors
///
/// If the key was renamed (the error gives the new name) or is unknown (the error gives the nearest key).
pub fn find(key: &str) -> Result<&'static Setting, SettingError> {
    if let Some(new) = new_name(key) {
        return Err(SettingError::Renamed { key: key.to_owned(), new: new.to_owned() });
    }
    find_in(SETTINGS, key)
}

/// Finds the setting with this key in any table.
pub(super) fn find_in<T>(
    table: &'static [Setting<T>],
    key: &str,
) -> Result<&'static Setting<T>, SettingError> {
    table.iter().find(|setting| setting.key == key).ok_or_else(|| SettingError::Unknown {
        key: key.to_owned(),
        nearest: nearest(key, table.iter().map(|setting| setting.key)).map(str::to_owned),
    })
}

/// Builds the row for a field of `$table`.
macro_rules! setting {
    ($table:ty, $key:literal, $accepted:expr, $($field:ident).+, $doc:literal) => {
        $crate::config::settings::Setting {
            key: $key,
            doc: $doc,
            accepted: $accepted,
            get: |settings: &$table| $crate::config::value::Field::to_value(&settings.$($field).+),
            set: |settings: &mut $table, value| {
                if let Some(value) = $crate::config::value::Field::from_value(value) {
                    settings.$($field).+ = value;
                }
            },
            decides_weights: false,
        }
    };
}
pub(super) use setting;

macro_rules! row {
    ($($row:tt)*) => {
        setting!(Experiment, $($row)*)
    };
}

const WHOLE: Accepted = Accepted::Integer { min: 0, max: i64::MAX };
const COUNT: Accepted = Accepted::Integer { min: 1, max: i64::MAX };
const SEED: Accepted = Accepted::Integer { min: 0, max: i64::MAX };
const POSITIVE: Accepted = Accepted::Number { min: 0.0, max: f64::INFINITY };
const SHARE: Accepted = Accepted::Number { min: 0.0, max: 1.0 };

/// `none`, or one of the words of [`crate::network::config::AttentionVariant`].
const ATTENTION: &[&str] = &["none", "softmax", "top1", "uniform", "identity"];

/// All settings of an experiment, in display order.
pub static SETTINGS: &[Setting] = &[
    row!(
        "dataset.kind",
        Accepted::Choice(DatasetKind::VARIANTS),
        dataset.kind,
        "generated (glyphs: one hue; mirror: left decides right; stripes: one texture) or read (idx: MNIST's format; cifar: binary version; folder: PNG and JPEG, sub-folders are classes)"
    ),
    row!(
        "dataset.path",
        Accepted::Text,
        dataset.path,
        "idx: image file (.gz or not); cifar: directory, archive or file; folder: the folder; relative to lab.toml"
    ),
    row!("dataset.labels", Accepted::Text, dataset.labels, "idx: label file, or empty"),
    row!(
        "dataset.n",
        Accepted::Integer { min: 0, max: 10_000_000 },
        dataset.n,
        "number of training images; 0 takes all that can be read"
    ),
    row!(
        "dataset.seed",
        SEED,
        dataset.seed,
        "seed of a crafted set, or of the random subset of a file"
    ),
    row!(
        "dataset.size",
        Accepted::Integer { min: 0, max: 256 },
        dataset.size,
        "side of the square images; those of files are resized to it, 0 leaves them as they are; folder images are centre-cropped to squares"
    ),
    row!(
        "dataset.slots",
        Accepted::Integer { min: 2, max: 3 },
        dataset.slots,
        "glyph positions per side of the image: 2 or 3"
    ),
    row!(
        "dataset.glyph",
        Accepted::Integer { min: 3, max: 7 },
        dataset.glyph,
        "side of a glyph in pixels"
    ),
    row!(
        "dataset.gap",
        Accepted::Integer { min: 0, max: 64 },
        dataset.gap,
        "minimum gap between glyphs in pixels; use at least twice the receptive field's radius"
    ),
    row!(
        "dataset.shapes",
        Accepted::Integer { min: 1, max: 12 },
        dataset.shapes,
        "number of glyph shapes"
    ),
    row!(
        "dataset.hues",
        Accepted::Integer { min: 1, max: 6 },
        dataset.hues,
        "number of hues of glyphs or textures"
    ),
    row!(
        "dataset.shift",
        Accepted::Boolean,
        dataset.shift,
        "shift each drawn image by a random circular translation"
    ),
    row!(
        "dataset.period",
        Accepted::Integer { min: 2, max: 64 },
        dataset.period,
        "kind stripes: pixels from stripe to stripe; even, and a divisor of dataset.size"
    ),
    row!(
        "dataset.patterns",
        Accepted::Integer { min: 1, max: 5 },
        dataset.patterns,
        "kind stripes: how many patterns to draw from"
    ),
    row!(
        "network.architecture",
        Accepted::Choice(ArchitectureKind::VARIANTS),
        network.architecture,
        "convolutional network: one residual layer per kernel, or one resolution per width"
    )
    .deciding_weights(),
    row!(
        "network.width",
        Accepted::Integer { min: 16, max: 4096 },
        network.width,
        "channels of the resnet"
    )
    .deciding_weights(),
    row!(
        "network.kernels",
        Accepted::OddIntegers { max: 63, may_be_empty: false },
        network.kernels,
        "kernel of each residual layer (odd); the sum of their radii, plus those of the first and last convolution, is the receptive radius"
    )
    .deciding_weights(),
    row!(
        "network.widths",
        Accepted::Integers { min: 1, max: 4096 },
        network.widths,
        "channels of the unet at each resolution"
    )
    .deciding_weights(),
    row!(
        "network.embedding",
        Accepted::Integer { min: 2, max: 8192 },
        network.embedding,
        "width of the unet's time embedding"
    )
    .deciding_weights(),
    row!(
        "network.padding",
        Accepted::Choice(Padding::VARIANTS),
        network.padding,
        "how convolutions continue images beyond the border; circular pairs with els, zeros with bbels"
    )
    .deciding_weights(),
    row!("network.group_norm", Accepted::Boolean, network.group_norm, "group normalisation")
    .deciding_weights(),
    row!(
        "network.last_kernel",
        Accepted::Odd { max: 3, or_zero: false },
        network.last_kernel,
        "kernel of the last convolution: 1 or 3"
    )
    .deciding_weights(),
    row!(
        "network.attention",
        Accepted::Choice(ATTENTION),
        network.attention,
        "final self-attention layer over all pixels: none, softmax, or an ablation"
    )
    .deciding_weights(),
    row!("network.heads", Accepted::Integer { min: 1, max: 64 }, network.heads, "attention heads")
    .deciding_weights(),
    row!(
        "network.head_width",
        Accepted::Integer { min: 1, max: 4096 },
        network.head_width,
        "channels per head of queries, keys and values"
    )
    .deciding_weights(),
    row!(
        "network.normalise",
        Accepted::Boolean,
        network.normalise,
        "normalise each pixel's features over channels before queries and keys"
    )
    .deciding_weights(),
    row!(
        "network.conditional",
        Accepted::Boolean,
        network.conditional,
        "condition the network on the class (needs classes: dataset.labels, cifar, or sub-folders)"
    )
    .deciding_weights(),
    row!(
        "network.output",
        Accepted::Choice(Output::VARIANTS),
        network.output,
        "prediction target: noise (Kamb & Ganguli), or velocity v, which trains much faster"
    )
    .deciding_weights(),
    row!(
        "network.time_scale",
        Accepted::Number { min: 1e-6, max: 1e6 },
        network.time_scale,
        "factor on t before its sines and cosines; 1 in Kamb & Ganguli's networks"
    )
    .deciding_weights(),
    row!(
        "network.clamp",
        Accepted::Boolean,
        network.clamp,
        "clamp the network's clean estimate to the pixel range when sampling"
    ),
    row!(
        "diffusion.schedule",
        Accepted::Choice(Schedule::VARIANTS),
        schedule,
        "noise schedule of training, sampling and theory"
    )
    .deciding_weights(),
    row!(
        "diffusion.sampling_steps",
        Accepted::Integer { min: 1, max: 1000 },
        sampling_steps,
        "DDIM steps of the network and of every machine"
    ),
    row!(
        "diffusion.noise_seed",
        SEED,
        noise_seed,
        "seed of the noise that previews and comparisons start from"
    ),
    row!("training.steps", COUNT, training.steps, "total number of optimiser updates")
    .deciding_weights(),
    row!(
        "training.batch",
        Accepted::Integer { min: 1, max: 65_536 },
        training.batch,
        "images per update"
    )
    .deciding_weights(),
    row!(
        "training.accumulate",
        Accepted::Integer { min: 1, max: 65_536 },
        training.accumulate,
        "micro-batches per batch (gradient accumulation), to save memory; divides training.batch"
    )
    .deciding_weights(),
    row!(
        "training.compute_type",
        Accepted::Choice(ComputeType::VARIANTS),
        training.compute_type,
        "GPU compute precision; the CPU always uses f32. tf32: 11-bit mantissas; bf16: hidden layers are stored in \
         bfloat16, which halves their memory"
    ),
    row!(
        "training.seed",
        SEED,
        training.seed,
        "seed of weights, data order, noise and noise levels"
    )
    .deciding_weights(),
    row!("training.learning_rate", POSITIVE, training.learning_rate, "peak learning rate")
    .deciding_weights(),
    row!(
        "training.warmup",
        WHOLE,
        training.warmup,
        "updates over which the learning rate rises linearly from 0"
    )
    .deciding_weights(),
    row!(
        "training.lr_hold_steps",
        WHOLE,
        training.lr_hold_steps,
        "updates at the peak learning rate after warm-up, before training.lr_schedule begins"
    )
    .deciding_weights(),
    row!(
        "training.lr_schedule",
        Accepted::Choice(LrSchedule::VARIANTS),
        training.lr_schedule,
        "learning rate after warm-up and training.lr_hold_steps"
    )
    .deciding_weights(),
    row!(
        "training.final_factor",
        Accepted::Number { min: 1e-9, max: 1.0 },
        training.final_factor,
        "lr_schedule exponential: learning rate at the last step, as a fraction of the peak"
    )
    .deciding_weights(),
    row!(
        "training.weighting",
        Accepted::Choice(LossWeighting::VARIANTS),
        training.weighting,
        "loss weight of each noise level: noise weights the noise's error equally; velocity weights it as the velocity's error, \
         which counts high noise more, where the image as a whole is decided"
    )
    .deciding_weights(),
    row!(
        "training.weighting_limit",
        Accepted::Number { min: 1.0, max: f64::INFINITY },
        training.weighting_limit,
        "weighting velocity: largest weight of a noise level"
    )
    .deciding_weights(),
    row!(
        "training.weight_decay",
        POSITIVE,
        training.weight_decay,
        "AdamW's decoupled weight decay"
    )
    .deciding_weights(),
    row!(
        "training.clip_norm",
        POSITIVE,
        training.clip_norm,
        "gradients are scaled down to this norm; inf disables clipping"
    )
    .deciding_weights(),
    row!(
        "training.ema_decay",
        Accepted::Number { min: 0.0, max: 0.999_999 },
        training.ema_decay,
        "EMA decay of the weights; samples use the averaged weights"
    )
    .deciding_weights(),
    row!(
        "training.checkpoint_every",
        COUNT,
        training.checkpoint_every,
        "updates between checkpoints"
    ),
    row!(
        "training.keep_checkpoints",
        COUNT,
        training.keep_checkpoints,
        "newest complete checkpoints that are kept"
    ),
    row!(
        "training.keep_every",
        WHOLE,
        training.keep_every,
        "checkpoints at multiples of this are kept as well; 0: none"
    ),
    row!(
        "training.rollback_after",
        COUNT,
        training.rollback_after,
        "consecutive non-finite losses before training returns to the last checkpoint"
    ),
    row!(
        "training.patience",
        WHOLE,
        training.patience,
        "stop early if the mean loss falls by less than a thousandth over this many updates; 0: never"
    ),
    row!(
        "training.minutes",
        POSITIVE,
        training.minutes,
        "minutes of training, over all resumes, after which it ends early; 0: no limit"
    ),
    row!(
        "theory.machines",
        Accepted::Words(MachineName::VARIANTS),
        theory.machines,
        "score machines to compare with; attention-* is our derivation, one per source of its attention"
    ),
    row!(
        "theory.patch_size",
        Accepted::Odd { max: 511, or_zero: true },
        theory.patch_size,
        "patch side (odd) of local machines; 0 takes the network's receptive field"
    ),
    row!(
        "theory.scales",
        Accepted::OddIntegers { max: 511, may_be_empty: true },
        theory.scales,
        "patch side per sampling step, first for the cleanest; empty: theory.patch_size throughout"
    ),
    row!(
        "theory.lambda",
        POSITIVE,
        theory.lambda,
        "attention machine: weight of the attended patches' evidence for a training image"
    ),
    row!(
        "theory.gamma",
        SHARE,
        theory.gamma,
        "attention machine: share of the estimate that is an attention-weighted mean"
    ),
    row!(
        "theory.tau",
        Accepted::Number { min: 1e-6, max: f64::INFINITY },
        theory.tau,
        "temperature of attention-similarity"
    ),
    row!(
        "theory.mask_threshold",
        Accepted::Number { min: 1e-6, max: 1.0 },
        theory.mask_threshold,
        "ls-wiener: masks keep filter weights of at least this fraction of the largest"
    ),
    row!(
        "preview.every",
        Accepted::Integer { min: 0, max: i64::MAX },
        preview.every,
        "updates between previews; 0: only on demand"
    ),
    row!(
        "preview.seeds",
        Accepted::Integer { min: 1, max: NoiseSeeds::PREVIEW_MAX as i64 },
        preview.seeds,
        "noise seeds of a preview"
    ),
    row!(
        "compare.samples",
        Accepted::Integer { min: 1, max: NoiseSeeds::HELD_OUT_MAX as i64 },
        compare.samples,
        "judged samples of the network in the final comparison (crafted sets); at least compare.seeds"
    ),
    row!(
        "compare.seeds",
        Accepted::Integer { min: 1, max: NoiseSeeds::HELD_OUT_MAX as i64 },
        compare.seeds,
        "held-out noise seeds on which machines are compared with the network"
    ),
    row!(
        "calibrate.seeds",
        Accepted::Integer { min: 0, max: NoiseSeeds::CALIBRATION_MAX as i64 },
        calibrate.seeds,
        "noise seeds on which machines are fitted to the network once it is trained; 0: use theory.* as they are"
    ),
    row!(
        "calibrate.k",
        Accepted::OddIntegers { max: 511, may_be_empty: true },
        calibrate.k,
        "candidate patch sides; empty: odd sides from 3 to the larger of theory.patch_size and the receptive field"
    ),
    row!(
        "calibrate.lambda",
        Accepted::Numbers { min: 0.0, max: 1e6 },
        calibrate.lambda,
        "attention machine: candidate lambdas"
    ),
    row!(
        "calibrate.gamma",
        Accepted::Numbers { min: 0.0, max: 1.0 },
        calibrate.gamma,
        "attention machine: candidate gammas"
    ),
    row!(
        "calibrate.tau",
        Accepted::Numbers { min: 1e-6, max: 1e6 },
        calibrate.tau,
        "attention-similarity: candidate temperatures"
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_unique_and_every_default_is_accepted() {
        let experiment = Experiment::default();
        for (index, setting) in SETTINGS.iter().enumerate() {
            assert!(
                SETTINGS[..index].iter().all(|other| other.key != setting.key),
                "{}",
                setting.key
            );
            let default = (setting.get)(&experiment);
            assert_eq!(setting.accepted.admit(default.clone()), Some(default), "{}", setting.key);
        }
    }
}
