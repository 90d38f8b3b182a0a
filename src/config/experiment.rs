//! The settings of one experiment, as people write them.
//!
//! These are the raw choices; [`super::resolve`] turns them into the domain types that the worker
//! builds from. Every change goes through [`Experiment::set`], so that a value that the settings
//! table refuses can never be in here.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::theory::masked::DEFAULT_THRESHOLD;
use crate::training::config::{ComputeType, LossWeighting, RateDecay, TrainingConfig};

/// One experiment: a data set, a network, its training, and the theory it is compared with.
#[derive(Clone, Debug, PartialEq)]
pub struct Experiment {
    pub name: String,
    /// One line for lists.
    pub description: String,
    pub dataset: DatasetSettings,
    pub network: NetworkSettings,
    /// `cosine` is the only schedule so far.
    pub schedule: String,
    /// DDIM steps of network and machines alike.
    pub sampling_steps: usize,
    /// Seed of the noise seeds that previews and comparisons start from; kept apart from
    /// `training.seed`, so that two training seeds can be compared on the same noise.
    pub noise_seed: u64,
    pub training: TrainingConfig,
    /// The factor of `training.decay = "exponential"`, kept here while another decay is chosen.
    pub final_factor: f64,
    /// The limit of `training.weighting = "velocity"`, kept here while another one is chosen.
    pub weighting_limit: f64,
    pub theory: TheorySettings,
    pub preview: PreviewSettings,
    pub compare: CompareSettings,
    pub calibrate: CalibrateSettings,
    /// Where relative paths start: the directory of `lab.toml`.
    pub root: PathBuf,
    /// The file this was read from, and the line of each key set there, for later complaints.
    pub origin: PathBuf,
    pub lines: BTreeMap<&'static str, usize>,
}

/// `dataset.*`
#[derive(Clone, Debug, PartialEq)]
pub struct DatasetSettings {
    /// `glyphs`, `mirror`, `stripes`, `idx`, `cifar` or `folder`.
    pub kind: String,
    /// What images are read from, empty for crafted sets.
    pub path: String,
    /// IDX label file, may be empty.
    pub labels: String,
    /// Crafted: how many images to make. Read: how many to use, 0 for all.
    pub n: usize,
    pub seed: u64,
    /// Side of the (square) images; images that are read are resized to it, 0 leaves files alone.
    pub size: usize,
    /// Places for glyphs per side, 2 or 3.
    pub slots: usize,
    /// Side of a glyph.
    pub glyph: usize,
    /// Free pixels between glyphs, at least.
    pub gap: usize,
    /// How many shapes and hues to draw from.
    pub shapes: usize,
    pub hues: usize,
    /// Shift each image by a random circular translation.
    pub shift: bool,
    /// Stripes: pixels from stripe to stripe.
    pub period: usize,
    /// Stripes: how many patterns to draw from.
    pub patterns: usize,
}

impl DatasetSettings {
    /// Whether images come from files; others are drawn.
    pub fn is_read(&self) -> bool {
        matches!(self.kind.as_str(), "idx" | "cifar" | "folder")
    }
}

/// `network.*`
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkSettings {
    /// `resnet` or `unet`.
    pub body: String,
    pub width: usize,
    pub kernels: Vec<usize>,
    pub widths: Vec<usize>,
    pub embedding: usize,
    /// `circular` or `zeros`.
    pub padding: String,
    pub group_norm: bool,
    pub last_kernel: usize,
    /// `none`, `softmax`, `top1`, `uniform` or `identity`.
    pub attention: String,
    pub heads: usize,
    pub head_width: usize,
    pub normalise: bool,
    pub conditional: bool,
    /// `noise` or `velocity`: what the last convolution's output stands for.
    pub output: String,
    pub time_scale: f64,
    /// Hold `x0hat` to the pixel range when sampling.
    pub clamp: bool,
}

/// `theory.*`
#[derive(Clone, Debug, PartialEq)]
pub struct TheorySettings {
    pub machines: Vec<String>,
    /// Patch side; 0 takes the network's receptive field.
    pub k: usize,
    /// Patch side per sampling step; empty means `k` throughout.
    pub scales: Vec<usize>,
    pub lambda: f64,
    pub gamma: f64,
    pub tau: f64,
    /// Threshold of the masks of `ls-wiener`.
    pub mask: f64,
}

