//! The kind and settings of a machine, as plain data.

use super::attention_optimal::AttentionClass;
use super::patch_pools_ls_els_bbels::Pool;
use super::patch_window::PatchWindow;

/// A machine's kind and settings at every noise level.
#[derive(Clone, Debug, PartialEq)]
pub struct MachineSpec {
    pub kind: MachineKind,
    /// Patch side in pixels; ignored by machines that see whole images.
    pub k: PatchSize,
    /// How much each pixel of a patch counts; see [`MachineKind::takes_window`].
    pub window: PatchWindow,
}

impl MachineSpec {
    /// A machine with square windows.
    pub fn new(kind: MachineKind, k: PatchSize) -> Self {
        Self { kind, k, window: PatchWindow::Square }
    }

    /// The same machine with another window, if it takes one.
    pub fn with_window(mut self, window: PatchWindow) -> Self {
        if self.kind.takes_window() {
            self.window = window;
        }
        self
    }
}

/// The machines of docs/theory.md sections 2 and 4.
#[derive(Clone, Debug, PartialEq)]
pub enum MachineKind {
    /// `ideal`: whole images (IS).
    Ideal,
    /// `nearest`: the nearest training image; see [`super::nearest_image`].
    Nearest,
    /// `smoothed`: the mean of `ideal` over noised copies; see [`super::smoothed_ideal`].
    Smoothed(Smoothing),
    /// `subset`: an approximation of `ideal` by the nearest images; `size` is their number as noise vanishes, a share of all
    /// if at most 1. See [`super::subset_of_images`].
    Subset { size: f64 },
    /// `es`: whole images at every circular shift (ES).
    EquivariantIdeal,
    /// `ls` for zero padding: patches at the same place, cut at the border.
    Local,
    /// `ls` for circular padding: patches at the same place, wrapped around.
    LocalWrapped,
    /// `els`: patches anywhere; all H*W wrap-around patches of each image.
    EquivariantLocal,
    /// `els-interior`: patches anywhere; only those wholly inside an image.
    EquivariantLocalInterior,
    /// `bbels`: patches with the same overlap with the border.
    BoundaryBroken,
    /// `ls-wiener`: images seen through masks of the Wiener filter; see [`super::ls_wiener`].
    Masked { threshold: f64 },
    /// `pspc`: overlapping patches at the same place, averaged; see [`super::pspc`].
    Composite,
    /// `wiener`: a Gaussian with the mean and covariance of the data.
    Wiener,
    /// `wiener-circulant`: the same with every circular shift of the images; see [`super::wiener_circulant`].
    WienerCirculant,
    /// `attention`: image evidence of these patches shared along attention (our derivation).
    Attention { pool: Pool, settings: Scheduled<AttentionSettings> },
    /// `attention-optimal`: the best member of a class of networks with attention; see [`super::attention_optimal`].
    OptimalAttention(AttentionClass),
}

/// Settings of the machine `smoothed`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Smoothing {
    /// Amplitude of the copies' noise in the units of the data, at least 0.
    pub sigma: f64,
    /// Number of noised copies, at least 1.
    pub n_copies: usize,
}

/// Settings of the attention machine at one noise level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionSettings {
    /// Weight of the votes of attended patches on which training image a patch comes from.
    pub lambda: f64,
    /// Share of the estimate that is an attention-weighted sum of estimates, in [0, 1].
    pub gamma: f64,
    pub source: AttentionSource,
}

/// Where the attention weights of the attention machine come from.
#[derive(Clone, Copy, Debug, PartialEq, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum AttentionSource {
    /// The network's maps along its own trajectory from the same noise seed.
    Trajectory,
    /// The network's maps at the machine's own state.
    Measured,
    /// Every pixel attends to all alike.
    Uniform,
    /// Every pixel attends to itself.
    Identity,
    /// The chance that both patches come from one training image.
    CoOrigin,
    /// Softmax of `-||z(p) - z(r)||^2 / tau` over clean estimates z.
    Similarity { tau: f64 },
    /// Uniform, with the likelihood of the pooled estimate in place of votes; see [`super::pooled_attention_source`].
    Pooled,
}

