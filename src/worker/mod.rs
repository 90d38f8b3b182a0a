//! The worker process: trains one run, serves its control socket, makes previews, compares and reports.
//!
//! ```text
//! Starting -> Training <-> Paused -> Comparing -> Finished
//! any of these -> Stopped (by a user, a signal or a moved directory; resumable) or Failed (the reason in the status)
//! ```
//!
//! It has no terminal, and no process waits for it. Errors and panics end in the state `Failed`. Reading order:
//! [`prepare`], [`train`], [`previews`].

pub mod prepare;
pub mod train;
pub mod previews;
pub mod floors;

mod out_of_memory;
mod entry;

pub use entry::run;
