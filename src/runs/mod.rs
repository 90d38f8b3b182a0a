//! Run directories, and who works on them.
//!
//! The run directory is the truth: whatever a dashboard, a script or a second login knows about a run it reads from
//! there, and it talks to the run's worker over a socket in it. Deliberately absent: what a worker computes, terminals
//! and arguments.

pub mod format;
pub mod process;
pub mod signals;
pub mod holder;
pub mod status;
pub mod about;
pub mod event;
pub mod command;
pub mod run_toml;
pub mod run_lock;
pub mod run_dir;
pub mod liveness;
pub mod condition;
pub mod runs_dir;
pub mod queue;
pub mod events;
pub mod control;
pub mod launch;
pub mod preview;
pub mod status_board;
