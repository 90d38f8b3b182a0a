//! The typed settings of one experiment: an [`Experiment`] cannot hold a value that the settings table refuses.
//!
//! [`super::file`] and `set` parse text into an experiment by the table in [`super::settings`];
//! [`super::resolve`] turns it into what a worker builds (network, data set, machines).

use strum::{Display, EnumString, IntoStaticStr, VariantArray, VariantNames};

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::path::PathBuf;

use super::error::SettingError;
use super::value::Word;
use crate::diffusion::Schedule;
use crate::network::config::{AttentionVariant, Output, Padding};
use crate::theory::ls_wiener::DEFAULT_THRESHOLD;
use crate::theory::names::{DEFAULT_ATTENTION, DEFAULT_TAU};
use crate::training::config::TrainingConfig;

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

/// Name of an experiment: one or more letters, digits, `-` and `_`, since it names directories.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExperimentName(Box<str>);

impl ExperimentName {
    /// Validates a name.
    ///
    /// # Errors
    ///
    /// If the name is empty or contains another character.
    pub fn new(name: &str) -> Result<Self, SettingError> {
        if !name.is_empty() && name.chars().all(is_safe) {
            return Ok(Self(name.into()));
        }
        Err(SettingError::Value {
            key: name.to_owned(),
            found: format!("named '{name}'"),
            accepted: "named with letters, digits, '-' and '_' (it names directories)".to_owned(),
            nearest: None,
        })
    }

    /// Turns `text` into a valid name by replacing other characters with `_`.
    pub fn like(text: &str) -> Self {
        let safe = |c: char| if is_safe(c) { c } else { '_' };
        let name: String = text.chars().map(safe).collect();
        Self(if name.is_empty() { "_".into() } else { name.into() })
    }

    /// This name, a hyphen and `suffix`, with other characters replaced by `_`.
    pub fn with_suffix(&self, suffix: &str) -> Self {
        Self::like(&format!("{}-{}", self.0, suffix.replace('-', "_")))
    }
}

