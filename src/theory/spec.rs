//! Which machine, with which settings: a choice as plain data.

use super::patches::Pool;

/// A machine's kind and settings at every noise level.
#[derive(Clone, Debug, PartialEq)]
pub struct MachineSpec {
    pub kind: MachineKind,
    /// Patch side; ignored by machines that see whole images.
    pub k: PatchSize,
}

/// The machines of THEORY section 2 and 4.
#[derive(Clone, Debug, PartialEq)]
pub enum MachineKind {
    /// `ideal`: whole images (IS).
    Ideal,
    /// `es`: whole images at every circular shift (ES).
    EquivariantIdeal,
    /// `ls`: patches at the same place, cut at the border.
    Local,
    /// `els`: patches anywhere; all H*W wrap-around patches of each image.
    EquivariantLocal,
    /// `els-interior`: patches anywhere; only those wholly inside an image.
    EquivariantLocalInterior,
    /// `bbels`: patches with the same overlap with the border.
    BoundaryBroken,
    /// `ls-wiener`: coordinates at the same place, seen through masks of the Wiener filter (L).
    Masked { threshold: f64 },
    /// `pspc`: overlapping patches at the same place, averaged (N).
    Composite,
    /// `wiener`: the Gaussian with the data's mean and covariance.
    Wiener,
    /// `attention`: image evidence of these patches shared along attention (our derivation).
    Attention { pool: Pool, settings: Scheduled<AttentionSettings> },
}

/// Settings of the attention machine at one noise level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionSettings {
    /// Weight of attended patches' votes on which training image a patch comes from.
    pub lambda: f64,
    /// Share of the estimate that is an attention-weighted sum of estimates, in [0, 1].
    pub gamma: f64,
    pub source: AttentionSource,
}

/// Where the attention weights of the attention machine come from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AttentionSource {
    /// The network's maps along its own trajectory from the same seed.
    Trajectory,
    /// The network's maps at the machine's own state.
    Measured,
    Uniform,
    Identity,
    /// The chance that both patches come from one training image.
    CoOrigin,
    /// Softmax of `-||z(p) - z(r)||^2 / tau` over clean estimates z.
    Similarity {
        tau: f64,
    },
    /// Everywhere alike, with the likelihood of the pooled estimate in place of votes: [`super::pooled`].
    Pooled,
}

/// A setting that may change with the noise level.
#[derive(Clone, Debug, PartialEq)]
pub enum Scheduled<T> {
    Fixed(T),
    /// Entry `i - 1` is used at `t = i / T`, T the length; between, the nearest.
    PerStep(Vec<T>),
}

/// Patch side per sampling step.
pub type PatchSize = Scheduled<usize>;

impl<T> Scheduled<T> {
    /// The setting at time `t`; an empty schedule, which no machine accepts, has none.
    pub fn at(&self, t: f64) -> &T {
        match self {
            Self::Fixed(value) => value,
            Self::PerStep(values) => {
                let step = (t * values.len() as f64).round() as usize;
                &values[step.clamp(1, values.len()) - 1]
            }
        }
    }

    /// Every setting that may be asked for.
    pub fn all(&self) -> &[T] {
        match self {
            Self::Fixed(value) => std::slice::from_ref(value),
            Self::PerStep(values) => values,
        }
    }

    /// The same schedule of something else.
    pub fn map<U>(&self, change: impl FnMut(&T) -> U) -> Scheduled<U> {
        match self {
            Self::Fixed(value) => Scheduled::Fixed({ change }(value)),
            Self::PerStep(values) => Scheduled::PerStep(values.iter().map(change).collect()),
        }
    }
}

impl MachineKind {
    /// The patches that a machine's dictionary has; none for machines that are not sums over patches.
    pub fn pool(&self) -> Option<Pool> {
        match self {
            Self::Local => Some(Pool::SamePlace),
            Self::EquivariantLocal => Some(Pool::Wrap),
            Self::EquivariantLocalInterior => Some(Pool::Interior),
            Self::BoundaryBroken => Some(Pool::SameBorder),
            Self::Attention { pool, .. } => Some(*pool),
            Self::Ideal
            | Self::EquivariantIdeal
            | Self::Masked { .. }
            | Self::Composite
            | Self::Wiener => None,
        }
    }

    /// Where the attention machine's weights come from; of a schedule with several sources the first one's.
    pub fn attention_source(&self) -> Option<AttentionSource> {
        match self {
            Self::Attention { settings, .. } => {
                settings.all().first().map(|settings| settings.source)
            }
            _ => None,
        }
    }
}
