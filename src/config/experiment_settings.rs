//! The settings of an experiment, each in one place: field, default, the values that it accepts, and the text that
//! explains it to users. Defaults of `training.*` are in [`TrainingConfig`].
//!
//! To add a setting, add a line to its section here (settings of training: also a field with its default in
//! [`TrainingConfig`]). Parsing, `--set`, `run.toml`, the edit form and `mosaic experiments` follow: [`super::find_setting`]
//! finds a setting by its key.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use strum::VariantNames;

use super::enum_settings::{
    ArchitectureKind, DatasetKind, DictionaryAugmentation, LargestSide, MachineName, WindowKind,
};
use super::error::SettingError;
use super::experiment_name::ExperimentName;
use super::noise_seed_purposes::NoiseSeeds;
use super::parse_and_check_value::Accepted;
use super::setting_definition::{COUNT, POSITIVE, SEED, SHARE, Setting, WHOLE, rows, section};
use crate::dataset::Half;
use crate::dataset::array_layout::ArrayLayout;
use crate::dataset::fit_to_square::{Crop, Resample};
use crate::dataset::value_range::ValueRange;
use crate::diffusion::Schedule;
use crate::image::Augmentation;
use crate::network::network_config::{AttentionVariant, Output, Padding, Readout};
use crate::theory::ls_wiener::DEFAULT_THRESHOLD;
use crate::theory::machine_names::{
    DEFAULT_ATTENTION, DEFAULT_SMOOTHING, DEFAULT_SUBSET, DEFAULT_TAU,
};
use crate::theory::patch_window::DEFAULT_WINDOW_WIDTH;
use crate::training::training_config::{
    ComputeType, LossWeighting, LrSchedule, OptimizerKind, TrainingConfig,
};

/// One experiment: a data set, a network, its training, and the theory it is compared with.
#[derive(Clone, Debug, PartialEq)]
pub struct Experiment {
    pub name: ExperimentName,
    /// One-line description for lists.
    pub description: Box<str>,
    pub dataset: DatasetSettings,
    pub network: NetworkSettings,
    /// Noise schedule of training, sampling and theory.
    pub schedule: Schedule,
    /// Number of DDIM steps, for network and machines alike.
    pub sampling_steps: usize,
    /// Rng seed of the noise seeds that previews and comparisons start from; independent of `training.seed`, so
    /// that networks of two training seeds can be compared on the same noise.
    pub noise_seed: u64,
    pub training: TrainingConfig,
    pub theory: TheorySettings,
    pub preview: PreviewSettings,
    pub compare: CompareSettings,
    pub calibrate: CalibrateSettings,
    /// Base of relative paths: the directory of `lab.toml`.
    pub root: PathBuf,
    /// The file that this was read from and the line of each key in it, for error messages.
    pub origin: PathBuf,
    pub lines: BTreeMap<&'static str, usize>,
}

