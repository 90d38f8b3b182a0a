//! The settings table: every key of an experiment, said once.
//!
//! To add a setting: a field in [`Experiment`] with its default, and one row here. Parsing, `--set`,
//! `run.toml`, the edit form and the docs follow.

use super::error::SettingError;
use super::experiment::Experiment;
use super::noise_seeds::CALIBRATION_SEEDS_MAX;
use super::value::{Accepted, Field, Value, nearest};
use crate::training::config::{ComputeType, LossWeighting, RateDecay};

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Section and name, e.g. `training.steps`.
    pub key: &'static str,
    pub doc: &'static str,
    pub accepted: Accepted,
    pub get: fn(&Experiment) -> Value,
    /// Only called with what `accepted` admitted.
    pub set: fn(&mut Experiment, &Value),
}

impl Setting {
    /// The error for a value that was not admitted; `found` in words, `word` to guess from.
    pub fn refusal(&self, found: &str, word: &str) -> SettingError {
        SettingError::Value {
            key: self.key.to_owned(),
            found: found.to_owned(),
            accepted: self.accepted.to_string(),
            nearest: self.accepted.nearest(word).map(str::to_owned),
        }
    }
}

/// The setting of a key, or the nearest right name.
pub fn find(key: &str) -> Result<&'static Setting, SettingError> {
    SETTINGS.iter().find(|setting| setting.key == key).ok_or_else(|| SettingError::Unknown {
        key: key.to_owned(),
        nearest: nearest(key, SETTINGS.iter().map(|setting| setting.key)).map(str::to_owned),
    })
}

/// A row for a field that holds the value itself.
macro_rules! row {
    ($key:literal, $accepted:expr, $($field:ident).+, $doc:literal) => {
        Setting {
            key: $key,
            doc: $doc,
            accepted: $accepted,
            get: |experiment| experiment.$($field).+.to_value(),
            set: |experiment, value| {
                if let Some(value) = Field::from_value(value) {
                    experiment.$($field).+ = value;
                }
            },
        }
    };
}

const WHOLE: Accepted = Accepted::Integer { min: 0, max: i64::MAX };
const COUNT: Accepted = Accepted::Integer { min: 1, max: i64::MAX };
const SEED: Accepted = Accepted::Integer { min: 0, max: i64::MAX };
const POSITIVE: Accepted = Accepted::Number { min: 0.0, max: f64::INFINITY };
const SHARE: Accepted = Accepted::Number { min: 0.0, max: 1.0 };

/// What `theory.machines` can list; the attention machine once per source of its attention.
pub const MACHINE_NAMES: &[&str] = &[
    "ideal",
    "es",
    "ls",
    "els",
    "els-interior",
    "bbels",
    "ls-wiener",
    "pspc",
    "wiener",
    "attention-trajectory",
    "attention-measured",
    "attention-uniform",
    "attention-identity",
    "attention-co-origin",
    "attention-similarity",
    "attention-pooled",
];

