//! Controls of the attention machines: the same fitted settings without sharing, and with wrong attention maps.
//!
//! ```text
//! sharing-off          lambda = gamma = 0: what the patch sides alone predict
//! identity-maps        every pixel attends to itself, in each head
//! other-seeds-maps     the network's maps along its trajectory from another noise seed
//! shuffled-maps        the right maps between the wrong places: A'[p, r] = A[s(p), s(r)], one permutation s per seed
//! ```
//!
//! A machine that explains the network by where the network looks must lose with each of them. They decide nothing: no
//! setting is fitted to them.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rand::seq::SliceRandom;

use super::machine_set::{MachineEntry, MachineSet};
use super::network_for_sampling::with_classes;
use crate::diffusion::{AttentionMaps, DenoiseError};
use crate::evaluation::network_or_recorded_model::Model;
use crate::image::ImageBatch;
use crate::random::{Purpose, stream};
use crate::theory::machine_spec::{
    AttentionSettings, AttentionSource, MachineKind, MachineSpec, Scheduled,
};
use crate::theory::{AttentionProvider, Machine, Precision, RecordedAttention};

/// What is changed about a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Control {
    SharingOff,
    IdentityMaps,
    OtherSeedsMaps,
    ShuffledMaps,
}

/// The samples of one machine under one control, `[B, C, H, W]`.
#[derive(Clone, Debug)]
pub struct ControlSamples {
    pub machine: String,
    pub control: Control,
    pub samples: ImageBatch,
}

/// Noise seeds and those whose maps are used in their place.
pub struct ControlSeeds<'a> {
    /// Noise seed `first_seed` and those after it, `[B, C, H, W]`.
    pub seeds: &'a ImageBatch,
    pub first_seed: u64,
    /// Other noise seeds, one for each; none leaves out [`Control::OtherSeedsMaps`].
    pub others: Option<&'a ImageBatch>,
}

impl Control {
    /// The controls of a machine with this source of attention; the network's own maps have all of them.
    pub fn of(source: AttentionSource) -> &'static [Self] {
        use AttentionSource::{
            CoOrigin, Identity, Measured, Pooled, Similarity, Trajectory, Uniform,
        };
        match source {
            Trajectory => {
                &[Self::SharingOff, Self::IdentityMaps, Self::OtherSeedsMaps, Self::ShuffledMaps]
            }
            Measured | Uniform | CoOrigin | Similarity { .. } => {
                &[Self::SharingOff, Self::IdentityMaps]
            }
            Identity | Pooled => &[Self::SharingOff],
        }
    }

    /// The control in words, for tables.
    pub fn words(self) -> &'static str {
        match self {
            Self::SharingOff => "sharing off (lambda = gamma = 0)",
            Self::IdentityMaps => "identity maps",
            Self::OtherSeedsMaps => "another seed's maps",
            Self::ShuffledMaps => "maps shuffled over places",
        }
    }

    /// The machine's settings under this control. `n_heads` is the number of the machine's maps: votes add up over heads.
    fn spec(self, spec: &MachineSpec, n_heads: usize) -> MachineSpec {
        let MachineKind::Attention { pool, settings } = &spec.kind else { return spec.clone() };
        let identity =
            |lambda, gamma| AttentionSettings { lambda, gamma, source: AttentionSource::Identity };
        let settings: Scheduled<AttentionSettings> = settings.map(|step| match self {
            Self::SharingOff => identity(0.0, 0.0),
            Self::IdentityMaps => identity(step.lambda * n_heads as f64, step.gamma),
            Self::OtherSeedsMaps | Self::ShuffledMaps => *step,
        });
        MachineSpec { kind: MachineKind::Attention { pool: *pool, settings }, ..spec.clone() }
    }
}

/// The network's maps for the controls that need them, along its trajectories from the same seeds and from others.
struct GivenMaps {
    own: Option<RecordedAttention>,
    others: Option<RecordedAttention>,
}

