//! Evaluation of networks and score machines: samples, calibration, comparison, reports, inspection, studies.
//!
//! Reading order: [`samples`] (network and machines from the same seeds), [`calibration`],
//! [`final_comparison_of_a_run`], [`checkpoints_over_training`], [`interventions`], [`report`]; [`inspect`] records one seed in detail, [`studies`] compares whole runs.
//! Pictures: [`chart_panels`] draws plots, [`inspect::pixel_picture_and_film`] draws
//! traces. Attention: [`attention_entropy_probe`] measures it during training, [`attention_entropy_by_noise_level`]
//! averages it, [`samples::attention_agreement`] compares predicted with measured maps.
//!
//! Deliberately absent: training, processes and terminals.

pub mod choose_gpu_or_cpu;
pub mod load_networks_and_data;
pub mod imported_run;
pub mod stop_flag;
pub mod floors;
pub mod approximation_error;
pub mod novelty_by_chance;
pub mod markdown_table;
pub mod figures_in_paper_units;
pub mod published_tables;
pub mod chart_panels;
pub mod chart_curves;
pub mod attention_entropy_by_noise_level;
pub mod noise_source;
pub mod external;
pub mod network_or_recorded_model;
pub mod calibration;
pub mod samples;
pub mod calibrate_run;
pub mod network_and_machines_of_run;
pub mod theory_samples;
pub mod agreement_and_rates;
pub mod attention_entropy_probe;
pub mod attention_entropy_collapse;
pub mod copies_and_mosaics;
pub mod preview_request;
pub mod make_preview;
pub mod final_comparison_of_a_run;
pub mod interventions;
pub mod checkpoints_over_training;
mod spread_over_runs;
pub mod networks;
pub mod report;
mod network_figures_over_runs;
pub mod summary_over_runs;
pub mod studies;
pub mod inspect;
pub mod export;
pub mod report_page;
pub mod tensorboard;
