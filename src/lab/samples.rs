//! Samples of the network and of every machine from the same noise seeds.
//!
//! Previews and the final comparison both come through here. The network goes first, because its
//! attention maps along its own trajectory are what the `trajectory` source of the attention machine
//! replays; maps are large (`T x heads x P^2` numbers a seed), so seeds go through in chunks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::config::NamedMachine;
use super::figures::EntropySum;
use crate::diffusion::{AttentionMaps, Ddim, DenoiseError, Denoiser, NoiseLevel};
use crate::image::ImageBatch;
use crate::network::{NetworkDenoiser, Watched};
use crate::theory::spec::{AttentionSource, MachineKind};
use crate::theory::{
    AttentionProvider, Machine, Precision, RecordedAttention, TheoryError, TrainingImages,
};

/// Attention maps of one chunk's trajectory may take this much memory.
const MAPS_BYTES_MAX: usize = 256 << 20;
const CHUNK_SEEDS_MAX: usize = 16;

/// The machines of an experiment, ready to sample beside a network.
pub struct Contestants {
    ddim: Ddim,
    images: Arc<TrainingImages>,
    machines: Vec<Contestant>,
}

struct Contestant {
    machine: NamedMachine,
    /// `None` for machines that are built anew around each network.
    ready: Option<Machine>,
}

/// What all made of some seeds.
#[derive(Clone, Debug)]
pub struct SampleSet {
    pub seeds: ImageBatch,
    pub network: ImageBatch,
    pub machines: Vec<(String, ImageBatch)>,
}

impl Contestants {
    /// Builds what does not depend on the network; refuses settings that do not fit the images.
    pub fn new(
        ddim: Ddim,
        images: Arc<TrainingImages>,
        machines: Vec<NamedMachine>,
    ) -> Result<Self, TheoryError> {
        let machines = machines
            .into_iter()
            .map(|machine| {
                let ready = match source(&machine) {
                    Some(AttentionSource::Trajectory | AttentionSource::Measured) => None,
                    // Single precision: thousands of queries, and the samples are compared with a
                    // network that computes in it too.
                    _ => Some(Machine::new(
                        machine.spec.clone(),
                        images.clone(),
                        Precision::F32,
                        None,
                    )?),
                };
                Ok(Contestant { machine, ready })
            })
            .collect::<Result<_, TheoryError>>()?;
        Ok(Self { ddim, images, machines })
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.machines.iter().map(|contestant| contestant.machine.name.as_str())
    }

    pub fn machines(&self) -> impl Iterator<Item = &NamedMachine> {
        self.machines.iter().map(|contestant| &contestant.machine)
    }

    /// Samples `seeds` by all. The first is noise seed `first_seed`, which decides
    /// the classes. `entropy` takes the network's maps in; `stop` ends it early; `ready` is
    /// shown what there is whenever one more has sampled all seeds.
    pub fn sample(
        &self,
        network: &NetworkDenoiser,
        seeds: &ImageBatch,
        first_seed: u64,
        entropy: &mut Option<EntropySum>,
        stop: &AtomicBool,
        ready: &mut dyn FnMut(&SampleSet),
    ) -> Result<SampleSet, DenoiseError> {
        let chunk = self.chunk(network, seeds);
        let empty = ImageBatch::zeros(seeds.shape(), 0);
        let mut set = SampleSet {
            seeds: seeds.clone(),
            network: empty.clone(),
            machines: self.names().map(|name| (name.to_owned(), empty.clone())).collect(),
        };
        for start in (0..seeds.len()).step_by(chunk) {
            let seeds = seeds.slice(start, chunk.min(seeds.len() - start));
            let network = &with_classes(network, first_seed + start as u64, seeds.len());
            let (samples, recorded) = self.sample_network(network, &seeds, entropy, stop)?;
            set.network.append(&samples);
            let recorded = recorded.map(Arc::new);
            for (index, contestant) in self.machines.iter().enumerate() {
                let machine = self.machine(contestant, network, recorded.clone())?;
                set.machines[index].1.append(&self.run(&machine, &seeds, stop)?);
                if set.machines[index].1.len() == set.seeds.len() {
                    ready(&set);
                }
            }
        }
        Ok(set)
    }

    /// Samples `seeds` by the network alone: rates want more samples than machines have time for.
    pub fn sample_network_only(
        &self,
        network: &NetworkDenoiser,
        seeds: &ImageBatch,
        first_seed: u64,
        stop: &AtomicBool,
    ) -> Result<ImageBatch, DenoiseError> {
        self.run(&with_classes(network, first_seed, seeds.len()), seeds, stop)
    }

