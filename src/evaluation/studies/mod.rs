//! Studies: the runs of a `[study.NAME]` of `lab.toml` and one report of what they say about its claim.
//!
//! A study trains nothing itself. [`study_runs`] launches the workers that `mosaic run` would launch, in the ordinary
//! directory of runs, and takes over any run there whose settings are the same, finished or not: that is what makes a
//! study resumable, and why two studies share runs. [`run_results`] reads a run's own report; an analysis
//! (`consistency`, `which_theory_predicts_which_network`, `ablations`, `attention_variants`, `locality`, `copying`, `disjoint_halves`, `memorisation`) turns that into findings
//! with a [`verdict_of_finding`], by paired differences over [`paired_training_seeds`], and [`study_report`] writes them down.
//!
//! The findings are the result, also where theory fails: a claim that does not hold is no error.

pub mod study_runs;
pub mod enqueue_training_seeds;
pub mod run_results;
pub mod paired_training_seeds;
pub mod verdict_of_finding;
mod consistency;
mod which_theory_predicts_which_network;
mod ablations;
mod attention_variants;
mod locality;
mod copying;
mod disjoint_halves;
mod interventions;
mod memorisation_times;
mod memorisation_growth;
mod memorisation_tables;
mod memorisation;
mod analysis_names;
mod findings_text_and_json;
pub mod study_report;
#[cfg(test)]
mod runs_for_tests;
#[cfg(test)]
mod verdict_error_rates;

pub use analysis_names::read;
