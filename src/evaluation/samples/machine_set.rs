//! The score machines of an experiment, ready to be sampled beside a network.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::config::NamedMachine;
use crate::diffusion::{AttentionMaps, Ddim, DenoiseError, NoiseLevel};
use crate::evaluation::network_or_recorded_model::Model;
use crate::image::{Augmentation, ImageBatch};
use crate::theory::attention_optimal::AttentionClass;
use crate::theory::machine_spec::{AttentionSource, MachineKind, MachineSpec};
use crate::theory::{
    AttentionProvider, Machine, Precision, RecordedAttention, TheoryError, TrainingImages,
};

/// The machines of an experiment, ready to sample beside a network.
pub struct MachineSet {
    pub(super) ddim: Ddim,
    /// The training images of each class; all images alone for a network without classes.
    pub(super) dictionaries: Vec<Arc<TrainingImages>>,
    pub(super) entries: Vec<MachineEntry>,
}

/// One machine of a set.
pub(super) struct MachineEntry {
    pub machine: NamedMachine,
    /// One per dictionary; empty for machines that are built anew around each network.
    pub ready: Vec<Machine>,
}

impl MachineEntry {
    pub fn source(&self) -> Option<AttentionSource> {
        self.machine.spec.kind.attention_source()
    }

    /// Whether the machine computes attention from the training images alone.
    pub fn predicts_attention(&self) -> bool {
        let is_solved = matches!(self.machine.spec.kind, MachineKind::OptimalAttention(_));
        let is_shared = matches!(
            self.source(),
            Some(AttentionSource::CoOrigin | AttentionSource::Similarity { .. })
        );
        is_solved || is_shared
    }
}

