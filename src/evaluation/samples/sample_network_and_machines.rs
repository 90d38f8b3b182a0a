//! Samples of the network and of every machine from the same noise seeds.

use std::sync::atomic::AtomicBool;

use super::machine_set::MachineSet;
use super::network_for_sampling::with_classes;
use super::step_seconds::StepClock;
use crate::diffusion::{DenoiseError, Denoiser, SampleStep, Sampling};
use crate::evaluation::network_or_recorded_model::Model;
use crate::evaluation::{
    attention_entropy_by_noise_level::AttentionByLevel, stop_flag::check_stop,
};
use crate::image::ImageBatch;
use crate::network::AttentionDetail;
use crate::theory::{RecordedAttention, machine_spec::AttentionSource};

/// Attention maps of one chunk's trajectory may take this much memory.
const MAPS_BYTES_MAX: usize = 320 << 20;
const CHUNK_SEEDS_MAX: usize = 16;

/// Samples of the network and of every machine from the same seeds, `[B, C, H, W]` each.
#[derive(Clone, Debug)]
pub struct SampleSet {
    pub seeds: ImageBatch,
    pub network: ImageBatch,
    pub machines: Vec<(String, ImageBatch)>,
}

/// A step of a machine's own trajectories.
pub(super) struct MachineStep<'a> {
    /// Number of the machine.
    pub machine: usize,
    /// The first image of this batch among those that are sampled.
    pub at: usize,
    /// Time of the step.
    pub seconds: f64,
    pub step: SampleStep<'a>,
}

/// Called at every step of a machine; an error stops it.
pub(super) type MachineObserver<'a> = dyn FnMut(MachineStep<'_>) -> Result<(), DenoiseError> + 'a;

impl MachineSet {
    /// Samples `seeds` with the network and every machine. The first seed is noise seed `first_seed`, which decides
    /// the classes. `attention` accumulates the network's attention; `ready` is called with the samples so far
    /// whenever one more machine has sampled all seeds.
    ///
    /// # Errors
    /// If a denoiser fails, or [`DenoiseError::Cancelled`] once `stop` is set.
    pub fn sample(
        &self,
        network: &Model,
        seeds: &ImageBatch,
        first_seed: u64,
        attention: &mut Option<AttentionByLevel>,
        stop: &AtomicBool,
        ready: &mut dyn FnMut(&SampleSet),
    ) -> Result<SampleSet, DenoiseError> {
        let chunk = self.chunk_with_maps(network, seeds, self.wants_trajectory());
        let mut set = self.without_samples(seeds);
        for start in (0..seeds.len()).step_by(chunk) {
            let seeds = seeds.slice(start, chunk.min(seeds.len() - start));
            let first = first_seed + start as u64;
            let conditioned = &with_classes(network, first, seeds.len());
            let (samples, recorded) = self.sample_network(conditioned, &seeds, attention, stop)?;
            set.network.append(&samples);
            self.sample_machines(
                network,
                &seeds,
                first,
                recorded.as_ref(),
                &mut |_| check_stop(stop),
                |index, more| {
                    set.machines[index].1.append(more);
                    if set.machines[index].1.len() == set.seeds.len() {
                        ready(&set);
                    }
                },
            )?;
        }
        Ok(set)
    }

    /// Samples `seeds` with every machine; the first is noise seed `first_seed`, and `recorded` holds the network's maps
    /// along its trajectories from them. `observe` is called at every step of a machine, and `take` with the number of the
    /// machine and its samples.
    ///
    /// # Errors
    ///
    /// As [`MachineSet::sample`].
    pub(super) fn sample_machines(
        &self,
        network: &Model,
        seeds: &ImageBatch,
        first_seed: u64,
        recorded: Option<&RecordedAttention>,
        observe: &mut MachineObserver<'_>,
        mut take: impl FnMut(usize, &ImageBatch),
    ) -> Result<(), DenoiseError> {
        // With classes, machines sample seed by seed.
        let each = if self.dictionaries.len() > 1 { 1 } else { seeds.len() };
        for (index, entry) in self.entries.iter().enumerate() {
            let mut samples = ImageBatch::zeros(seeds.shape(), 0);
            for at in (0..seeds.len()).step_by(each) {
                let seed = first_seed + at as u64;
                let recorded = recorded.map(|recorded| recorded.slice(at, each));
                let conditioned = with_classes(network, seed, each);
                let machine = self.machine(entry, seed, conditioned, recorded)?;
                let mut clock = StepClock::start();
                let made = self.ddim.sample(&machine, &seeds.slice(at, each), &mut |step| {
                    let seconds = clock.read();
                    observe(MachineStep { machine: index, at, seconds, step })?;
                    clock.resume();
                    Ok(())
                })?;
                samples.append(&made);
            }
            take(index, &samples);
        }
        Ok(())
    }

