//! Run directories and their workers.
//!
//! The run directory is the single source of truth: dashboards, scripts and other logins read everything they
//! know about a run from it, and talk to the run's worker over a socket in it. This module does not know what a
//! worker computes, and knows nothing of terminals or command-line arguments.

pub mod format_versions;
pub mod process_identity;
pub mod catch_signals;
pub mod control_holder;
pub mod status_json;
pub mod note_and_tags;
pub mod event;
pub mod control_messages;
pub mod run_toml;
pub mod run_lock;
pub mod watching_dashboards;
pub mod run_dir;
pub mod alive_silent_or_lost;
pub mod send_signal_to_worker;
pub mod listed_run_state;
pub mod runs_dir;
pub mod rename_and_delete_run;
pub mod prune;
pub mod queue;
pub mod seen_held_out_seeds;
pub mod event_log;
pub mod control_socket;
pub mod launch_resume_kill_worker;
pub mod preview_files;
pub mod status_and_heartbeat;
