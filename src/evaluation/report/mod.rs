//! The report of a comparison: tables for programs (CSV, JSON), a page for people (Markdown), charts and a contact sheet.
//!
//! [`report_figures`] computes every figure once; `csv`, [`json`], [`markdown`] and `charts` write them down,
//! [`report_files`] puts all into a folder. [`controls_section`], [`clamp_section`] and [`units_of_papers_section`] are whole sections, figures and all; `over_training_section` is about earlier
//! checkpoints of the network. Every number says which seeds, machines and settings it came from. r, r^2
//! and R^2 are three columns under their own names: r is Pearson's, r^2 its square, R^2 = 1 - SS_res / SS_tot with the
//! network as target.

pub mod controls_section;
pub mod clamp_section;
pub mod units_of_papers_section;
mod published_tables_section;
mod over_training_section;
mod interventions_section;
pub mod report_figures;
mod machine_settings_caption;
mod csv;
pub mod json;
pub mod markdown;
mod charts;
pub mod report_samples;
pub mod report_files;
pub mod verdict_in_words;
pub mod written_report;

pub use report_figures::{NetworkMeasurements, Report, ReportContext};
pub use report_samples::NetworkSamples;