/// A setting that may change with the noise level.
#[derive(Clone, Debug, PartialEq)]
pub enum Scheduled<T> {
    Fixed(T),
    /// Entry `i - 1` at times above `(i - 1) / T` up to `i / T`, with T the number of entries. Step i of a sampler with T steps lies
    /// there, whatever its schedule.
    PerStep(Vec<T>),
}

/// More than `i / T * T - i` in floating point.
const ROUNDING: f64 = 1e-9;

/// Patch side per sampling step.
pub type PatchSize = Scheduled<usize>;

impl<T> Scheduled<T> {
    /// The setting at time `t` in [0, 1].
    ///
    /// # Panics
    ///
    /// If the schedule is empty, which no machine accepts.
    pub fn at(&self, t: f64) -> &T {
        match self {
            Self::Fixed(value) => value,
            Self::PerStep(values) => {
                let step = (t * values.len() as f64 - ROUNDING).ceil() as usize;
                &values[step.clamp(1, values.len()) - 1]
            }
        }
    }

    /// All settings.
    pub fn all(&self) -> &[T] {
        match self {
            Self::Fixed(value) => std::slice::from_ref(value),
            Self::PerStep(values) => values,
        }
    }

    /// The schedule of `change` of each setting.
    pub fn map<U>(&self, change: impl FnMut(&T) -> U) -> Scheduled<U> {
        match self {
            Self::Fixed(value) => Scheduled::Fixed({ change }(value)),
            Self::PerStep(values) => Scheduled::PerStep(values.iter().map(change).collect()),
        }
    }
}

impl MachineKind {
    /// The patches that the machine compares with; none for machines that are not sums over patches.
    pub fn pool(&self) -> Option<Pool> {
        match self {
            Self::Local => Some(Pool::SamePlace),
            Self::LocalWrapped => Some(Pool::SamePlaceWrapped),
            Self::EquivariantLocal => Some(Pool::Wrap),
            Self::EquivariantLocalInterior => Some(Pool::Interior),
            Self::BoundaryBroken => Some(Pool::SameBorder),
            Self::Attention { pool, .. } => Some(*pool),
            Self::OptimalAttention(class) => Some(class.pool),
            Self::Ideal
            | Self::Nearest
            | Self::Smoothed(_)
            | Self::Subset { .. }
            | Self::EquivariantIdeal
            | Self::Masked { .. }
            | Self::Composite
            | Self::Wiener
            | Self::WienerCirculant => None,
        }
    }

    /// Whether the machine compares patches through a window. The class of `attention-optimal` sees the whole patch, and `pspc`
    /// is defined with hard patches.
    pub fn takes_window(&self) -> bool {
        self.pool().is_some() && !matches!(self, Self::OptimalAttention(_))
    }

    /// Whether the machine, one without sharing, takes patches of any side, up to the image and beyond.
    pub fn takes_covering_patches(&self) -> bool {
        matches!(
            self,
            Self::Local | Self::LocalWrapped | Self::EquivariantLocal | Self::BoundaryBroken
        )
    }

    /// Whether the estimates of the machine come with a posterior over training images or patches.
    pub fn has_posterior(&self) -> bool {
        !matches!(
            self,
            Self::Smoothed(_) | Self::Wiener | Self::WienerCirculant | Self::OptimalAttention(_)
        )
    }

    /// The machine of which this one is an approximation, if it is one.
    pub fn approximates(&self) -> Option<Self> {
        matches!(self, Self::Subset { .. }).then_some(Self::Ideal)
    }

    /// The source of attention weights of the attention machine; for a schedule, the first one.
    pub fn attention_source(&self) -> Option<AttentionSource> {
        match self {
            Self::Attention { settings, .. } => {
                settings.all().first().map(|settings| settings.source)
            }
            _ => None,
        }
    }
}
