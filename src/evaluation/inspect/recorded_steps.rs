//! The steps of one trajectory while it is sampled, for a trace.

use half::f16;

use super::trace::{Actor, AttentionTrace};
use crate::diffusion::{AttentionMaps, SampleStep};
use crate::image::ImageBatch;

/// The steps of a trajectory, which is sampled from noise to image and kept in reverse order.
#[derive(Default)]
pub(super) struct Steps {
    states: Vec<Vec<f32>>,
    x0: Vec<Vec<f32>>,
    maps: Vec<AttentionMaps>,
}

impl Steps {
    /// Adds the next step.
    pub(super) fn push(&mut self, step: &SampleStep<'_>, maps: Option<&AttentionMaps>) {
        self.states.push(singles(step.state));
        self.x0.push(singles(&step.denoised.x0));
        self.maps.extend(maps.cloned());
    }

    /// The trajectory of `name` that ended at `sample`.
    pub(super) fn into_actor(self, name: &str, sample: &ImageBatch) -> Actor {
        let n_heads = self.maps.first().map_or(0, AttentionMaps::n_heads);
        let weights = self.maps.iter().rev().flat_map(|maps| maps.weights());
        let weights: Vec<f16> = weights.map(|weight| f16::from_f32(*weight)).collect();
        Actor {
            name: name.to_owned(),
            states: self.states.into_iter().rev().flatten().collect(),
            x0: self.x0.into_iter().rev().flatten().collect(),
            without_attention: Vec::new(),
            sample: singles(sample),
            maps: (n_heads > 0).then_some(AttentionTrace { n_heads, weights }),
            posterior: None,
        }
    }
}

/// In single precision.
pub(super) fn singles(batch: &ImageBatch) -> Vec<f32> {
    batch.values().iter().map(|v| *v as f32).collect()
}
