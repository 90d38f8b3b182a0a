//! The machines whose errors are floors, and their errors at every noise level.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::noised_images::{NoisedImages, Translation};
use super::squared_error::squared_errors;
use crate::analysis::excess_over_floor::MeanSquaredError;
use crate::dataset::Dataset;
use crate::diffusion::{DenoiseError, NoiseLevel};
use crate::evaluation::samples::MachineSet;
use crate::evaluation::stop_flag::check_stop;
use crate::image::Augmentation;
use crate::network::network_config::Padding;
use crate::theory::attention_optimal::AttentionClass;
use crate::theory::machine_spec::{MachineKind, MachineSpec, PatchSize};
use crate::theory::{Machine, Precision, TheoryError, TrainingImages};

/// Most draws that are denoised at once, between two looks at the stop flag; one for large data sets.
const PIECE: usize = 16;
/// Data sets that are compared with in full for one draw, in pairs of values, at which a piece is a single draw.
const LARGE: f64 = 1e9;

/// The dictionaries of machines whose errors are floors: the images that a network was trained on, with the copies that its
/// training drew. They are those of `machine_set`, if its machines compare with the same copies.
///
/// # Errors
///
/// If the images cannot be a dictionary, or a class has none.
pub fn floor_dictionaries(
    trained_on: &Dataset,
    augmentation: Augmentation,
    machine_set: &MachineSet,
) -> Result<Vec<Arc<TrainingImages>>, TheoryError> {
    let known = machine_set.dictionaries();
    if known.iter().all(|images| images.augmentation() == augmentation) {
        return Ok(known.to_vec());
    }
    let images = TrainingImages::from_dataset(trained_on)?;
    let images = match known.first().and_then(|images| images.optimum_solver()) {
        Some(solver) => images.with_optimum_solver(solver.clone()),
        None => images,
    };
    Arc::new(images).by_class((known.len() > 1).then_some(known.len()))
}

/// Default of the most draws per noise level, and the fewest, however large the data set is.
pub const DRAWS_MAX: usize = 512;
const DRAWS_MIN: usize = 16;
/// Pairs of values that may be compared for one machine at one level, were all patches compared one by one: what a few
/// seconds of two cores allow. Larger data sets get fewer draws.
const COMPARISONS_MAX: f64 = 1e11;

/// How many draws per noise level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draws {
    Exactly(usize),
    /// So many; fewer for large data sets, and a quarter for `es`, which compares with every image at every translation.
    AtMost(usize),
}

/// A machine whose error is a floor.
pub struct FloorMachine {
    pub name: String,
    /// Whether the images that it is tested on are moved first. A machine that knows absolute positions is tested on
    /// images where they were.
    translation: Translation,
    /// One per class; a single one for networks without classes.
    by_class: Vec<Machine>,
}

/// The errors of every floor machine at one noise level.
#[derive(Clone, Debug, PartialEq)]
pub struct LevelFloor {
    pub level: NoiseLevel,
    /// Name of each machine and `|| phi - x0hat ||^2` per value of each draw.
    pub errors: Vec<(String, Vec<f64>)>,
}

impl LevelFloor {
    /// The errors of `machines` at one level, on as many draws as `n` says. The same `seed` gives the same draws.
    ///
    /// # Errors
    ///
    /// If a machine fails, or [`DenoiseError::Cancelled`] once `stop` is set.
    pub fn measure<'a>(
        dataset: &Dataset,
        machines: impl IntoIterator<Item = &'a FloorMachine>,
        level: NoiseLevel,
        n: Draws,
        seed: u64,
        stop: &AtomicBool,
    ) -> Result<Self, DenoiseError> {
        let errors = |machine: &FloorMachine| {
            let n = machine.draws(n);
            Ok((machine.name.clone(), machine.errors(dataset, level, n, seed, stop)?))
        };
        let errors = machines.into_iter().map(errors).collect::<Result<_, DenoiseError>>()?;
        Ok(Self { level, errors })
    }

    /// The mean squared error of each machine.
    pub fn means(&self) -> impl Iterator<Item = (&str, MeanSquaredError)> {
        self.errors.iter().map(|(name, errors)| (name.as_str(), MeanSquaredError::of(errors)))
    }

    /// The errors of the machine called `name`, one per draw.
    pub fn of(&self, name: &str) -> Option<&[f64]> {
        let found = self.errors.iter().find(|(other, _)| other == name);
        found.map(|(_, errors)| errors.as_slice())
    }
}

