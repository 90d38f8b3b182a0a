//! The network's trajectories from some noise seeds, with its estimate at every step.

use std::sync::atomic::AtomicBool;

use super::step_seconds::{StepClock, StepSeconds};
use crate::diffusion::{Ddim, DenoiseError, Denoised, NoiseLevel, Sampling};
use crate::evaluation::attention_entropy_by_noise_level::AttentionByLevel;
use crate::evaluation::network_or_recorded_model::Model;
use crate::evaluation::stop_flag::check_stop;
use crate::image::ImageBatch;
use crate::theory::RecordedAttention;

/// Trajectories from `B` noise seeds.
pub(super) struct NetworkTrajectory {
    /// `[B, C, H, W]`.
    pub samples: ImageBatch,
    /// In the order of sampling, noisiest first.
    pub steps: Vec<NetworkStep>,
    /// Of a network; a record is not timed.
    pub seconds: StepSeconds,
}

/// The network at one step.
pub(super) struct NetworkStep {
    /// `i`, if the step goes from `t = i / T`.
    pub index: usize,
    pub level: NoiseLevel,
    /// `[B, C, H, W]`.
    pub states: ImageBatch,
    pub denoised: Denoised,
}

impl NetworkTrajectory {
    /// Samples `seeds`, `[B, C, H, W]`.
    ///
    /// # Errors
    ///
    /// If the network fails, or [`DenoiseError::Cancelled`] once `stop` is set.
    pub fn of(
        ddim: Ddim,
        network: &Model,
        seeds: &ImageBatch,
        stop: &AtomicBool,
    ) -> Result<Self, DenoiseError> {
        let mut steps = Vec::with_capacity(ddim.n_steps);
        let mut seconds = StepSeconds::default();
        let is_network = network.network().is_some();
        let mut clock = StepClock::start();
        let samples = network.sample(ddim, seeds, &mut |step| {
            if is_network {
                seconds.add(step.state.len(), clock.read());
            }
            steps.push(NetworkStep {
                index: step.index,
                level: step.level,
                states: step.state.clone(),
                denoised: step.denoised.clone(),
            });
            check_stop(stop)?;
            clock.resume();
            Ok(())
        })?;
        Ok(Self { samples, steps, seconds })
    }

    /// The attention maps of seeds `start..start + n` at every step; no steps if the network recorded none.
    pub fn recorded(&self, start: usize, n: usize) -> RecordedAttention {
        let mut recorded = RecordedAttention::new();
        for step in &self.steps {
            if let Some(maps) = &step.denoised.attention {
                recorded.push(step.level, maps.slice(start, n));
            }
        }
        recorded
    }

    /// Adds the statistics of the attention at every step.
    pub fn add_attention(&self, sum: &mut AttentionByLevel) {
        for step in &self.steps {
            if let Some(found) = &step.denoised.attention_statistics {
                sum.add(step.level.t, found);
            }
        }
    }
}
