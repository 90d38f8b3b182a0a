//! Subcommands and plain-text output: the lab without its dashboard.
//!
//! Results go to stdout, progress and errors to stderr. Nothing is computed here that the dashboard could not
//! show as well.
//!
//! Reading order: [`arguments`] (the command line), [`dispatch_subcommand`] (the choice of command), `exit_codes`,
//! `lab_and_runs_dir_options` (the lab file and the runs), then one file per command, named like it.

mod exit_codes;
mod lab_and_runs_dir_options;
pub mod experiments;
pub mod init;
mod ls_columns;
pub mod ls;
pub mod logs;
pub mod note;
pub mod rename;
pub mod pause_resume_stop_kill;
mod rm;
mod prune;
mod man;
pub mod run;
mod run_training_seeds;
mod follow_several_runs;
pub mod sample;
pub mod report;
pub mod data_export;
mod data_fetch_progress;
mod data_fetch_listing;
mod data_fetch_lab_lines;
pub mod data_fetch;
pub mod data;
pub mod import;
pub mod export_arguments;
pub mod export;
pub mod export_places;
pub mod export_results;
mod export_tensorboard;
pub mod external;
pub mod denoise;
mod denoise_input;
mod denoise_output;
mod denoise_with_network;
pub mod theory;
mod theory_floors;
pub mod theory_arguments;
pub mod bench;
pub mod bench_gpu;
pub mod bench_theory;
pub mod bench_train;
mod bench_number_format;
mod bench_against_pytorch;
mod calibrate;
mod compare;
mod compare_networks;
mod reproduce;
mod inspect;
mod doctor;
mod show;
mod preview;
mod progress_bar;
mod stream_for_messages;
pub mod attach;
pub mod arguments;
mod completions;
mod wrong_arguments;
pub mod dispatch_subcommand;

pub use arguments::Cli;
pub use dispatch_subcommand::{dispatch, is_broken_pipe};
pub use wrong_arguments::refuse;

/// Formats an error with its causes, and with advice if a system limit caused it.
pub use crate::hardware::resource_limits::in_words;
