//! The names of machines and attention sources, as used on the command line, in `lab.toml` and in column heads.
//!
//! Parsing, the lists in error messages and the names in reports are all derived from one table.

use super::error::TheoryError;
use super::ls_wiener::DEFAULT_THRESHOLD;
use super::machine_spec::{
    AttentionSettings, AttentionSource, MachineKind, MachineSpec, Scheduled, Smoothing,
};
use super::patch_pools_ls_els_bbels::Pool;

/// Default `tau` of the similarity source.
pub const DEFAULT_TAU: f64 = 1.0;

/// Default settings of the attention machine, on the command line and in `lab.toml`.
pub const DEFAULT_ATTENTION: AttentionSettings = AttentionSettings {
    lambda: 5.0,
    gamma: 0.3,
    source: AttentionSource::Similarity { tau: DEFAULT_TAU },
};

/// Default settings of the machine `smoothed`.
pub const DEFAULT_SMOOTHING: Smoothing = Smoothing { sigma: 1.5, n_copies: 32 };

/// Default size of the machine `subset`: a share of all images.
pub const DEFAULT_SUBSET: f64 = 0.02;

const MACHINES: [MachineKind; 14] = [
    MachineKind::Ideal,
    MachineKind::Nearest,
    MachineKind::Smoothed(DEFAULT_SMOOTHING),
    MachineKind::Subset { size: DEFAULT_SUBSET },
    MachineKind::EquivariantIdeal,
    MachineKind::Local,
    MachineKind::EquivariantLocal,
    MachineKind::EquivariantLocalInterior,
    MachineKind::BoundaryBroken,
    MachineKind::Masked { threshold: DEFAULT_THRESHOLD },
    MachineKind::Composite,
    MachineKind::Wiener,
    MachineKind::WienerCirculant,
    MachineKind::Attention { pool: Pool::Wrap, settings: Scheduled::Fixed(DEFAULT_ATTENTION) },
];

const SOURCES: [AttentionSource; 7] = [
    AttentionSource::Trajectory,
    AttentionSource::Measured,
    AttentionSource::Uniform,
    AttentionSource::Identity,
    AttentionSource::CoOrigin,
    AttentionSource::Similarity { tau: DEFAULT_TAU },
    AttentionSource::Pooled,
];

impl MachineKind {
    /// The machine called `name`; `attention` gets [`DEFAULT_ATTENTION`], and `ls` is the one for zero padding.
    ///
    /// # Errors
    ///
    /// If there is none; the error suggests the nearest name.
    pub fn parse(name: &str) -> Result<Self, TheoryError> {
        let found = MACHINES.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| unknown("machine", name, &Self::names()))
    }

    /// The name, such as `els`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ideal => "ideal",
            Self::Nearest => "nearest",
            Self::Smoothed(_) => "smoothed",
            Self::Subset { .. } => "subset",
            Self::EquivariantIdeal => "es",
            Self::Local | Self::LocalWrapped => "ls",
            Self::EquivariantLocal => "els",
            Self::EquivariantLocalInterior => "els-interior",
            Self::BoundaryBroken => "bbels",
            Self::Masked { .. } => "ls-wiener",
            Self::Composite => "pspc",
            Self::Wiener => "wiener",
            Self::WienerCirculant => "wiener-circulant",
            Self::Attention { .. } => "attention",
            Self::OptimalAttention(_) => "attention-optimal",
        }
    }

    /// The head of a column or table row: the name, for the attention machine with its source.
    pub fn column(&self) -> String {
        match self {
            Self::Attention { .. } => {
                let source = self.attention_source().map_or("", |source| source.name());
                format!("attention-{source}")
            }
            other => other.name().to_owned(),
        }
    }

    /// Every accepted name.
    pub fn names() -> Vec<&'static str> {
        MACHINES.iter().map(Self::name).collect()
    }

    /// Whether the machine compares k x k patches.
    pub fn uses_patches(&self) -> bool {
        !matches!(
            self,
            Self::Ideal
                | Self::Nearest
                | Self::Smoothed(_)
                | Self::Subset { .. }
                | Self::EquivariantIdeal
                | Self::Masked { .. }
                | Self::Wiener
                | Self::WienerCirculant
        )
    }
}

impl MachineSpec {
    /// The head of a column: see [`MachineKind::column`].
    pub fn column(&self) -> String {
        self.kind.column()
    }
}

impl AttentionSource {
    /// The source called `name`; `similarity` gets [`DEFAULT_TAU`].
    ///
    /// # Errors
    ///
    /// If there is none; the error suggests the nearest name.
    pub fn parse(name: &str) -> Result<Self, TheoryError> {
        let found = SOURCES.into_iter().find(|source| source.name() == name);
        found.ok_or_else(|| unknown("attention source", name, &Self::names()))
    }

    /// The name, such as `co-origin`.
    pub fn name(&self) -> &'static str {
        self.into()
    }

    /// Every accepted name.
    pub fn names() -> Vec<&'static str> {
        SOURCES.iter().map(Self::name).collect()
    }

    /// Whether maps must come from a network or a file.
    pub fn needs_provider(&self) -> bool {
        matches!(self, Self::Trajectory | Self::Measured)
    }
}

fn unknown(what: &'static str, name: &str, accepted: &[&str]) -> TheoryError {
    let distance = |other: &&&str| strsim::damerau_levenshtein(name, other);
    let nearest = accepted.iter().min_by_key(distance).map_or("", |nearest| nearest);
    let quoted: Vec<String> = accepted.iter().map(|name| format!("'{name}'")).collect();
    let (name, nearest, accepted) = (name.to_owned(), nearest.to_owned(), quoted.join(", "));
    TheoryError::Unknown { what, name, nearest, accepted }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_parses_to_itself() {
        for name in MachineKind::names() {
            assert_eq!(MachineKind::parse(name).unwrap().name(), name);
        }
        for name in AttentionSource::names() {
            assert_eq!(AttentionSource::parse(name).unwrap().name(), name);
        }
    }

    #[test]
    fn a_typing_error_gets_the_nearest_name() {
        let error = MachineKind::parse("els-interor").unwrap_err().to_string();
        assert!(error.contains("did you mean 'els-interior'?") && error.contains("'wiener'"));
        let error = AttentionSource::parse("similar").unwrap_err().to_string();
        assert!(error.contains("did you mean 'similarity'?"), "{error}");
    }

    #[test]
    fn a_column_names_the_attention_source() {
        assert_eq!(MachineKind::parse("attention").unwrap().column(), "attention-similarity");
        assert_eq!(MachineKind::EquivariantLocal.column(), "els");
    }
}
