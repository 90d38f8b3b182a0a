//! Samples of the network and of every machine from the same noise seeds.
//!
//! Previews and the final comparison both come through here. The network goes first, because its
//! attention maps along its own trajectory are what the `trajectory` source of the attention machine
//! replays; maps are large (`T x heads x P^2` numbers a seed), so seeds go through in chunks.
//!
//! A network that is told a class (seed i gets class i mod n_classes, wherever it is sampled) is compared with
//! machines that know the images of that class only.

mod by_step;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use by_step::{MapFigures, StepAgreement, StepFigures};

use super::calibration::{Families, Family, Subject};
use super::entropy::EntropySum;
use crate::config::NamedMachine;
use crate::diffusion::{
    AttentionMaps, AttentionStatistics, Ddim, DenoiseError, Denoiser, Grid, NoiseLevel,
};
use crate::image::ImageBatch;
use crate::network::{AttentionDetail, NetworkDenoiser};
use crate::theory::spec::{AttentionSource, MachineKind, MachineSpec};
use crate::theory::{
    AttentionProvider, Machine, Precision, RecordedAttention, TheoryError, TrainingImages,
};

/// Attention maps of one chunk's trajectory may take this much memory.
const MAPS_BYTES_MAX: usize = 256 << 20;
const CHUNK_SEEDS_MAX: usize = 16;

/// The machines of an experiment, ready to sample beside a network.
pub struct MachineSet {
    ddim: Ddim,
    /// Of each class; for a network without classes all images alone.
    dictionaries: Vec<Arc<TrainingImages>>,
    machines: Vec<MachineEntry>,
}

struct MachineEntry {
    machine: NamedMachine,
    /// One a dictionary; none for machines that are built anew around each network.
    ready: Vec<Machine>,
}

/// What all made of some seeds.
#[derive(Clone, Debug)]
pub struct SampleSet {
    pub seeds: ImageBatch,
    pub network: ImageBatch,
    pub machines: Vec<(String, ImageBatch)>,
}

impl MachineSet {
    /// Builds what does not depend on the network; refuses settings that do not fit the images. A class of which
    /// there are no images is compared with all.
    pub fn new(
        ddim: Ddim,
        images: TrainingImages,
        machines: Vec<NamedMachine>,
        n_classes: Option<usize>,
    ) -> Result<Self, TheoryError> {
        let all = Arc::new(images);
        let of_class = |class: usize| match all.only_label(class as i64) {
            Ok(some) => Arc::new(some),
            Err(_) => all.clone(),
        };
        let dictionaries: Vec<_> = match n_classes {
            Some(n) => (0..n).map(of_class).collect(),
            None => vec![all.clone()],
        };
        let build = |spec: &MachineSpec| {
            let each = dictionaries.iter();
            each.map(|images| Machine::new(spec.clone(), images.clone(), Precision::F32, None))
                .collect::<Result<Vec<_>, _>>()
        };
        let machines = machines
            .into_iter()
            .map(|machine| {
                let ready = match source(&machine) {
                    Some(AttentionSource::Trajectory | AttentionSource::Measured) => Vec::new(),
                    // Single precision: thousands of queries, and the samples are compared with a
                    // network that computes in it too.
                    _ => build(&machine.spec)?,
                };
                Ok(MachineEntry { machine, ready })
            })
            .collect::<Result<_, TheoryError>>()?;
        Ok(Self { ddim, dictionaries, machines })
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.machines.iter().map(|entry| entry.machine.name.as_str())
    }

    pub fn machines(&self) -> impl Iterator<Item = &NamedMachine> {
        self.machines.iter().map(|entry| &entry.machine)
    }

