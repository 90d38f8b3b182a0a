//! Diffusion: the interface of all denoisers, the noise schedule and the sampler.
//!
//! The code here does not depend on whether a [`Denoiser`] is a network or a score machine, so comparisons between them
//! are fair. Deliberately absent: training, files, devices.
//!
//! Reading order: [`noise_schedule`] (noise levels), [`attention_maps`] (attention weights as plain arrays),
//! [`attention_entropy`], [`denoiser`] (the trait), [`attending`] (denoisers whose attention can be replaced), [`sampler`] (the reverse process).

pub mod noise_schedule;
pub mod attention_maps;
pub mod attention_entropy;
pub mod denoiser;
pub mod attending;
pub mod sampler;

#[cfg(test)]
mod gaussian_tests;

pub use attending::Attending;
pub use attention_entropy::AttentionStatistics;
pub use attention_maps::{AttentionMaps, Grid};
pub use denoiser::{DenoiseError, Denoised, Denoiser, Posterior, Provenance};
pub use noise_schedule::{NoiseLevel, Schedule};
pub use sampler::{Ddim, Observer, SampleStep, Sampling};