fn is_safe(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

impl Deref for ExperimentName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ExperimentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Values of `dataset.kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames, Display)]
#[strum(serialize_all = "lowercase")]
pub enum DatasetKind {
    Glyphs,
    Mirror,
    Stripes,
    Idx,
    Cifar,
    Folder,
}

/// Values of `network.architecture`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum ArchitectureKind {
    ResNet,
    UNet,
}

/// An entry of `theory.machines`: a score machine, and for the attention machine the source of its attention.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames, VariantArray,
)]
#[strum(serialize_all = "kebab-case")]
pub enum MachineName {
    Ideal,
    Es,
    Ls,
    Els,
    ElsInterior,
    Bbels,
    LsWiener,
    Pspc,
    Wiener,
    AttentionTrajectory,
    AttentionMeasured,
    AttentionUniform,
    AttentionIdentity,
    AttentionCoOrigin,
    AttentionSimilarity,
    AttentionPooled,
}

impl Word for DatasetKind {}
impl Word for ArchitectureKind {}
impl Word for MachineName {}

/// Settings `dataset.*`.
#[derive(Clone, Debug, PartialEq)]
pub struct DatasetSettings {
    pub kind: DatasetKind,
    /// Path of the images; crafted sets have none.
    pub path: Option<PathBuf>,
    /// IDX label file.
    pub labels: Option<PathBuf>,
    /// Number of images: to generate for crafted sets, to use for sets read from files (`None` means all).
    pub n: Option<NonZeroUsize>,
    /// Rng seed of a crafted set, or of the subset drawn from files.
    pub seed: u64,
    /// Side of the square images in pixels; images from files are resized to it, or keep their size if `None`.
    pub size: Option<NonZeroUsize>,
    /// Positions for glyphs per side, 2 or 3.
    pub slots: usize,
    /// Side of a glyph in pixels.
    pub glyph: usize,
    /// Minimum gap between glyphs in pixels.
    pub gap: usize,
    /// Number of shapes and hues to draw from.
    pub shapes: usize,
    pub hues: usize,
    /// Shift each image by a random circular translation.
    pub shift: bool,
    /// Stripes: period in pixels.
    pub period: usize,
    /// Stripes: number of patterns to draw from.
    pub patterns: usize,
}

impl DatasetSettings {
    /// True if images are read from files; false if they are generated.
    pub fn is_read(&self) -> bool {
        self.kind.is_read()
    }
}

/// Settings `network.*`.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkSettings {
    pub architecture: ArchitectureKind,
    pub width: usize,
    pub kernels: Vec<usize>,
    pub widths: Vec<usize>,
    pub embedding: usize,
    pub padding: Padding,
    pub group_norm: bool,
    pub last_kernel: usize,
    pub attention: Option<AttentionVariant>,
    pub heads: usize,
    pub head_width: usize,
    pub normalise: bool,
    pub conditional: bool,
    pub output: Output,
    pub time_scale: f64,
    /// Clamp `x0hat` to the pixel range when sampling.
    pub clamp: bool,
}

/// Settings `theory.*`.
#[derive(Clone, Debug, PartialEq)]
pub struct TheorySettings {
    pub machines: Vec<MachineName>,
    /// Patch side in pixels, odd; `None` means the network's receptive field.
    pub patch_size: Option<NonZeroUsize>,
    /// Patch side per sampling step; empty means `patch_size` throughout.
    pub scales: Vec<usize>,
    pub lambda: f64,
    pub gamma: f64,
    pub tau: f64,
    /// Mask threshold of `ls-wiener`.
    pub mask_threshold: f64,
}

/// Settings `preview.*`.
#[derive(Clone, Debug, PartialEq)]
pub struct PreviewSettings {
    /// Training steps between previews; `None` means only on demand.
    pub every: Option<NonZeroUsize>,
    pub seeds: usize,
}

/// Settings `compare.*`.
#[derive(Clone, Debug, PartialEq)]
pub struct CompareSettings {
    /// Number of the network's samples that are judged, on crafted sets.
    pub samples: usize,
    /// Number of held-out noise seeds in the final comparison.
    pub seeds: usize,
}

/// Candidate settings of a machine's calibration: every combination that applies to the machine.
#[derive(Clone, Debug, PartialEq)]
pub struct CalibrationGrid {
    /// Patch sides in pixels, odd.
    pub k: Vec<usize>,
    pub lambda: Vec<f64>,
    pub gamma: Vec<f64>,
    pub tau: Vec<f64>,
}

/// Settings `calibrate.*`.
#[derive(Clone, Debug, PartialEq)]
pub struct CalibrateSettings {
    /// Number of noise seeds; `None` means no calibration.
    pub seeds: Option<NonZeroUsize>,
    /// Candidate patch sides; empty means odd ones up to the receptive field.
    pub k: Vec<usize>,
    pub lambda: Vec<f64>,
    pub gamma: Vec<f64>,
    pub tau: Vec<f64>,
}

impl DatasetKind {
    /// True if images are read from files; false if they are generated.
    pub fn is_read(self) -> bool {
        matches!(self, Self::Idx | Self::Cifar | Self::Folder)
    }
}

impl Default for DatasetSettings {
    fn default() -> Self {
        Self {
            kind: DatasetKind::Glyphs,
            path: None,
            labels: None,
            n: NonZeroUsize::new(64),
            seed: 0,
            size: NonZeroUsize::new(18),
            slots: 2,
            glyph: 3,
            gap: 6,
            shapes: 4,
            hues: 4,
            shift: false,
            period: 4,
            patterns: 5,
        }
    }
}

impl Default for NetworkSettings {
    fn default() -> Self {
        Self {
            architecture: ArchitectureKind::ResNet,
            width: 64,
            kernels: vec![3, 3, 1, 1],
            widths: vec![32, 64],
            embedding: 128,
            padding: Padding::Circular,
            group_norm: false,
            last_kernel: 1,
            attention: Some(AttentionVariant::Softmax),
            heads: 2,
            head_width: 16,
            normalise: true,
            conditional: false,
            output: Output::Velocity,
            time_scale: 1000.0,
            clamp: true,
        }
    }
}

/// Also the defaults of `mosaic denoise` and `mosaic theory`.
impl Default for TheorySettings {
    fn default() -> Self {
        use MachineName::*;
        Self {
            machines: vec![
                Els,
                AttentionTrajectory,
                AttentionSimilarity,
                AttentionPooled,
                Ideal,
                Wiener,
            ],
            patch_size: None,
            scales: Vec::new(),
            lambda: DEFAULT_ATTENTION.lambda,
            gamma: DEFAULT_ATTENTION.gamma,
            tau: DEFAULT_TAU,
            mask_threshold: DEFAULT_THRESHOLD,
        }
    }
}

impl Default for CalibrateSettings {
    fn default() -> Self {
        Self {
            seeds: NonZeroUsize::new(16),
            k: Vec::new(),
            lambda: vec![0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0],
            gamma: vec![0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0],
            tau: vec![0.3, 1.0, 3.0, 10.0],
        }
    }
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
            name: ExperimentName("unnamed".into()),
            description: "".into(),
            dataset: DatasetSettings::default(),
            network: NetworkSettings::default(),
            schedule: Schedule::default(),
            sampling_steps: 20,
            noise_seed: 0,
            training: TrainingConfig::default(),
            theory: TheorySettings::default(),
            preview: PreviewSettings { every: NonZeroUsize::new(1000), seeds: 4 },
            compare: CompareSettings { samples: 128, seeds: 32 },
            calibrate: CalibrateSettings::default(),
            root: PathBuf::from("."),
            origin: PathBuf::from("lab.toml"),
            lines: BTreeMap::new(),
        }
    }
}
