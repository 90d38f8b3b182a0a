//! The events of a run as a file that TensorBoard reads.
//!
//! Reading order: [`event_file_of_run`] (the file), `values_of_events` (which events become which values), [`event_message`] (the
//! messages of TensorBoard), [`record_framing`] (records with checksums).

pub mod event_file_of_run;
mod values_of_events;
pub mod event_message;
pub mod record_framing;