/// Every setting of an experiment, in the order in which it is shown.
pub static SETTINGS: &[Setting] = &[
    row!(
        "dataset.kind",
        Accepted::Choice(&["glyphs", "mirror", "stripes", "idx", "cifar", "folder"]),
        dataset.kind,
        "drawn (glyphs: one hue; mirror: left decides right; stripes: one texture) or read (idx: MNIST's format; cifar: binary version; folder: PNG and JPEG, sub-folders are classes)"
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
        "side of the square images; those of files are resized to it, 0 leaves them as they are; of a folder, squares of their middles"
    ),
    row!(
        "dataset.slots",
        Accepted::Integer { min: 2, max: 3 },
        dataset.slots,
        "places for glyphs per side of the image: 2 or 3"
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
        "free pixels between neighbouring glyphs, at least; twice the receptive field's radius is best"
    ),
    row!(
        "dataset.shapes",
        Accepted::Integer { min: 1, max: 12 },
        dataset.shapes,
        "how many shapes glyphs are drawn from"
    ),
    row!(
        "dataset.hues",
        Accepted::Integer { min: 1, max: 6 },
        dataset.hues,
        "how many hues glyphs or textures are drawn in"
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
        "network.body",
        Accepted::Choice(&["resnet", "unet"]),
        network.body,
        "convolutional body: one residual layer per kernel, or one resolution per width"
    ),
    row!(
        "network.width",
        Accepted::Integer { min: 16, max: 4096 },
        network.width,
        "channels of the resnet"
    ),
    row!(
        "network.kernels",
        Accepted::OddIntegers { max: 63, may_be_empty: false },
        network.kernels,
        "kernel of each residual layer (odd); the sum of their radii, plus those of the first and last convolution, is the receptive radius"
    ),
    row!(
        "network.widths",
        Accepted::Integers { min: 1, max: 4096 },
        network.widths,
        "channels of the unet at each resolution"
    ),
    row!(
        "network.embedding",
        Accepted::Integer { min: 2, max: 8192 },
        network.embedding,
        "width of the unet's time embedding"
    ),
    row!(
        "network.padding",
        Accepted::Choice(&["circular", "zeros"]),
        network.padding,
        "what convolutions see beyond the border; circular pairs with els, zeros with bbels"
    ),
    row!("network.group_norm", Accepted::Boolean, network.group_norm, "group normalisation"),
    row!(
        "network.last_kernel",
        Accepted::Odd { max: 3 },
        network.last_kernel,
        "kernel of the last convolution: 1 or 3"
    ),
    row!(
        "network.attention",
        Accepted::Choice(&["none", "softmax", "top1", "uniform", "identity"]),
        network.attention,
        "final self-attention layer over all pixels: none, softmax, or an ablation"
    ),
    row!("network.heads", Accepted::Integer { min: 1, max: 64 }, network.heads, "attention heads"),
    row!(
        "network.head_width",
        Accepted::Integer { min: 1, max: 4096 },
        network.head_width,
        "channels per head of queries, keys and values"
    ),
    row!(
        "network.normalise",
        Accepted::Boolean,
        network.normalise,
        "attention's queries and keys see each pixel's features normalised over channels"
    ),
    row!(
        "network.conditional",
        Accepted::Boolean,
        network.conditional,
        "tell the network the class (needs classes: dataset.labels, cifar, or sub-folders)"
    ),
    row!(
        "network.output",
        Accepted::Choice(&["noise", "velocity"]),
        network.output,
        "what the last convolution stands for: the noise (as Kamb & Ganguli), or v, from which the noise follows and which trains far faster"
    ),
    row!(
        "network.time_scale",
        Accepted::Number { min: 1e-6, max: 1e6 },
        network.time_scale,
        "factor on t before its sines and cosines; 1 in Kamb & Ganguli's networks"
    ),
    row!(
        "network.clamp",
        Accepted::Boolean,
        network.clamp,
        "hold the network's clean estimate to the pixel range when sampling"
    ),
    row!("diffusion.schedule", Accepted::Choice(&["cosine"]), schedule, "noise schedule"),
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
    row!("training.steps", COUNT, training.steps, "optimiser updates in all"),
    row!(
        "training.batch",
        Accepted::Integer { min: 1, max: 65_536 },
        training.batch,
        "images per update"
    ),
    row!(
        "training.accumulate",
        Accepted::Integer { min: 1, max: 65_536 },
        training.accumulate,
        "pieces that a batch is computed in, to need less memory; divides training.batch"
    ),
    Setting {
        key: "training.precision",
        doc: "what a GPU multiplies in; f32 is as exact as the CPU, tf32 rounds factors to 11 bits, bf16 keeps hidden layers \
              in 8 bits and half the memory",
        accepted: Accepted::Choice(&["tf32", "f32", "bf16"]),
        get: |experiment| Value::Text(experiment.training.compute_type.name().to_owned()),
        set: |experiment, value| {
            let Value::Text(name) = value else { return };
            let named =
                ComputeType::ALL.into_iter().find(|compute_type| compute_type.name() == name);
            experiment.training.compute_type = named.unwrap_or(experiment.training.compute_type);
        },
    },
    row!(
        "training.seed",
        SEED,
        training.seed,
        "seed of weights, data order, noise and noise levels"
    ),
    row!("training.rate", POSITIVE, training.rate, "peak learning rate"),
    row!("training.warmup", WHOLE, training.warmup, "updates over which the rate rises from 0"),
    row!("training.hold", WHOLE, training.hold, "updates at the peak rate before it decays"),
    Setting {
        key: "training.decay",
        doc: "learning rate after the warm-up and training.hold",
        accepted: Accepted::Choice(&["constant", "cosine", "exponential"]),
        get: |experiment| Value::Text(decay_name(experiment.training.decay).to_owned()),
        set: |experiment, value| {
            let Value::Text(name) = value else { return };
            experiment.training.decay = match name.as_str() {
                "constant" => RateDecay::Constant,
                "cosine" => RateDecay::Cosine,
                _ => RateDecay::Exponential { final_factor: experiment.final_factor },
            };
        },
    },
    Setting {
        key: "training.final_factor",
        doc: "what is left of the rate at the last step when decay is exponential",
        accepted: Accepted::Number { min: 1e-9, max: 1.0 },
        get: |experiment| Value::Number(experiment.final_factor),
        set: |experiment, value| {
            let Value::Number(factor) = value else { return };
            experiment.final_factor = *factor;
            if let RateDecay::Exponential { final_factor } = &mut experiment.training.decay {
                *final_factor = *factor;
            }
        },
    },
    Setting {
        key: "training.weighting",
        doc: "how much the noise's error counts at each noise level: equally, or as the velocity's error, which counts more where the image as a whole is decided",
        accepted: Accepted::Choice(&["noise", "velocity"]),
        get: |experiment| {
            Value::Text(
                match experiment.training.weighting {
                    LossWeighting::Noise => "noise",
                    LossWeighting::Velocity { .. } => "velocity",
                }
                .to_owned(),
            )
        },
        set: |experiment, value| {
            let Value::Text(name) = value else { return };
            experiment.training.weighting = match name.as_str() {
                "noise" => LossWeighting::Noise,
                _ => LossWeighting::Velocity { limit: experiment.weighting_limit },
            };
        },
    },
    Setting {
        key: "training.weighting_limit",
        doc: "largest weight of a noise level when weighting is velocity",
        accepted: Accepted::Number { min: 1.0, max: f64::INFINITY },
        get: |experiment| Value::Number(experiment.weighting_limit),
        set: |experiment, value| {
            let Value::Number(number) = value else { return };
            experiment.weighting_limit = *number;
            if let LossWeighting::Velocity { limit } = &mut experiment.training.weighting {
                *limit = *number;
            }
        },
    },
    row!(
        "training.weight_decay",
        POSITIVE,
        training.weight_decay,
        "AdamW's decoupled weight decay"
    ),
    row!(
        "training.clip_norm",
        POSITIVE,
        training.clip_norm,
        "gradients are scaled down to this norm; inf leaves them alone"
    ),
    row!(
        "training.ema_decay",
        Accepted::Number { min: 0.0, max: 0.999_999 },
        training.ema_decay,
        "decay of the moving average of weights that samples are made with"
    ),
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
        "updates in a row without a finite loss after which training goes back to the last checkpoint"
    ),
    row!(
        "training.patience",
        WHOLE,
        training.patience,
        "updates over which the mean loss must fall by a thousandth, or training ends early; 0: never"
    ),
    row!(
        "training.minutes",
        POSITIVE,
        training.minutes,
        "minutes of training, over all resumes, after which it ends early; 0: no limit"
    ),
    row!(
        "theory.machines",
        Accepted::Words(MACHINE_NAMES),
        theory.machines,
        "score machines to compare with; attention-* is our derivation, one per source of its attention"
    ),
    row!(
        "theory.k",
        Accepted::Integer { min: 0, max: 511 },
        theory.k,
        "patch side (odd) of local machines; 0 takes the network's receptive field"
    ),
    row!(
        "theory.scales",
        Accepted::OddIntegers { max: 511, may_be_empty: true },
        theory.scales,
        "patch side per sampling step, first for the cleanest; empty: theory.k throughout"
    ),
    row!(
        "theory.lambda",
        POSITIVE,
        theory.lambda,
        "attention machine: weight of attended patches' votes on the training image"
    ),
    row!(
        "theory.gamma",
        SHARE,
        theory.gamma,
        "attention machine: share of the estimate that is attention-mixed"
    ),
    row!(
        "theory.tau",
        Accepted::Number { min: 1e-6, max: f64::INFINITY },
        theory.tau,
        "temperature of attention-similarity"
    ),
    row!(
        "theory.mask",
        Accepted::Number { min: 1e-6, max: 1.0 },
        theory.mask,
        "ls-wiener: the least share of the largest filter weight that a mask lets through"
    ),
    row!(
        "preview.every",
        Accepted::Integer { min: 0, max: i64::MAX },
        preview.every,
        "updates between previews; 0: only on demand"
    ),
    row!(
        "preview.seeds",
        Accepted::Integer { min: 1, max: 64 },
        preview.seeds,
        "noise seeds of a preview"
    ),
    row!(
        "compare.samples",
        Accepted::Integer { min: 1, max: 9_000 },
        compare.samples,
        "samples of the network that are judged at the end (crafted sets); at least compare.seeds are"
    ),
    row!(
        "compare.seeds",
        Accepted::Integer { min: 1, max: 9_000 },
        compare.seeds,
        "held-out noise seeds on which machines are compared with the network"
    ),
    row!(
        "calibrate.seeds",
        Accepted::Integer { min: 0, max: CALIBRATION_SEEDS_MAX as i64 },
        calibrate.seeds,
        "noise seeds on which machines are fitted to the network once it is trained; 0: use theory.* as they are"
    ),
    row!(
        "calibrate.k",
        Accepted::OddIntegers { max: 511, may_be_empty: true },
        calibrate.k,
        "patch sides that compete; empty: odd sides from 3 to the larger of theory.k and the receptive field"
    ),
    row!(
        "calibrate.lambda",
        Accepted::Numbers { min: 0.0, max: 1e6 },
        calibrate.lambda,
        "attention machine: lambdas that compete"
    ),
    row!(
        "calibrate.gamma",
        Accepted::Numbers { min: 0.0, max: 1.0 },
        calibrate.gamma,
        "attention machine: gammas that compete"
    ),
    row!(
        "calibrate.tau",
        Accepted::Numbers { min: 1e-6, max: 1e6 },
        calibrate.tau,
        "attention-similarity: temperatures that compete"
    ),
];

fn decay_name(decay: RateDecay) -> &'static str {
    match decay {
        RateDecay::Constant => "constant",
        RateDecay::Cosine => "cosine",
        RateDecay::Exponential { .. } => "exponential",
    }
}

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