/// `preview.*`
#[derive(Clone, Debug, PartialEq)]
pub struct PreviewSettings {
    /// Training steps between previews; 0 for none but on demand.
    pub every: usize,
    pub seeds: usize,
}

/// `compare.*`
#[derive(Clone, Debug, PartialEq)]
pub struct CompareSettings {
    /// Samples of the network that are judged, on crafted sets.
    pub samples: usize,
    /// Held-out noise seeds of the final comparison.
    pub seeds: usize,
}

/// The settings that compete when a machine is calibrated: every combination that it takes.
#[derive(Clone, Debug, PartialEq)]
pub struct CalibrationGrid {
    /// Patch sides in pixels, odd.
    pub k: Vec<usize>,
    pub lambda: Vec<f64>,
    pub gamma: Vec<f64>,
    pub tau: Vec<f64>,
}

/// `calibrate.*`
#[derive(Clone, Debug, PartialEq)]
pub struct CalibrateSettings {
    /// 0: no calibration.
    pub seeds: usize,
    /// Patch sides that compete; empty: odd ones up to the receptive field.
    pub k: Vec<usize>,
    pub lambda: Vec<f64>,
    pub gamma: Vec<f64>,
    pub tau: Vec<f64>,
}

impl Experiment {
    /// An experiment with every setting at its default.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }
}

impl Default for Experiment {
    fn default() -> Self {
        Self {
            name: "unnamed".to_owned(),
            description: String::new(),
            dataset: DatasetSettings {
                kind: "glyphs".to_owned(),
                path: String::new(),
                labels: String::new(),
                n: 64,
                seed: 0,
                size: 18,
                slots: 2,
                glyph: 3,
                gap: 6,
                shapes: 4,
                hues: 4,
                shift: false,
                period: 4,
                patterns: 5,
            },
            network: NetworkSettings {
                body: "resnet".to_owned(),
                width: 64,
                kernels: vec![3, 3, 1, 1],
                widths: vec![32, 64],
                embedding: 128,
                padding: "circular".to_owned(),
                group_norm: false,
                last_kernel: 1,
                attention: "softmax".to_owned(),
                heads: 2,
                head_width: 16,
                normalise: true,
                conditional: false,
                output: "velocity".to_owned(),
                time_scale: 1000.0,
                clamp: true,
            },
            schedule: "cosine".to_owned(),
            sampling_steps: 20,
            noise_seed: 0,
            training: TrainingConfig {
                steps: 4000,
                batch: 16,
                seed: 0,
                rate: 4e-3,
                accumulate: 1,
                compute_type: ComputeType::Tf32,
                warmup: 300,
                hold: 0,
                decay: RateDecay::Cosine,
                weighting: LossWeighting::Velocity { limit: 10.0 },
                weight_decay: 0.0,
                clip_norm: 1.0,
                ema_decay: 0.998,
                checkpoint_every: 1000,
                keep_checkpoints: 2,
                keep_every: 0,
                rollback_after: 20,
                patience: 0,
                minutes: 0.0,
            },
            final_factor: 0.01,
            weighting_limit: 10.0,
            theory: TheorySettings {
                machines: [
                    "els",
                    "attention-trajectory",
                    "attention-similarity",
                    "attention-pooled",
                    "ideal",
                    "wiener",
                ]
                .map(str::to_owned)
                .to_vec(),
                k: 0,
                scales: Vec::new(),
                lambda: 5.0,
                gamma: 0.3,
                tau: 1.0,
                mask: DEFAULT_THRESHOLD,
            },
            preview: PreviewSettings { every: 1000, seeds: 4 },
            compare: CompareSettings { samples: 128, seeds: 32 },
            calibrate: CalibrateSettings {
                seeds: 16,
                k: Vec::new(),
                lambda: vec![0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0],
                gamma: vec![0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0],
                tau: vec![0.3, 1.0, 3.0, 10.0],
            },
            root: PathBuf::from("."),
            origin: PathBuf::from("lab.toml"),
            lines: BTreeMap::new(),
        }
    }
}
