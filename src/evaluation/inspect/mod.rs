//! A look inside: one noise seed's trajectory through the network and through each machine, with attention and posteriors.
//!
//! [`mod@record_trace`] samples one seed and keeps, at every step, the state, the clean estimate, attention maps, and
//! of each machine's posterior the entropy, the likeliest patch and the training images with the largest weights, pixel
//! by pixel: a [`trace`]. [`mod@trace_file`] stores it in a run's `traces/`, so that a dashboard without a network can
//! scrub through it; [`pixel_picture_and_film`] draws it, [`pixel_table`] lists its figures.

pub mod trace;
mod recorded_steps;
mod record_changed_attention;
pub mod record_trace;
pub mod trace_file;
pub mod pixel_picture_and_film;
pub mod pixel_table;
#[cfg(test)]
mod trace_for_tests;

pub use record_trace::record_trace;
pub use trace::{Actor, AttentionTrace, N_LEADING, PosteriorTrace, Trace};
pub use trace_file::{TraceError, is_current, path_of, path_of_changed};