impl MachineSet {
    /// Samples the seeds with every attention machine under each of its controls.
    ///
    /// # Errors
    /// If a denoiser fails, or [`DenoiseError::Cancelled`] once `stop` is set.
    pub fn sample_controls(
        &self,
        network: &Model,
        seeds: &ControlSeeds<'_>,
        stop: &AtomicBool,
    ) -> Result<Vec<ControlSamples>, DenoiseError> {
        let mut all: Vec<(&MachineEntry, ControlSamples)> = Vec::new();
        for entry in &self.entries {
            let Some(source) = entry.source() else { continue };
            let is_possible =
                |control: &&Control| **control != Control::OtherSeedsMaps || seeds.others.is_some();
            for &control in Control::of(source).iter().filter(is_possible) {
                let samples = ImageBatch::zeros(seeds.seeds.shape(), 0);
                let machine = entry.machine.name.clone();
                all.push((entry, ControlSamples { machine, control, samples }));
            }
        }
        if all.is_empty() {
            return Ok(Vec::new());
        }
        let chunk = self.chunk_with_maps(network, seeds.seeds, self.wants_trajectory());
        for start in (0..seeds.seeds.len()).step_by(chunk) {
            let n = chunk.min(seeds.seeds.len() - start);
            let first = seeds.first_seed + start as u64;
            let part = seeds.seeds.slice(start, n);
            let maps = self.maps_for_controls(network, first, &part, seeds.others, start, stop)?;
            for (entry, found) in &mut all {
                let samples =
                    self.sample_control(entry, found.control, network, first, &part, &maps, stop)?;
                found.samples.append(&samples);
            }
        }
        Ok(all.into_iter().map(|(_, found)| found).collect())
    }

    /// The network's maps from the seeds of `part`, and from those of `others` from `start` on. Seeds keep their classes.
    fn maps_for_controls(
        &self,
        network: &Model,
        first: u64,
        part: &ImageBatch,
        others: Option<&ImageBatch>,
        start: usize,
        stop: &AtomicBool,
    ) -> Result<GivenMaps, DenoiseError> {
        if !self.wants_trajectory() {
            return Ok(GivenMaps { own: None, others: None });
        }
        let network = &with_classes(network, first, part.len());
        let recorded = |noise: &ImageBatch| -> Result<Option<RecordedAttention>, DenoiseError> {
            Ok(self.sample_network(network, noise, &mut None, stop)?.1)
        };
        let others = match others {
            Some(others) => recorded(&others.slice(start, part.len()))?,
            None => None,
        };
        Ok(GivenMaps { own: recorded(part)?, others })
    }

    /// One machine under one control, from the seeds of `part`.
    #[expect(clippy::too_many_arguments, reason = "all of one chunk of seeds")]
    fn sample_control(
        &self,
        entry: &MachineEntry,
        control: Control,
        network: &Model,
        first: u64,
        part: &ImageBatch,
        maps: &GivenMaps,
        stop: &AtomicBool,
    ) -> Result<ImageBatch, DenoiseError> {
        let heads = network.config().attention.map_or(1, |attention| attention.heads);
        let n_heads = match entry.source() {
            Some(AttentionSource::Trajectory | AttentionSource::Measured) => heads,
            _ => 1,
        };
        let spec = control.spec(&entry.machine.spec, n_heads);
        let given = match control {
            Control::SharingOff | Control::IdentityMaps => None,
            Control::OtherSeedsMaps => maps.others.clone(),
            Control::ShuffledMaps => maps.own.as_ref().map(|own| shuffled(own, first)),
        };
        let mut samples = ImageBatch::zeros(part.shape(), 0);
        // With classes, machines know one image class each.
        let each = if self.dictionaries.len() > 1 { 1 } else { part.len() };
        for at in (0..part.len()).step_by(each) {
            let class = ((first + at as u64) % self.dictionaries.len() as u64) as usize;
            let provider = given
                .as_ref()
                .map(|given| Arc::new(given.slice(at, each)) as Arc<dyn AttentionProvider>);
            let images = self.dictionaries[class].clone();
            let machine = Machine::new(spec.clone(), images, Precision::F32, provider);
            let machine = machine.map_err(|error| DenoiseError::Failed {
                denoiser: entry.machine.name.clone(),
                source: Box::new(error),
            })?;
            samples.append(&self.run(&machine, &part.slice(at, each), stop)?);
        }
        Ok(samples)
    }
}

