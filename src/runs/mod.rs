//! Run directories and their workers.
//!
//! The run directory is the single source of truth: dashboards, scripts and other logins read everything they
//! know about a run from it, and talk to the run's worker over a socket in it. This module does not know what a
//! worker computes, and knows nothing of terminals or command-line arguments.

pub mod format;
pub mod process;
pub mod signals;
pub mod control_holder;
pub mod status;
pub mod note;
pub mod event;
pub mod command;
pub mod run_toml;
pub mod run_lock;
pub mod watched;
pub mod run_dir;
pub mod liveness;
pub mod listed_state;
pub mod runs_dir;
pub mod queue;
pub mod seen_seeds;
pub mod event_log;
pub mod control;
pub mod launch;
pub mod preview;
pub mod status_board;