    /// What can be calibrated, for seeds from `first_seed` on, which decides the classes.
    pub fn subjects(&self, first_seed: u64) -> Vec<Subject<'_>> {
        let subject = |entry| self.subject(entry, first_seed);
        self.machines.iter().filter_map(subject).collect()
    }

    fn subject<'a>(&'a self, entry: &'a MachineEntry, first_seed: u64) -> Option<Subject<'a>> {
        let NamedMachine { name, spec } = &entry.machine;
        let source = spec.kind.attention_source();
        let by_class = match (&spec.kind, source) {
            (&MachineKind::Attention { pool, .. }, Some(source)) => {
                let images = self.dictionaries.iter();
                images.map(|images| Family::Attention { pool, source, images }).collect()
            }
            (kind, _) if kind.uses_patches() => {
                entry.ready.iter().map(|machine| Family::Plain { machine }).collect()
            }
            _ => return None,
        };
        let families = Families { first_seed, by_class };
        Some(Subject { name: name.clone(), source, families })
    }

    /// The same machines under other settings.
    pub fn with_machines(&self, machines: Vec<NamedMachine>) -> Result<Self, TheoryError> {
        let change = |(machine, old): (NamedMachine, &MachineEntry)| {
            let ready = old.ready.iter().map(|ready| ready.with_spec(machine.spec.clone()));
            let ready = ready.collect::<Result<Vec<_>, _>>()?;
            Ok(MachineEntry { machine, ready })
        };
        let machines = machines.into_iter().zip(&self.machines).map(change);
        Ok(Self {
            ddim: self.ddim,
            dictionaries: self.dictionaries.clone(),
            machines: machines.collect::<Result<_, TheoryError>>()?,
        })
    }

    /// The same machines in another number of sampling steps. Settings that differ from step to step stay with their t,
    /// which must then be the same.
    pub fn in_steps(&self, n_steps: usize) -> Result<Self, TheoryError> {
        let machines = self.machines().cloned().collect();
        let mut same = self.with_machines(machines)?;
        same.ddim.n_steps = n_steps;
        Ok(same)
    }

    pub fn ddim(&self) -> Ddim {
        self.ddim
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
            let first = first_seed + start as u64;
            let told = &with_classes(network, first, seeds.len());
            let (samples, recorded) = self.sample_network(told, &seeds, entropy, stop)?;
            set.network.append(&samples);
            // With classes, machines sample seed by seed.
            let each = if self.dictionaries.len() > 1 { 1 } else { seeds.len() };
            for (index, entry) in self.machines.iter().enumerate() {
                for at in (0..seeds.len()).step_by(each) {
                    let seed = first + at as u64;
                    let recorded = recorded.as_ref().map(|recorded| recorded.slice(at, each));
                    let told = with_classes(network, seed, each);
                    let machine = self.machine(entry, seed, told, recorded)?;
                    let samples = self.run(&machine, &seeds.slice(at, each), stop)?;
                    set.machines[index].1.append(&samples);
                }
                if set.machines[index].1.len() == set.seeds.len() {
                    ready(&set);
                }
            }
        }
        Ok(set)
    }

    /// What of the network's attention is of use.
    fn detail(&self, network: &NetworkDenoiser) -> AttentionDetail {
        match network.network().config().attention.is_some() {
            true if self.wants_trajectory() => AttentionDetail::Maps,
            true => AttentionDetail::Statistics,
            false => AttentionDetail::Nothing,
        }
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
        self.chunk_with_maps(network, seeds, self.wants_trajectory())
    }

    /// Seeds whose maps at every step may be held at once.
    fn chunk_with_maps(&self, network: &NetworkDenoiser, seeds: &ImageBatch, maps: bool) -> usize {
        let n_pixels = seeds.shape().n_pixels();
        let heads = network.network().config().attention.map_or(0, |attention| attention.heads);
        let maps = if maps { self.ddim.n_steps * heads } else { 0 };
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
        let detail = self.detail(network);
        let network = network.clone().recording(detail);
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
        Ok((samples, (detail == AttentionDetail::Maps).then_some(recorded)))
    }

    /// Whether a machine needs the network's maps along the network's own trajectory.
    fn wants_trajectory(&self) -> bool {
        let wants = |c: &MachineEntry| source(&c.machine) == Some(AttentionSource::Trajectory);
        self.machines.iter().any(wants)
    }

    /// Every machine as it is for one noise seed, with its name; `recorded` are the network's maps along its way from it.
    pub fn built_for(
        &self,
        network: &NetworkDenoiser,
        seed: u64,
        recorded: Option<RecordedAttention>,
    ) -> Result<Vec<(String, Machine)>, DenoiseError> {
        let build = |entry: &MachineEntry| {
            let machine = self.machine(entry, seed, network.clone(), recorded.clone())?;
            Ok((entry.machine.name.clone(), machine))
        };
        self.machines.iter().map(build).collect()
    }

    /// The attention of every machine that derives its own from the training images, in their order; `labels` are the
    /// images' classes, where there are dictionaries of several.
    pub fn predicted_attention(
        &self,
        x: &ImageBatch,
        labels: &[u32],
        level: NoiseLevel,
        grid: Grid,
    ) -> Result<Vec<(String, AttentionStatistics)>, DenoiseError> {
        let has_own = |entry: &&MachineEntry| {
            let source = source(&entry.machine);
            matches!(source, Some(AttentionSource::CoOrigin | AttentionSource::Similarity { .. }))
        };
        let mut all = Vec::new();
        for entry in self.machines.iter().filter(has_own) {
            let mut found = AttentionStatistics::default();
            for index in 0..x.len() {
                let class = labels.get(index).map_or(0, |&label| label as usize);
                let ready = entry.ready.get(class).or(entry.ready.first());
                let Some(machine) = ready else { continue };
                let machine = machine.clone().with_posterior(true);
                let maps = machine.denoise(&x.slice(index, 1), level)?.attention;
                if let Some(one) = maps.and_then(|maps| AttentionStatistics::of_maps(&maps, grid)) {
                    found.merge(&one);
                }
            }
            all.push((entry.machine.name.clone(), found));
        }
        Ok(all)
    }

    fn machine(
        &self,
        entry: &MachineEntry,
        seed: u64,
        network: NetworkDenoiser,
        recorded: Option<RecordedAttention>,
    ) -> Result<Machine, DenoiseError> {
        let class = (seed % self.dictionaries.len() as u64) as usize;
        if let Some(machine) = entry.ready.get(class) {
            return Ok(machine.clone());
        }
        let provider: Option<Arc<dyn AttentionProvider>> = match source(&entry.machine) {
            Some(AttentionSource::Measured) => Some(Arc::new(MeasuredAttention(network))),
            _ => recorded.map(|recorded| Arc::new(recorded) as Arc<dyn AttentionProvider>),
        };
        let (spec, images) = (entry.machine.spec.clone(), self.dictionaries[class].clone());
        Machine::new(spec, images, Precision::F32, provider).map_err(|error| DenoiseError::Failed {
            denoiser: entry.machine.name.clone(),
            source: Box::new(error),
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
    machine.spec.kind.attention_source()
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

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::diffusion::Schedule;
    use crate::image::ImageShape;
    use crate::network::Network;
    use crate::network::config::{
        AttentionConfig, AttentionVariant, Body, NetworkConfig, Output, Padding,
    };
    use crate::random::noise_seeds;
    use crate::theory::patches::Pool;
    use crate::theory::spec::{AttentionSettings, PatchSize, Scheduled};

    /// Five images of three classes, of which the last has none.
    fn images() -> TrainingImages {
        let shape = ImageShape::new(1, 4, 4);
        let values = noise_seeds(3, 0, 5, shape).into_values();
        let images = TrainingImages::from_values(shape, values).unwrap();
        images.with_labels(vec![0, 1, 1, 0, 1]).unwrap()
    }

    fn network() -> NetworkDenoiser {
        let variant = AttentionVariant::Softmax;
        let config = NetworkConfig {
            image: ImageShape::new(1, 4, 4),
            body: Body::ResNet { width: 16, kernels: vec![3] },
            padding: Padding::Zeros,
            group_norm: false,
            last_kernel: 3,
            n_classes: Some(3),
            attention: Some(AttentionConfig { variant, heads: 2, head_width: 3, normalise: false }),
            output: Output::Noise,
            time_scale: 1.0,
            clamp: true,
        };
        NetworkDenoiser::new(Arc::new(Network::new(&config, 1, &Device::Cpu).unwrap()))
    }

    #[test]
    fn a_network_that_is_told_classes_is_compared_with_machines_of_these_classes() {
        let k = PatchSize::Fixed(3);
        let trajectory =
            AttentionSettings { lambda: 1.0, gamma: 0.5, source: AttentionSource::Trajectory };
        let trajectory = MachineKind::Attention {
            pool: Pool::SameBorder,
            settings: Scheduled::Fixed(trajectory),
        };
        let specs = [MachineKind::Local, trajectory].map(|kind| MachineSpec { kind, k: k.clone() });
        let machines =
            specs.clone().map(|spec| NamedMachine { name: spec.column(), spec }).to_vec();
        let ddim = Ddim::new(Schedule::Cosine, 3);
        let machine_set = MachineSet::new(ddim, images(), machines, Some(3)).unwrap();
        let seeds = noise_seeds(9, 0, 4, ImageShape::new(1, 4, 4));
        let stop = AtomicBool::new(false);
        // Seeds 7..11 have classes 1, 2, 0, 1.
        let set = machine_set.sample(&network(), &seeds, 7, &mut None, &stop, &mut |_| {}).unwrap();
        for (i, class) in [1, 2, 0, 1].into_iter().enumerate() {
            let some = images().only_label(class).unwrap_or_else(|_| images());
            let seed = seeds.slice(i, 1);
            let told = network().with_label(class as u32).recording(AttentionDetail::Maps);
            let mut recorded = RecordedAttention::new();
            let expected = ddim.sample(&told, &seed, &mut |step| {
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