section! {
    /// Settings `dataset.*`.
    DatasetSettings: Experiment, "dataset", [dataset];

    /// generated (glyphs: one hue; mirror: left decides right; stripes: one texture) or read (idx: MNIST's format;
    /// cifar: binary version; folder: PNG, JPEG and WebP, sub-folders are classes; arrays: .npz, .npy or .safetensors;
    /// parquet: tables of images)
    kind: DatasetKind = DatasetKind::Glyphs, Accepted::Choice(DatasetKind::VARIANTS);
    /// idx: image file (.gz or not); cifar: directory, archive or file; folder: the folder; arrays: the file; parquet:
    /// file or directory; relative to lab.toml
    path: Option<PathBuf> = None, Accepted::Text;
    /// idx, arrays: file of labels, or empty
    labels: Option<PathBuf> = None, Accepted::Text;
    /// arrays: name of the array of images; parquet: of their column; empty: recognised
    array: Option<Box<str>> = None, Accepted::Text;
    /// arrays: name of the array of labels; parquet: of their column; empty: recognised; none: no labels
    label_array: Option<Box<str>> = None, Accepted::Text;
    /// arrays: order of the axes, nhw, nchw or nhwc (count, channels, height, width)
    array_layout: ArrayLayout = ArrayLayout::Auto, Accepted::Choice(ArrayLayout::VARIANTS);
    /// arrays: the values of black and white
    value_range: ValueRange = ValueRange::Auto, Accepted::Choice(ValueRange::VARIANTS);
    /// folder: sub-folder to read, above the class folders (train, val, ...); parquet: beginning of the names of files;
    /// empty: all
    split: Option<Box<str>> = None, Accepted::Text;
    /// number of training images; 0 takes all that can be read
    n: Option<NonZeroUsize> = NonZeroUsize::new(64), Accepted::Integer { min: 0, max: 10_000_000 };
    /// seed of a crafted set, or of the random subset of a file
    seed: u64 = 0, SEED;
    /// all, or one of two disjoint halves of dataset.n images each (n = 0: half of everything each): for two networks that see
    /// no image in common
    half: Half = Half::All, Accepted::Choice(Half::VARIANTS);
    /// side of the square images; those of files are resized to it, 0 leaves them as they are
    size: Option<NonZeroUsize> = NonZeroUsize::new(18), Accepted::Integer { min: 0, max: 256 };
    /// folder, arrays, parquet: images that are not square are cropped to the square in the middle (centre) or squeezed
    /// (none)
    crop: Crop = Crop::Centre, Accepted::Choice(Crop::VARIANTS);
    /// folder, arrays, parquet: how images are resized; antialiased and bilinear interpolate linearly, but only the first
    /// averages when images shrink
    resize: Resample = Resample::Antialiased, Accepted::Choice(Resample::VARIANTS);
    /// glyph positions per side of the image: 2 or 3
    slots: usize = 2, Accepted::Integer { min: 2, max: 3 };
    /// side of a glyph in pixels
    glyph: usize = 3, Accepted::Integer { min: 2, max: 7 };
    /// minimum gap between glyphs in pixels; use at least twice the receptive field's radius
    gap: usize = 6, Accepted::Integer { min: 0, max: 64 };
    /// number of glyph shapes; of glyphs of 2x2 pixels there are three (mirror: two)
    shapes: usize = 4, Accepted::Integer { min: 1, max: 12 };
    /// number of hues of glyphs or textures
    hues: usize = 4, Accepted::Integer { min: 1, max: 6 };
    /// shift each drawn image by a random circular translation
    shift: bool = false, Accepted::Boolean;
    /// kind stripes: pixels from stripe to stripe; even, and a divisor of dataset.size
    period: usize = 4, Accepted::Integer { min: 2, max: 64 };
    /// kind stripes: how many patterns to draw from
    patterns: usize = 5, Accepted::Integer { min: 1, max: 5 };
}

/// `none`, or one of the words of [`AttentionVariant`].
const ATTENTION: &[&str] = &["none", "softmax", "top1", "uniform", "identity"];

section! {
    /// Settings `network.*`.
    NetworkSettings: Experiment, "network", [network];

    /// convolutional network: one residual layer per kernel, or one resolution per width
    architecture: ArchitectureKind = ArchitectureKind::ResNet,
        Accepted::Choice(ArchitectureKind::VARIANTS);
    /// channels of the resnet
    width: usize = 64, Accepted::Integer { min: 16, max: 4096 };
    /// kernel of each residual layer (odd); the sum of their radii, plus those of the first and last convolution, is
    /// the receptive radius
    kernels: Vec<usize> = vec![3, 3, 1, 1], Accepted::OddIntegers { max: 63, may_be_empty: false };
    /// channels of the unet at each resolution
    widths: Vec<usize> = vec![32, 64], Accepted::Integers { min: 1, max: 4096 };
    /// width of the unet's time embedding
    embedding: usize = 128, Accepted::Integer { min: 2, max: 8192 };
    /// how convolutions continue images beyond the border; circular pairs with els, zeros with bbels
    padding: Padding = Padding::Circular, Accepted::Choice(Padding::VARIANTS);
    /// group normalisation
    group_norm: bool = false, Accepted::Boolean;
    /// kernel of the last convolution: 1 or 3
    last_kernel: usize = 1, Accepted::Odd { max: 3, or_zero: false };
    /// before the last convolution: linear, nothing; relu, a convolution of 1x1 with a ReLU, so that the estimate is no
    /// longer linear in what attention brings
    readout: Readout = Readout::Linear, Accepted::Choice(Readout::VARIANTS);
    /// final self-attention layer over all pixels: none, softmax, or an ablation
    attention: Option<AttentionVariant> = Some(AttentionVariant::Softmax),
        Accepted::Choice(ATTENTION);
    /// attention heads
    heads: usize = 2, Accepted::Integer { min: 1, max: 64 };
    /// channels per head of queries, keys and values
    head_width: usize = 16, Accepted::Integer { min: 1, max: 4096 };
    /// normalise each pixel's features over channels before queries and keys
    normalise: bool = true, Accepted::Boolean;
    /// condition the network on the class (needs classes: dataset.labels, cifar, or sub-folders)
    conditional: bool = false, Accepted::Boolean;
    /// prediction target: noise (Kamb & Ganguli), or velocity v, which trains much faster
    output: Output = Output::Velocity, Accepted::Choice(Output::VARIANTS);
    /// factor on t before its sines and cosines; 1 in Kamb & Ganguli's networks
    time_scale: f64 = 1000.0, Accepted::Number { min: 1e-6, max: 1e6 };
    /// clamp the network's clean estimate to the pixel range when sampling
    clamp: bool = true, Accepted::Boolean;
}