    fn chunk(&self, network: &NetworkDenoiser, seeds: &ImageBatch) -> usize {
        let n_pixels = seeds.shape().n_pixels();
        let heads = network.network().config().attention.map_or(0, |attention| attention.heads);
        let maps = if self.wants_trajectory() { self.ddim.n_steps * heads } else { 0 };
        let per_seed = maps * n_pixels * n_pixels * size_of::<f32>();
        (MAPS_BYTES_MAX / per_seed.max(1)).clamp(1, CHUNK_SEEDS_MAX)
    }

    fn sample_network(
        &self,
        network: &NetworkDenoiser,
        seeds: &ImageBatch,
        entropy: &mut Option<EntropySum>,
        stop: &AtomicBool,
    ) -> Result<(ImageBatch, Option<RecordedAttention>), DenoiseError> {
        let has_attention = network.network().config().attention.is_some();
        let watched = match has_attention {
            true if self.wants_trajectory() => Watched::Maps,
            true => Watched::Statistics,
            false => Watched::Nothing,
        };
        let network = network.clone().watching(watched);
        let mut recorded = RecordedAttention::new();
        let samples = self.ddim.sample(&network, seeds, &mut |step| {
            let denoised = step.denoised;
            if let (Some(sum), Some(found)) = (entropy.as_mut(), &denoised.attention_statistics) {
                sum.add(step.level.t, found);
            }
            if let Some(maps) = &denoised.attention {
                recorded.push(step.level, maps.clone());
            }
            go_on(stop)
        })?;
        Ok((samples, (watched == Watched::Maps).then_some(recorded)))
    }

    /// Whether a machine needs the network's maps along the network's own trajectory.
    fn wants_trajectory(&self) -> bool {
        let wants = |c: &Contestant| source(&c.machine) == Some(AttentionSource::Trajectory);
        self.machines.iter().any(wants)
    }

    fn machine(
        &self,
        contestant: &Contestant,
        network: &NetworkDenoiser,
        recorded: Option<Arc<RecordedAttention>>,
    ) -> Result<Machine, DenoiseError> {
        if let Some(machine) = &contestant.ready {
            return Ok(machine.clone());
        }
        let provider: Option<Arc<dyn AttentionProvider>> = match source(&contestant.machine) {
            Some(AttentionSource::Measured) => Some(Arc::new(MeasuredAttention(network.clone()))),
            _ => recorded.map(|recorded| recorded as Arc<dyn AttentionProvider>),
        };
        let spec = contestant.machine.spec.clone();
        Machine::new(spec, self.images.clone(), Precision::F32, provider).map_err(|error| {
            DenoiseError::Failed {
                denoiser: contestant.machine.name.clone(),
                source: Box::new(error),
            }
        })
    }

    fn run(
        &self,
        machine: &dyn Denoiser,
        seeds: &ImageBatch,
        stop: &AtomicBool,
    ) -> Result<ImageBatch, DenoiseError> {
        self.ddim.sample(machine, seeds, &mut |_| go_on(stop))
    }
}

/// The network told a class for each of the seeds `first..first + n`, if it wants one: seed i gets class
/// i mod n_classes, wherever it is sampled.
pub fn with_classes(network: &NetworkDenoiser, first: u64, n: usize) -> NetworkDenoiser {
    match network.network().config().n_classes {
        Some(n_classes) => {
            let class = |seed: u64| (seed % n_classes as u64) as u32;
            network.clone().with_labels((first..first + n as u64).map(class).collect())
        }
        None => network.clone(),
    }
}

fn source(machine: &NamedMachine) -> Option<AttentionSource> {
    match &machine.spec.kind {
        MachineKind::Attention(settings) => Some(settings.source),
        _ => None,
    }
}

fn go_on(stop: &AtomicBool) -> Result<(), DenoiseError> {
    if stop.load(Ordering::SeqCst) { Err(DenoiseError::Cancelled) } else { Ok(()) }
}

/// The network's maps at whatever state the machine is in: the closed loop. This adapter is where
/// `theory` and `network`, which do not know each other, meet.
struct MeasuredAttention(NetworkDenoiser);

impl AttentionProvider for MeasuredAttention {
    fn attention(&self, x: &ImageBatch, level: NoiseLevel) -> Result<AttentionMaps, DenoiseError> {
        self.0.attention(x, level)
    }
}
