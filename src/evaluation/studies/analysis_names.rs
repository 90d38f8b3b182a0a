//! The analyses of studies, by name.

use super::run_results::RunResults;
use super::verdict::Reading;
use super::{ablations, consistency, copying, locality, which_theory_predicts_which_network};
use crate::config::Analysis;

/// Applies an analysis to the runs of a study.
pub fn read(analysis: Analysis, runs: &[RunResults]) -> Reading {
    match analysis {
        Analysis::Consistency => consistency::read(runs),
        Analysis::Theory => which_theory_predicts_which_network::read(runs),
        Analysis::Ablations => ablations::read(runs),
        Analysis::Locality => locality::read(runs),
        Analysis::Copying => copying::read(runs),
    }
}