/// Rows `diffusion.*`.
pub(super) const DIFFUSION: &[Setting<Experiment>] = rows! {
    Experiment, "diffusion", [];

    /// noise schedule of training, sampling and theory
    schedule, Accepted::Choice(Schedule::VARIANTS);
    /// DDIM steps of the network and of every machine
    sampling_steps, Accepted::Integer { min: 1, max: 1000 };
    /// seed of the noise that previews and comparisons start from
    noise_seed, SEED;
};

/// Rows `training.*`; the defaults are in [`TrainingConfig`].
pub(super) const TRAINING: &[Setting<Experiment>] = rows! {
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
    /// mirrored and turned copies of images: each image drawn is, with equal probability, itself or mirrored left to right
    /// (flip), or under any symmetry of the square (dihedral; square images only)
    augment, Accepted::Choice(Augmentation::VARIANTS);
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

section! {
    /// Settings `theory.*`; their defaults are also those of `mosaic denoise` and `mosaic theory`.
    TheorySettings: Experiment, "theory", [theory];

    /// score machines to compare with; attention-* is our derivation, one per source of its attention
    machines: Vec<MachineName> = {
        use MachineName::*;
        // `es` and the circulant filter know as little about places as a network with circular padding; `ideal` and
        // `wiener` know the place of each pixel.
        vec![
            Els,
            Es,
            WienerCirculant,
            AttentionTrajectory,
            AttentionSimilarity,
            AttentionPooled,
            Ideal,
            Wiener,
        ]
    }, Accepted::Words(MachineName::VARIANTS);
    /// patch side (odd) of local machines; 0 takes the network's receptive field
    patch_size: Option<NonZeroUsize> = None, Accepted::Odd { max: 511, or_zero: true };
    /// patch side per sampling step, first for the cleanest; empty: theory.patch_size throughout
    scales: Vec<usize> = Vec::new(), Accepted::OddIntegers { max: 511, may_be_empty: true };
    /// how much the pixels of a patch count in ls, els, els-interior, bbels and attention-*, but for attention-optimal: square,
    /// all alike; gaussian, less with the distance from the centre (arXiv 2605.24192 has soft windows; on the CPU only)
    window: WindowKind = WindowKind::Square, Accepted::Choice(WindowKind::VARIANTS);
    /// window gaussian: its standard deviation in patch sides; it is cut off at the border of the patch
    window_width: f64 = DEFAULT_WINDOW_WIDTH, Accepted::Number { min: 0.01, max: 1e6 };
    /// mirrored (flip) and turned (dihedral; square images only) copies of the training images in the dictionaries of all
    /// machines; auto: as training.augment. Twice or eight times the memory and time
    augment: DictionaryAugmentation = DictionaryAugmentation::Auto,
        Accepted::Choice(DictionaryAugmentation::VARIANTS);
    /// attention machine: weight of the attended patches' evidence for a training image
    lambda: f64 = DEFAULT_ATTENTION.lambda, POSITIVE;
    /// attention machine: share of the estimate that is an attention-weighted mean
    gamma: f64 = DEFAULT_ATTENTION.gamma, SHARE;
    /// temperature of attention-similarity
    tau: f64 = DEFAULT_TAU, Accepted::Number { min: 1e-6, max: f64::INFINITY };
    /// ls-wiener: masks keep filter weights of at least this fraction of the largest
    mask_threshold: f64 = DEFAULT_THRESHOLD, Accepted::Number { min: 1e-6, max: 1.0 };
    /// smoothed: amplitude of the noise on the copies over which ideal is averaged, in the units of the data; 0: ideal
    smoothing: f64 = DEFAULT_SMOOTHING.sigma, Accepted::Number { min: 0.0, max: 1e6 };
    /// smoothed: number of noised copies; time grows with it
    smoothing_samples: usize = DEFAULT_SMOOTHING.n_copies, Accepted::Integer { min: 1, max: 10_000 };
    /// subset (approximate): images that it compares with as noise vanishes, a share of all up to 1 or a number above 1
    subset: f64 = DEFAULT_SUBSET, Accepted::Number { min: 1e-6, max: 1e9 };
}

section! {
    /// Settings `preview.*`.
    PreviewSettings: Experiment, "preview", [preview];

    /// updates between previews; 0: only on demand
    every: Option<NonZeroUsize> = NonZeroUsize::new(1000), WHOLE;
    /// noise seeds of a preview
    seeds: usize = 4, Accepted::Integer { min: 1, max: NoiseSeeds::PREVIEW_MAX as i64 };
}

section! {
    /// Settings `compare.*`.
    CompareSettings: Experiment, "compare", [compare];

    /// judged samples of the network in the final comparison (crafted sets); at least compare.seeds
    samples: usize = 128, Accepted::Integer { min: 1, max: NoiseSeeds::HELD_OUT_MAX as i64 };
    /// held-out noise seeds on which machines are compared with the network
    seeds: usize = 32, Accepted::Integer { min: 1, max: NoiseSeeds::HELD_OUT_MAX as i64 };
    /// whether attention machines are also sampled without sharing and with wrong maps, as controls
    controls: bool = true, Accepted::Boolean;
    /// held-out noise seeds on which the network is also asked for its estimates at the states of every machine's
    /// trajectory; 0: none
    states: usize = 4, Accepted::Integer { min: 0, max: NoiseSeeds::HELD_OUT_MAX as i64 };
    /// noised images per noise level on which the network's error is compared with its floor (fewer for large data sets);
    /// 0: no floors
    floor_draws: usize = 512, Accepted::Integer { min: 0, max: 10_000 };
    /// samples at every checkpoint that is kept (training.keep_every), for the copies of training images among them by
    /// training step, and noised images per noise level for the errors beside them; 0: none
    checkpoint_samples: usize = 0, Accepted::Integer { min: 0, max: NoiseSeeds::HELD_OUT_MAX as i64 };
    /// held-out noise seeds on which attention is changed (other maps, uniform maps, scaled logits), network and theory are
    /// exchanged above a noise level, and stochastic branches are sampled; 0: none
    interventions: usize = 0, Accepted::Integer { min: 0, max: NoiseSeeds::HELD_OUT_MAX as i64 };
}

/// Candidate settings of a machine's calibration: every combination that applies to the machine.
#[derive(Clone, Debug, PartialEq)]
pub struct CalibrationGrid {
    /// Patch sides in pixels, odd.
    pub k: Vec<usize>,
    /// Patch sides of `els`, `bbels` and `ls`, which share nothing beyond a patch: up to a covering one for networks that
    /// see the whole image.
    pub k_without_sharing: Vec<usize>,
    pub lambda: Vec<f64>,
    pub gamma: Vec<f64>,
    pub tau: Vec<f64>,
}

section! {
    /// Settings `calibrate.*`.
    CalibrateSettings: Experiment, "calibrate", [calibrate];

    /// noise seeds on which machines are fitted to the network once it is trained; 0: use theory.* as they are
    seeds: Option<NonZeroUsize> = NonZeroUsize::new(16),
        Accepted::Integer { min: 0, max: NoiseSeeds::CALIBRATION_MAX as i64 };
    /// candidate patch sides; empty: odd sides from 3 to the larger of theory.patch_size and the receptive field
    k: Vec<usize> = Vec::new(), Accepted::OddIntegers { max: 511, may_be_empty: true };
    /// largest candidate side of els, bbels and ls if calibrate.k is empty: field, image (sides up to one that covers the
    /// image), or auto: field in a run's own report, image in compare and calibrate if the network has attention
    k_up_to: LargestSide = LargestSide::Auto, Accepted::Choice(LargestSide::VARIANTS);
    /// attention machine: candidate lambdas
    lambda: Vec<f64> = vec![0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0],
        Accepted::Numbers { min: 0.0, max: 1e6 };
    /// attention machine: candidate gammas
    gamma: Vec<f64> = vec![0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0],
        Accepted::Numbers { min: 0.0, max: 1.0 };
    /// attention-similarity: candidate temperatures
    tau: Vec<f64> = vec![0.3, 1.0, 3.0, 10.0], Accepted::Numbers { min: 1e-6, max: 1e6 };
}

impl Experiment {
    /// An experiment with this name and default settings.
    ///
    /// # Errors
    ///
    /// See [`ExperimentName::new`].
    pub fn named(name: &str) -> Result<Self, SettingError> {
        Ok(Self { name: ExperimentName::new(name)?, ..Self::default() })
    }
}

impl Default for Experiment {
    fn default() -> Self {
        Self {
            name: ExperimentName::like("unnamed"),
            description: "".into(),
            dataset: DatasetSettings::default(),
            network: NetworkSettings::default(),
            schedule: Schedule::default(),
            sampling_steps: 20,
            noise_seed: 0,
            training: TrainingConfig::default(),
            theory: TheorySettings::default(),
            preview: PreviewSettings::default(),
            compare: CompareSettings::default(),
            calibrate: CalibrateSettings::default(),
            root: PathBuf::from("."),
            origin: PathBuf::from("lab.toml"),
            lines: BTreeMap::new(),
        }
    }
}