impl MachineSet {
    /// Builds the machines over the training images of each class.
    ///
    /// # Errors
    /// If a class has no images, or a machine's settings do not fit them.
    pub fn new(
        ddim: Ddim,
        images: TrainingImages,
        machines: Vec<NamedMachine>,
        n_classes: Option<usize>,
    ) -> Result<Self, TheoryError> {
        let dictionaries = Arc::new(images).by_class(n_classes)?;
        let build = |spec: &MachineSpec| {
            let each = dictionaries.iter();
            each.map(|images| Machine::new(spec.clone(), images.clone(), Precision::F32, None))
                .collect::<Result<Vec<_>, _>>()
        };
        let entry = |machine: NamedMachine| {
            let ready = match machine.spec.kind.attention_source() {
                Some(AttentionSource::Trajectory | AttentionSource::Measured) => Vec::new(),
                // Single precision: thousands of queries, and the samples are compared with a
                // network that computes in it too.
                _ => build(&machine.spec)?,
            };
            Ok(MachineEntry { machine, ready })
        };
        let entries = machines.into_iter().map(entry).collect::<Result<_, TheoryError>>()?;
        Ok(Self { ddim, dictionaries, entries })
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.machine.name.as_str())
    }

    pub fn machines(&self) -> impl Iterator<Item = &NamedMachine> {
        self.entries.iter().map(|entry| &entry.machine)
    }

    /// The same machines under other settings, given in the order of [`Self::machines`].
    ///
    /// # Errors
    /// If a machine's settings do not fit the images.
    pub fn with_machines(&self, machines: Vec<NamedMachine>) -> Result<Self, TheoryError> {
        let change = |(machine, old): (NamedMachine, &MachineEntry)| {
            let ready = old.ready.iter().map(|ready| ready.with_spec(machine.spec.clone()));
            let ready = ready.collect::<Result<Vec<_>, _>>()?;
            Ok(MachineEntry { machine, ready })
        };
        let entries = machines.into_iter().zip(&self.entries).map(change);
        Ok(Self {
            ddim: self.ddim,
            dictionaries: self.dictionaries.clone(),
            entries: entries.collect::<Result<_, TheoryError>>()?,
        })
    }

    /// The same machines with another number of sampling steps. Settings that differ from step to step belong to their
    /// t, so machines with such settings need the number of steps that these were made for.
    ///
    /// # Errors
    ///
    /// If a machine's settings do not fit the images.
    pub fn in_steps(&self, n_steps: usize) -> Result<Self, TheoryError> {
        let machines = self.machines().cloned().collect();
        let mut same = self.with_machines(machines)?;
        same.ddim.n_steps = n_steps;
        Ok(same)
    }

    /// The machines that can be sampled at once, without `attention-optimal` while it is being solved, and without those in
    /// `left_out`.
    ///
    /// # Errors
    ///
    /// As [`Self::with_machines`].
    pub fn solved_except(&self, left_out: &BTreeSet<String>) -> Result<Self, TheoryError> {
        self.kept(|entry| {
            !left_out.contains(&entry.machine.name) && entry.ready.iter().all(Machine::is_solved)
        })
    }

    /// The machines of these names.
    ///
    /// # Errors
    ///
    /// As [`Self::with_machines`].
    pub fn only(&self, names: &[String]) -> Result<Self, TheoryError> {
        self.kept(|entry| names.contains(&entry.machine.name))
    }

    fn kept(&self, is_kept: impl Fn(&MachineEntry) -> bool) -> Result<Self, TheoryError> {
        let copy = |entry: &MachineEntry| {
            let ready = entry.ready.iter().map(|ready| ready.with_spec(ready.spec().clone()));
            let ready = ready.collect::<Result<_, _>>()?;
            Ok(MachineEntry { machine: entry.machine.clone(), ready })
        };
        let entries = self.entries.iter().filter(|entry| is_kept(entry)).map(copy);
        Ok(Self {
            ddim: self.ddim,
            dictionaries: self.dictionaries.clone(),
            entries: entries.collect::<Result<_, TheoryError>>()?,
        })
    }

    /// The class of `attention-optimal`, if that is among the machines.
    pub fn optimal_class(&self) -> Option<AttentionClass> {
        self.machines().find_map(|machine| match machine.spec.kind {
            MachineKind::OptimalAttention(class) => Some(class),
            _ => None,
        })
    }

    pub fn ddim(&self) -> Ddim {
        self.ddim
    }

    /// The training images of each class; all images alone for a network without classes.
    pub fn dictionaries(&self) -> &[Arc<TrainingImages>] {
        &self.dictionaries
    }

    /// Which mirrored and turned copies the dictionaries hold.
    pub fn augmentation(&self) -> Augmentation {
        self.dictionaries.first().map_or(Augmentation::None, |images| images.augmentation())
    }

    /// The machine of this name over the training images of each class; `None` if it is not there or needs the network's
    /// attention maps.
    pub fn of_classes(&self, name: &str) -> Option<Vec<Machine>> {
        let entry = self.entries.iter().find(|entry| entry.machine.name == name)?;
        (!entry.ready.is_empty()).then(|| entry.ready.clone())
    }

    /// Every machine for one noise seed, with its name; `recorded` holds the network's attention maps along its
    /// trajectory from that seed.
    ///
    /// # Errors
    ///
    /// If a machine cannot be built, for instance because it needs `recorded` and that is `None`.
    pub fn built_for(
        &self,
        network: &Model,
        seed: u64,
        recorded: Option<RecordedAttention>,
    ) -> Result<Vec<(String, Machine)>, DenoiseError> {
        let build = |entry: &MachineEntry| {
            let machine = self.machine(entry, seed, network.clone(), recorded.clone())?;
            Ok((entry.machine.name.clone(), machine))
        };
        self.entries.iter().map(build).collect()
    }

    /// The machine of an entry for noise seed `seed`, whose class decides the training images.
    pub(super) fn machine(
        &self,
        entry: &MachineEntry,
        seed: u64,
        network: Model,
        recorded: Option<RecordedAttention>,
    ) -> Result<Machine, DenoiseError> {
        let class = (seed % self.dictionaries.len() as u64) as usize;
        if let Some(machine) = entry.ready.get(class) {
            return Ok(machine.clone());
        }
        let provider: Option<Arc<dyn AttentionProvider>> = match entry.source() {
            Some(AttentionSource::Measured) => Some(Arc::new(MeasuredAttention(network))),
            _ => recorded.map(|recorded| Arc::new(recorded) as Arc<dyn AttentionProvider>),
        };
        let (spec, images) = (entry.machine.spec.clone(), self.dictionaries[class].clone());
        Machine::new(spec, images, Precision::F32, provider).map_err(|error| DenoiseError::Failed {
            denoiser: entry.machine.name.clone(),
            source: Box::new(error),
        })
    }
}

/// The network's attention maps at the machine's own state: the closed loop. This adapter connects `theory` and
/// `network`, which do not import each other.
struct MeasuredAttention(Model);

impl AttentionProvider for MeasuredAttention {
    fn attention(&self, x: &ImageBatch, level: NoiseLevel) -> Result<AttentionMaps, DenoiseError> {
        self.0.attention(x, level)
    }
}
