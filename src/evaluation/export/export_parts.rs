//! What of a run can be exported.

use strum::{Display, EnumString, VariantNames};

/// One part of a run.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Display, EnumString, VariantNames,
)]
#[strum(serialize_all = "lowercase")]
pub enum ExportPart {
    /// The training images and their labels.
    Data,
    /// Final samples of network and machines.
    Samples,
    /// The noisy state before each sampling step.
    States,
    /// The clean estimate at each sampling step.
    X0hat,
    /// Attention weights at each sampling step.
    Maps,
    /// The training patch from which each pixel of a machine's estimate comes, at each sampling step.
    Provenance,
    /// The machines' settings at each sampling step, and how they fit.
    Calibration,
    /// Each sample judged by itself, and its agreement with the network's. A table only.
    Rates,
}

impl ExportPart {
    /// Whether noise seeds are sampled for it.
    pub fn needs_sampling(self) -> bool {
        !matches!(self, Self::Data | Self::Calibration)
    }

    /// Whether it is made of trajectories, not of their ends.
    pub fn needs_steps(self) -> bool {
        matches!(self, Self::States | Self::X0hat | Self::Maps | Self::Provenance)
    }

    /// Why this is not written as a table; `None` if it is.
    pub fn why_no_table(self) -> Option<&'static str> {
        match self {
            Self::Data | Self::Provenance | Self::Calibration | Self::Rates => None,
            Self::Samples | Self::States | Self::X0hat => {
                Some("images have no rows and columns of their own")
            }
            Self::Maps => Some("attention weights have five axes"),
        }
    }

    /// Why this is not written as arrays; `None` if it is.
    pub fn why_no_arrays(self) -> Option<&'static str> {
        (self == Self::Rates).then_some("yes and no beside numbers make a table")
    }
}
