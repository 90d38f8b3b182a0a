//! The lab: experiments and their settings, run directories, the worker process and its control.
//!
//! The run directory is the truth: whatever a dashboard, a script or a second login knows about a
//! run it reads from there, and it talks to the worker over the run's control socket. Deliberately
//! absent: terminals and arguments.

pub mod system;
pub mod resource_limits;
pub mod directories;
pub mod signals;
pub mod format;
pub mod process;
pub mod holder;
pub mod status;
pub mod about;
pub mod event;
pub mod command;
pub mod config;
pub mod run_toml;
pub mod run_dir;
pub mod run_lock;
pub mod liveness;
pub mod queue;
pub mod events;
pub mod control;
pub mod device;
pub mod launch;
pub mod picture;
pub mod preview;
pub mod figures;
pub mod samples;
pub mod previewing;
pub mod collapse;
pub mod charts;
pub mod calibration;
pub mod theory_samples;
pub mod mosaics;
pub mod compare;
pub mod report;
pub mod summary;
pub mod status_board;
pub mod bench;
pub mod worker;
pub mod trained;
pub mod studies;
pub mod inspect;