    /// A set of these seeds without samples.
    pub(super) fn without_samples(&self, seeds: &ImageBatch) -> SampleSet {
        let empty = ImageBatch::zeros(seeds.shape(), 0);
        SampleSet {
            seeds: seeds.clone(),
            network: empty.clone(),
            machines: self.names().map(|name| (name.to_owned(), empty.clone())).collect(),
        }
    }

    /// Samples `seeds` with the network alone: rates need more samples than machines have time for.
    ///
    /// # Errors
    ///
    /// If the network fails, or [`DenoiseError::Cancelled`] once `stop` is set.
    pub fn sample_network_only(
        &self,
        network: &Model,
        seeds: &ImageBatch,
        first_seed: u64,
        stop: &AtomicBool,
    ) -> Result<ImageBatch, DenoiseError> {
        let network = with_classes(network, first_seed, seeds.len());
        network.sample(self.ddim, seeds, &mut |_| check_stop(stop))
    }

    /// How much of its attention the network must record.
    fn detail(&self, network: &Model) -> AttentionDetail {
        match network.config().attention.is_some() {
            true if self.wants_trajectory() => AttentionDetail::Maps,
            true => AttentionDetail::Statistics,
            false => AttentionDetail::Nothing,
        }
    }

    /// The number of seeds that are sampled at once, so that their maps at every step fit into memory.
    pub(super) fn chunk_with_maps(&self, network: &Model, seeds: &ImageBatch, maps: bool) -> usize {
        let n_pixels = seeds.shape().n_pixels();
        let heads = network.config().attention.map_or(0, |attention| attention.heads);
        let maps = if maps { self.ddim.n_steps * heads } else { 0 };
        let per_seed = maps * n_pixels * n_pixels * size_of::<f32>();
        let most = (MAPS_BYTES_MAX / per_seed.max(1)).clamp(1, CHUNK_SEEDS_MAX);
        // Chunks of nearly one size: a small last one would leave processors idle.
        seeds.len().div_ceil(seeds.len().div_ceil(most).max(1)).max(1)
    }

    pub(super) fn sample_network(
        &self,
        network: &Model,
        seeds: &ImageBatch,
        attention: &mut Option<AttentionByLevel>,
        stop: &AtomicBool,
    ) -> Result<(ImageBatch, Option<RecordedAttention>), DenoiseError> {
        let detail = self.detail(network);
        let network = network.clone().recording(detail);
        let mut recorded = RecordedAttention::new();
        let samples = network.sample(self.ddim, seeds, &mut |step| {
            let denoised = step.denoised;
            if let (Some(sum), Some(found)) = (attention.as_mut(), &denoised.attention_statistics) {
                sum.add(step.level.t, found);
            }
            if let Some(maps) = &denoised.attention {
                recorded.push(step.level, maps.clone());
            }
            check_stop(stop)
        })?;
        Ok((samples, (detail == AttentionDetail::Maps).then_some(recorded)))
    }

    /// Whether a machine needs the network's maps along the network's own trajectory.
    pub(super) fn wants_trajectory(&self) -> bool {
        self.entries.iter().any(|entry| entry.source() == Some(AttentionSource::Trajectory))
    }

