//! Models from elsewhere that are known by arrays: samples from given noise, trajectories, attention maps, and estimates at
//! given noised images.
//!
//! Reading order: [`external_toml`] (what the arrays are), [`recorded_arrays`] (reading and checking them),
//! [`recorded_model`] (a denoiser that looks up what was recorded), [`recorded_run`] (a directory of arrays as a run),
//! [`questions`] (what a model is asked).

pub mod external_toml;
pub mod recorded_arrays;
pub mod recorded_model;
pub mod recorded_run;
pub mod questions;