impl FloorMachine {
    /// `ideal`, `es`, and the local machine that matches the padding (`els` for circular padding, `bbels` for zeros) with
    /// patches of `patch_side` pixels, over the images of each class (or one dictionary of all images); then
    /// `attention-optimal` for `class`, if given.
    ///
    /// # Errors
    ///
    /// If a machine does not fit the images.
    pub fn all(
        dictionaries: &[Arc<TrainingImages>],
        padding: Padding,
        patch_side: usize,
        class: Option<AttentionClass>,
    ) -> Result<Vec<Self>, TheoryError> {
        // Networks are measured without their clamp.
        let class = class.map(|class| AttentionClass { clamp: false, ..class });
        let optimal = class.map(MachineKind::OptimalAttention);
        let (local, moved) = match padding {
            Padding::Circular => (MachineKind::EquivariantLocal, Translation::Circular),
            Padding::Zeros => (MachineKind::BoundaryBroken, Translation::None),
        };
        [
            (MachineKind::Ideal, Translation::None),
            (MachineKind::EquivariantIdeal, moved),
            (local, moved),
        ]
        .into_iter()
        .chain(optimal.map(|kind| (kind, moved)))
        .map(|(kind, translation)| {
            let spec = MachineSpec::new(kind, PatchSize::Fixed(patch_side));
            Self::new(spec, translation, dictionaries)
        })
        .collect()
    }

    /// The number of draws per noise level.
    pub fn draws(&self, wanted: Draws) -> usize {
        let most = match wanted {
            Draws::Exactly(n) => return n,
            Draws::AtMost(most) => most,
        };
        let affordable = ((COMPARISONS_MAX / self.comparisons()) as usize).max(DRAWS_MIN).min(most);
        match self.by_class[0].spec().kind {
            MachineKind::EquivariantIdeal => (affordable / 4).max(DRAWS_MIN.min(most)),
            _ => affordable,
        }
    }

    /// Pairs of values that are compared for one draw, were all patches compared one by one.
    fn comparisons(&self) -> f64 {
        let shape = self.by_class[0].images().shape();
        let pixels = shape.n_pixels() as f64;
        let n_images: usize = self.by_class.iter().map(|machine| machine.images().len()).sum();
        n_images as f64 * pixels * pixels * shape.channels as f64
    }

    fn new(
        spec: MachineSpec,
        translation: Translation,
        dictionaries: &[Arc<TrainingImages>],
    ) -> Result<Self, TheoryError> {
        let build = |images: &Arc<TrainingImages>| {
            Machine::new(spec.clone(), images.clone(), Precision::F32, None)
        };
        let by_class = dictionaries.iter().map(build).collect::<Result<_, _>>()?;
        Ok(Self { name: spec.column(), translation, by_class })
    }

    /// `|| phi - x0hat ||^2` per value of `n` draws.
    ///
    /// # Errors
    ///
    /// If the machine fails, or [`DenoiseError::Cancelled`] once `stop` is set.
    fn errors(
        &self,
        dataset: &Dataset,
        level: NoiseLevel,
        n: usize,
        seed: u64,
        stop: &AtomicBool,
    ) -> Result<Vec<f64>, DenoiseError> {
        let noised = NoisedImages::draw(dataset, level, n, self.translation, seed);
        let mut errors = vec![0.0; n];
        let piece = ((LARGE / self.comparisons()) as usize).clamp(1, PIECE);
        for (class, machine) in self.by_class.iter().enumerate() {
            let of_class = |draw: &usize| match &noised.classes {
                Some(classes) if self.by_class.len() > 1 => classes[*draw] as usize == class,
                _ => true,
            };
            let draws: Vec<usize> = (0..n).filter(of_class).collect();
            for some in draws.chunks(piece) {
                check_stop(stop)?;
                let found = squared_errors(machine, &noised.select(some))?;
                some.iter().zip(found).for_each(|(&draw, error)| errors[draw] = error);
            }
        }
        Ok(errors)
    }
}
