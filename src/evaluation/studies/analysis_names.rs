//! The analyses of studies, by name.

use super::run_results::RunResults;
use super::verdict_of_finding::Reading;
use super::{
    ablations, attention_variants, consistency, copying, disjoint_halves, interventions, locality,
    memorisation, which_theory_predicts_which_network,
};
use crate::config::{Analysis, Margins};

/// Applies an analysis to the runs of a study. `margins` say up to which difference figures count as equal.
pub fn read(analysis: Analysis, margins: &Margins, runs: &[RunResults]) -> Reading {
    match analysis {
        Analysis::Consistency => consistency::read(runs),
        Analysis::Theory => which_theory_predicts_which_network::read(runs, margins),
        Analysis::Ablations => ablations::read(runs, margins),
        Analysis::AttentionVariants => attention_variants::read(runs, margins),
        Analysis::Locality => locality::read(runs),
        Analysis::Interventions => interventions::read(runs, margins),
        Analysis::Copying => copying::read(runs, margins),
        Analysis::Memorisation => memorisation::read(runs),
        Analysis::DisjointHalves => disjoint_halves::read(runs, margins),
    }
}
