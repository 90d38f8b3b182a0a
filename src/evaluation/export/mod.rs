//! What a run can hand to other programs: samples, trajectories, attention, provenance and calibration as arrays or tables.
//!
//! Reading order: [`export_parts`] (what can be asked for), [`sampled_trajectories`] (network and machines step by step),
//! [`arrays_of_trajectories`] and [`arrays_of_run`] (arrays), [`tables`] (CSV), [`directory_for_compare`] (the
//! `external.toml` beside exported arrays).

pub mod export_parts;
pub mod sampled_trajectories;
pub mod arrays_of_trajectories;
pub mod arrays_of_run;
pub mod tables;
pub mod directory_for_compare;