/// The maps with their places permuted, the same way at every step and head: image `i` by the permutation of noise seed
/// `first + i`.
fn shuffled(recorded: &RecordedAttention, first: u64) -> RecordedAttention {
    recorded.map(|maps| {
        let (n_heads, n) = (maps.n_heads(), maps.n_pixels());
        let mut weights = Vec::with_capacity(maps.weights().len());
        for image in 0..maps.len() {
            let places = permutation(n, first + image as u64);
            for head in 0..n_heads {
                let map = maps.map(image, head);
                for &p in &places {
                    weights.extend(places.iter().map(|&r| map[p * n + r]));
                }
            }
        }
        AttentionMaps::new(n_heads, n, weights)
    })
}

/// A random order of `n` places.
fn permutation(n: usize, seed: u64) -> Vec<usize> {
    let mut places: Vec<usize> = (0..n).collect();
    places.shuffle(&mut stream(0, Purpose::ShuffledPlaces, seed));
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::Schedule;
    use crate::theory::machine_spec::PatchSize;
    use crate::theory::patch_pools_ls_els_bbels::Pool;

    #[test]
    fn shuffled_maps_hold_the_same_weights_between_permuted_places() {
        let n = 5;
        let weights: Vec<f32> = (0..2 * 2 * n * n).map(|i| i as f32).collect();
        let mut recorded = RecordedAttention::new();
        for t in [0.3, 0.6] {
            recorded.push(Schedule::Cosine.level(t), AttentionMaps::new(2, n, weights.clone()));
        }
        let found = shuffled(&recorded, 7);
        assert_eq!(found.steps().len(), 2);
        for ((t, maps), (old, _)) in found.steps().iter().zip(recorded.steps()) {
            assert_eq!(t, old);
            for image in 0..2 {
                let places = permutation(n, 7 + image as u64);
                for head in 0..2 {
                    let original = &weights[(image * 2 + head) * n * n..][..n * n];
                    for (p, r) in (0..n).flat_map(|p| (0..n).map(move |r| (p, r))) {
                        let expected = original[places[p] * n + places[r]];
                        assert_eq!(maps.map(image, head)[p * n + r], expected);
                    }
                }
            }
        }
        assert_ne!(permutation(n, 7), permutation(n, 8));
    }

    #[test]
    fn controls_keep_what_they_do_not_change() {
        let step =
            AttentionSettings { lambda: 0.5, gamma: 0.2, source: AttentionSource::Trajectory };
        let settings = Scheduled::PerStep(vec![step, AttentionSettings { lambda: 2.0, ..step }]);
        let kind = MachineKind::Attention { pool: Pool::Wrap, settings };
        let spec = MachineSpec::new(kind, PatchSize::PerStep(vec![3, 5]));
        let changed = |control: Control| {
            let MachineSpec { kind, k, .. } = control.spec(&spec, 2);
            assert_eq!(k, spec.k);
            let MachineKind::Attention { settings, .. } = kind else { panic!("another machine") };
            settings
                .all()
                .iter()
                .map(|step| (step.lambda, step.gamma, step.source.name()))
                .collect()
        };
        let found: Vec<Vec<_>> =
            Control::of(AttentionSource::Trajectory).iter().map(|c| changed(*c)).collect();
        let same = vec![(0.5, 0.2, "trajectory"), (2.0, 0.2, "trajectory")];
        assert_eq!(
            found,
            [
                vec![(0.0, 0.0, "identity"); 2],
                vec![(1.0, 0.2, "identity"), (4.0, 0.2, "identity")],
                same.clone(),
                same,
            ]
        );
    }
}