    pub(super) fn run(
        &self,
        machine: &dyn Denoiser,
        seeds: &ImageBatch,
        stop: &AtomicBool,
    ) -> Result<ImageBatch, DenoiseError> {
        self.ddim.sample(machine, seeds, &mut |_| check_stop(stop))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use candle_core::Device;

    use super::*;
    use crate::config::NamedMachine;
    use crate::diffusion::{Ddim, Schedule};
    use crate::image::ImageShape;
    use crate::network::network_config::{
        Architecture, AttentionConfig, AttentionVariant, NetworkConfig, Output, Padding, Readout,
    };
    use crate::network::{Network, NetworkDenoiser};
    use crate::random::noise_seeds;
    use crate::theory::machine_spec::{
        AttentionSettings, MachineKind, MachineSpec, PatchSize, Scheduled,
    };
    use crate::theory::patch_pools_ls_els_bbels::Pool;
    use crate::theory::{AttentionProvider, Machine, Precision, TrainingImages};

    /// Five images of three classes.
    fn images() -> TrainingImages {
        let shape = ImageShape::new(1, 4, 4);
        let values = noise_seeds(3, 0, 5, shape).into_values();
        let images = TrainingImages::from_values(shape, values).unwrap();
        images.with_labels(vec![0, 1, 2, 0, 1]).unwrap()
    }

    fn network() -> Model {
        let variant = AttentionVariant::Softmax;
        let config = NetworkConfig {
            schedule: Schedule::default(),
            image: ImageShape::new(1, 4, 4),
            architecture: Architecture::ResNet { width: 16, kernels: vec![3] },
            padding: Padding::Zeros,
            group_norm: false,
            last_kernel: 3,
            readout: Readout::Linear,
            n_classes: Some(3),
            attention: Some(AttentionConfig { variant, heads: 2, head_width: 3, normalise: false }),
            output: Output::Noise,
            time_scale: 1.0,
            clamp: true,
        };
        let network = Network::new(&config, 1, &Device::Cpu).unwrap();
        NetworkDenoiser::new(Arc::new(network)).into()
    }

    #[test]
    fn a_conditional_network_is_compared_with_machines_of_the_same_classes() {
        let k = PatchSize::Fixed(3);
        let trajectory =
            AttentionSettings { lambda: 1.0, gamma: 0.5, source: AttentionSource::Trajectory };
        let trajectory = MachineKind::Attention {
            pool: Pool::SameBorder,
            settings: Scheduled::Fixed(trajectory),
        };
        let specs = [MachineKind::Local, trajectory].map(|kind| MachineSpec::new(kind, k.clone()));
        let machines =
            specs.clone().map(|spec| NamedMachine { name: spec.column(), spec }).to_vec();
        let ddim = Ddim::new(Schedule::Cosine, 3);
        let machine_set = MachineSet::new(ddim, images(), machines, Some(3)).unwrap();
        let seeds = noise_seeds(9, 0, 4, ImageShape::new(1, 4, 4));
        let stop = AtomicBool::new(false);
        // Seeds 7..11 have classes 1, 2, 0, 1.
        let set = machine_set.sample(&network(), &seeds, 7, &mut None, &stop, &mut |_| {}).unwrap();
        for (i, class) in [1, 2, 0, 1].into_iter().enumerate() {
            let some = images().only_label(class).unwrap();
            let seed = seeds.slice(i, 1);
            let conditioned = network().with_labels(vec![class as u32]);
            let conditioned = conditioned.recording(AttentionDetail::Maps);
            let mut recorded = RecordedAttention::new();
            let expected = ddim.sample(&conditioned, &seed, &mut |step| {
                recorded.push(step.level, step.denoised.attention.clone().unwrap());
                Ok(())
            });
            let gap = |a: &[f64], b: &[f64]| {
                a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
            };
            assert!(gap(set.network.image(i), expected.unwrap().values()) < 1e-4);
            let some = Arc::new(some);
            for (spec, (name, found)) in specs.iter().zip(&set.machines) {
                let provider = Arc::new(recorded.slice(0, 1)) as Arc<dyn AttentionProvider>;
                let machine =
                    Machine::new(spec.clone(), some.clone(), Precision::F32, Some(provider));
                let expected = ddim.sample(&machine.unwrap(), &seed, &mut |_| Ok(())).unwrap();
                assert!(gap(found.image(i), expected.values()) < 1e-4, "{name}, seed {i}");
            }
        }
    }
}
