//! The worker process: trains one run, serves its control socket, makes previews, compares and reports.
//!
//! ```text
//! Starting -> Training <-> Paused -> Comparing -> Finished
//! any of these -> Stopped (by a user, a signal or a moved directory; resumable) or Failed (the reason in the status)
//! ```
//!
//! It has no terminal, and no process waits for it. Errors and panics end in the state `Failed`. Reading order:
//! [`prepare_training`], [`training_loop_with_commands`], [`preview_thread`].

pub mod prepare_training;
mod loss_and_speed_meters;
mod non_finite_loss_rollback;
mod full_disk;
pub mod training_loop_with_commands;
pub mod preview_thread;
pub mod measure_floors;

mod out_of_memory;
mod worker_process;

pub use worker_process::run;
