//! Subcommands and plain-text output: the lab without its dashboard.
//!
//! Results go to stdout, progress and errors to stderr. Nothing is computed here that the dashboard could not
//! show as well.
//!
//! Reading order: [`arguments`] (the command line), [`mod@dispatch`] (the choice of command), `exit_codes`, `lab_paths`
//! (the lab file and the runs), then one file per command.

mod exit_codes;
mod lab_and_runs_dir_options;
pub mod experiments;
pub mod init;
pub mod runs;
pub mod pause_resume_stop_kill;
pub mod run;
pub mod sample;
pub mod report;
pub mod data;
pub mod denoise;
mod denoise_input;
pub mod theory;
pub mod bench;
pub mod bench_gpu;
mod bench_against_pytorch;
mod calibrate;
mod compare;
mod reproduce;
mod inspect;
mod doctor;
mod show;
mod preview;
mod progress_bar;
mod stream_of_messages;
pub mod arguments;
pub mod run_subcommand;

pub use arguments::Cli;
pub use run_subcommand::{dispatch, is_broken_pipe, refuse};

/// Formats an error with its causes, and with advice if a system limit caused it.
pub use crate::hardware::resource_limits::in_words;
