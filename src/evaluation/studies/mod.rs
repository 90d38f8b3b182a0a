//! Studies: the runs of a `[study.NAME]` of `lab.toml` and one report of what they say about its claim.
//!
//! A study trains nothing itself. [`runner`] launches the workers that `mosaic run` would launch, in the ordinary
//! directory of runs, and takes over any run there whose settings are the same, finished or not: that is what makes a
//! study resumable, and why two studies share runs. [`figures`] reads what a run's own report says; an analysis
//! (`consistency`, `theory`, `ablations`, `locality`, `copying`) turns that into [`finding`]s, and
//! [`page`] writes them down.
//!
//! What a study finds is its result, also where theory fails: a claim that does not hold is no error.

pub mod runner;
pub mod figures;
pub mod finding;
mod consistency;
mod theory;
mod ablations;
mod locality;
mod copying;
pub mod page;

use figures::RunFigures;
use finding::Reading;

use crate::config::Analysis;

/// What an analysis makes of the runs.
pub fn read(analysis: Analysis, runs: &[RunFigures]) -> Reading {
    match analysis {
        Analysis::Consistency => consistency::read(runs),
        Analysis::Theory => theory::read(runs),
        Analysis::Ablations => ablations::read(runs),
        Analysis::Locality => locality::read(runs),
        Analysis::Copying => copying::read(runs),
    }
}
