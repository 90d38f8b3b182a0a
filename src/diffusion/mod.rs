//! Diffusion: one interface for everything that denoises, one noise schedule, one sampler.
//!
//! Nothing in here knows whether a [`Denoiser`] is a network or a score machine; that is what makes
//! every comparison in the lab a fair one. Deliberately absent: training, files, devices.
//!
//! Reading order: [`schedule`] (noise levels), [`attention_maps`] (maps as plain arrays), [`denoiser`] (the
//! trait), [`sampler`] (the reverse process).

pub mod schedule;
pub mod attention_maps;
pub mod denoiser;
pub mod sampler;

pub use attention_maps::{AttentionMaps, AttentionStatistics, Grid};
pub use denoiser::{DenoiseError, Denoised, Denoiser, Posterior, Provenance};
pub use sampler::{Ddim, SampleStep};
pub use schedule::{NoiseLevel, Schedule};
