//! Subcommands and plain-text output: the lab without its dashboard.
//!
//! Results go to stdout, progress and errors to stderr. Nothing is computed here that the dashboard could not
//! show as well.
//!
//! Reading order: [`arguments`] (the command line), [`mod@dispatch`] (the choice of command), `exit_codes`, `lab_paths`
//! (the lab file and the runs), then one file per command.

mod exit_codes;
mod lab_paths;
pub mod experiments;
pub mod init;
pub mod runs;
pub mod control;
pub mod run;
pub mod sample;
pub mod report;
pub mod data;
pub mod denoise;
mod denoise_input;
pub mod theory;
mod theory_floors;
pub mod bench;
pub mod bench_gpu;
mod bench_peer;
mod calibrate;
mod compare;
mod reproduce;
mod inspect;
mod doctor;
mod show;
mod preview;
mod progress;
mod message_stream;
pub mod arguments;
pub mod dispatch;

pub use arguments::Cli;
pub use dispatch::{dispatch, is_broken_pipe, refuse};

/// Formats an error with its causes, and with advice if a system limit caused it.
pub use crate::hardware::resource_limits::in_words;
