//! A look inside: one noise seed's way through the network and through each machine, with where they looked.
//!
//! [`trace`] samples one seed and keeps, at every step, the state, the clean estimate, attention maps, and of each
//! machine's posterior the entropy, the likeliest patch and the training images that weigh most, pixel by
//! pixel. [`file`] is how that lies on disk (a run's `traces/`), so that a dashboard that knows no network can scrub through it;
//! [`picture`] draws it, [`table`] has its figures.

mod file;
pub mod picture;
pub mod table;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use half::f16;

use super::calibration::Calibration;
use super::samples::with_classes;
use super::trained::Trained;
use crate::diffusion::{AttentionMaps, DenoiseError, NoiseLevel};
use crate::image::{ImageBatch, ImageShape};
use crate::network::AttentionDetail;
use crate::random::noise_seeds;
use crate::runs::run_dir::RunDir;
use crate::theory::patches::Pool;
use crate::theory::spec::{AttentionSource, MachineKind};
use crate::theory::sweep::Sweep;
use crate::theory::{AttentionProvider, Machine, RecordedAttention};

pub use file::{TraceError, path_of};

/// Training images that are kept for each pixel.
pub const N_LEADING: usize = 6;

/// One seed's way.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    pub run: String,
    /// Training step of the network.
    pub step: u64,
    pub seed: u64,
    pub shape: ImageShape,
    /// t of each sampling step, cleanest first: `i / T` at `i - 1`.
    pub levels: Vec<f64>,
    /// The network first.
    pub actors: Vec<Actor>,
    /// Training images that an actor names, by their number in the data set, in increasing order.
    pub images: Vec<(u32, Vec<f32>)>,
    /// Training images there are.
    pub n_images: usize,
}

/// One denoiser along its own way. All arrays start with the step, cleanest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Actor {
    pub name: String,
    /// `x_t`, `[T, C, P]`.
    pub states: Vec<f32>,
    /// `x0hat`, `[T, C, P]`.
    pub x0: Vec<f32>,
    /// The sample, `[C, P]`.
    pub sample: Vec<f32>,
    pub maps: Option<Maps>,
    pub posterior: Option<Inside>,
}

/// Attention, measured or predicted.
#[derive(Clone, Debug, PartialEq)]
pub struct Maps {
    pub n_heads: usize,
    /// `[T, heads, P, P]`; a row sums to 1.
    pub weights: Vec<f16>,
}

/// What a machine's posterior says about each pixel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inside {
    /// Nats, `[T, P]`.
    pub entropy: Vec<f32>,
    /// The likeliest patch: image, row, column; `[T, P, 3]`.
    pub places: Vec<u32>,
    /// The training images that weigh most, `[T, P, N_LEADING]`; empty for machines of whole images.
    pub leading: Vec<u32>,
    /// Their weights, which sum to at most 1; 0 where there are fewer images.
    pub weights: Vec<f32>,
}

impl Trace {
    pub fn n_steps(&self) -> usize {
        self.levels.len()
    }

    /// Image `index` of an array `[T, C, P]`.
    pub fn at<'a>(&self, values: &'a [f32], index: usize) -> &'a [f32] {
        let n = self.shape.n_values();
        &values[index * n..(index + 1) * n]
    }

    /// The training image of that number, if an actor named it.
    pub fn image(&self, number: u32) -> Option<&[f32]> {
        let at = self.images.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        Some(&self.images[at].1)
    }
}

impl Maps {
    /// Where pixel `p` looks at step `index`, `[P]`, of one head.
    pub fn row(&self, n_pixels: usize, index: usize, head: usize, p: usize) -> Vec<f32> {
        let start = ((index * self.n_heads + head) * n_pixels + p) * n_pixels;
        self.weights[start..start + n_pixels].iter().map(|weight| weight.to_f32()).collect()
    }
}

impl Inside {
    /// The likeliest patch of pixel `p` at step `index`: image, row, column.
    pub fn place(&self, n_pixels: usize, index: usize, p: usize) -> [u32; 3] {
        let start = (index * n_pixels + p) * 3;
        [self.places[start], self.places[start + 1], self.places[start + 2]]
    }

    /// The images that weigh most at pixel `p` at step `index`, with their weights.
    pub fn leading(&self, n_pixels: usize, index: usize, p: usize) -> Vec<(u32, f32)> {
        let start = (index * n_pixels + p) * N_LEADING;
        let range = start..start + N_LEADING;
        let pairs = self.leading.get(range.clone()).zip(self.weights.get(range));
        let pairs = pairs.into_iter().flat_map(|(images, weights)| images.iter().zip(weights));
        pairs.map(|(image, weight)| (*image, *weight)).filter(|(_, weight)| *weight > 0.0).collect()
    }
}

/// Follows noise seed `seed` with the machines' calibrated settings, if the run has them.
pub fn trace(trained: &Trained, seed: u64, stop: &AtomicBool) -> Result<Trace> {
    let machine_set = &trained.machine_set;
    let plain: Vec<_> = machine_set.machines().cloned().collect();
    let calibration = Calibration::read(&trained.run.calibration_path())?;
    let machines = calibration.filter(|found| found.n_steps == machine_set.ddim().n_steps);
    let machines = machines.map_or_else(|| plain.clone(), |found| found.apply(&plain));
    let machine_set =
        machine_set.with_machines(machines).context("building the calibrated machines")?;
    let ddim = machine_set.ddim();
    let shape = trained.dataset.shape();
    let noise = noise_seeds(trained.experiment.noise_seed, seed, 1, shape);
    let has_attention = trained.network.network().config().attention.is_some();
    let detail = if has_attention { AttentionDetail::Maps } else { AttentionDetail::Nothing };
    let network = with_classes(&trained.network, seed, 1);

    let mut actors = Vec::new();
    let mut recorded = RecordedAttention::new();
    let mut of_network = Steps::default();
    let samples = ddim
        .sample(&network.clone().recording(detail), &noise, &mut |step| {
            if let Some(maps) = &step.denoised.attention {
                recorded.push(step.level, maps.clone());
            }
            of_network.take(step.state, &step.denoised.x0, step.denoised.attention.as_ref());
            go_on(stop)
        })
        .context("sampling the network")?;
    actors.push(of_network.actor("network", &samples));

    let recorded = has_attention.then_some(recorded);
    let machines = machine_set.built_for(&network, seed, recorded.clone());
    for (name, machine) in machines.context("building the machines")? {
        let machine = machine.with_posterior(true);
        let predicts = matches!(
            machine.spec().kind.attention_source(),
            Some(
                AttentionSource::CoOrigin
                    | AttentionSource::Similarity { .. }
                    | AttentionSource::Measured
            )
        );
        let mut steps = Steps::default();
        let mut inside = Inside::default();
        let samples = ddim
            .sample(&machine, &noise, &mut |step| {
                let attention = step.denoised.attention.as_ref();
                steps.take(step.state, &step.denoised.x0, attention.filter(|_| predicts));
                if let Some(posterior) = &step.denoised.posterior {
                    let (entropy, places): (Vec<f32>, Vec<u32>) = (
                        posterior.entropy_nats.iter().map(|nats| *nats as f32).collect(),
                        posterior
                            .provenance
                            .iter()
                            .flat_map(|place| {
                                [place.image, u32::from(place.row), u32::from(place.column)]
                            })
                            .collect(),
                    );
                    inside.entropy.splice(0..0, entropy);
                    inside.places.splice(0..0, places);
                }
                if let Some((images, weights)) =
                    leading(&machine, step.state, step.level, attention, recorded.as_ref())?
                {
                    inside.leading.splice(0..0, images);
                    inside.weights.splice(0..0, weights);
                }
                go_on(stop)
            })
            .with_context(|| format!("sampling '{name}'"))?;
        let mut actor = steps.actor(&name, &samples);
        actor.posterior = (!inside.places.is_empty()).then_some(inside);
        actors.push(actor);
    }

    let mut named: Vec<u32> = Vec::new();
    for posterior in actors.iter().filter_map(|actor| actor.posterior.as_ref()) {
        named.extend(posterior.places.iter().step_by(3));
        named.extend(&posterior.leading);
    }
    named.sort_unstable();
    named.dedup();
    let image = |number: &u32| {
        let values = trained.dataset.batch(*number as usize, 1).into_values();
        (*number, values.into_iter().map(|v| v as f32).collect())
    };
    Ok(Trace {
        run: trained.run.id(),
        step: trained.step,
        seed,
        shape,
        levels: (1..=ddim.n_steps).map(|index| ddim.level(index).t).collect(),
        actors,
        images: named.iter().map(image).collect(),
        n_images: trained.dataset.len(),
    })
}

/// Numbers of training images and their weights, `[P, N_LEADING]` each.
type Leading = (Vec<u32>, Vec<f32>);

/// Whether the trace of a seed was made of the run's newest checkpoint and calibration.
pub fn is_current(run: &RunDir, seed: u64) -> bool {
    let time = |path: &Path| std::fs::metadata(path).and_then(|found| found.modified()).ok();
    let Some(made) = time(&path_of(run, seed)) else { return false };
    let checkpoints = std::fs::read_dir(run.state_path()).into_iter().flatten().flatten();
    let newest = checkpoints.filter_map(|entry| time(&entry.path()));
    newest.chain(time(&run.calibration_path())).all(|other| other <= made)
}

/// The training images that weigh most at each pixel. Nothing for machines
/// whose weights are not those of one patch a pixel.
fn leading(
    machine: &Machine,
    x: &ImageBatch,
    level: NoiseLevel,
    used: Option<&AttentionMaps>,
    recorded: Option<&RecordedAttention>,
) -> Result<Option<Leading>, DenoiseError> {
    let (pool, source, lambda) = match &machine.spec().kind {
        MachineKind::EquivariantLocal => (Pool::Wrap, AttentionSource::Identity, 0.0),
        MachineKind::BoundaryBroken => (Pool::SameBorder, AttentionSource::Identity, 0.0),
        MachineKind::Local => (Pool::SamePlace, AttentionSource::Identity, 0.0),
        MachineKind::EquivariantLocalInterior => (Pool::Interior, AttentionSource::Identity, 0.0),
        MachineKind::Attention { pool, settings } => {
            let settings = settings.at(level.t);
            (*pool, settings.source, settings.lambda)
        }
        _ => return Ok(None),
    };
    let maps = match (source, recorded) {
        (AttentionSource::Trajectory, Some(recorded)) => Some(recorded.attention(x, level)?),
        (AttentionSource::Measured, _) => used.cloned(),
        _ => None,
    };
    let images = machine.images();
    let k = machine.patch_side(level);
    let sweep = Sweep { images, pool, k, level, x: x.values(), maps: maps.as_ref() };
    let mut numbers = Vec::new();
    let mut weights = Vec::new();
    for top in sweep.leading(source, lambda, N_LEADING) {
        for at in 0..N_LEADING {
            let (image, weight) = top.get(at).map_or((top[0].0, 0.0), |top| *top);
            numbers.push(images.origin(image));
            weights.push(weight as f32);
        }
    }
    Ok(Some((numbers, weights)))
}

/// What is gathered along a way, which is walked from noise to image and kept the other way round.
#[derive(Default)]
struct Steps {
    states: Vec<Vec<f32>>,
    x0: Vec<Vec<f32>>,
    maps: Vec<AttentionMaps>,
}

impl Steps {
    fn take(&mut self, state: &ImageBatch, x0: &ImageBatch, maps: Option<&AttentionMaps>) {
        self.states.push(singles(state));
        self.x0.push(singles(x0));
        self.maps.extend(maps.cloned());
    }

    fn actor(self, name: &str, sample: &ImageBatch) -> Actor {
        let n_heads = self.maps.first().map_or(0, AttentionMaps::n_heads);
        let weights = self.maps.iter().rev().flat_map(|maps| maps.weights());
        let weights: Vec<f16> = weights.map(|weight| f16::from_f32(*weight)).collect();
        Actor {
            name: name.to_owned(),
            states: self.states.into_iter().rev().flatten().collect(),
            x0: self.x0.into_iter().rev().flatten().collect(),
            sample: singles(sample),
            maps: (n_heads > 0).then_some(Maps { n_heads, weights }),
            posterior: None,
        }
    }
}

fn singles(batch: &ImageBatch) -> Vec<f32> {
    batch.values().iter().map(|v| *v as f32).collect()
}

fn go_on(stop: &AtomicBool) -> Result<(), DenoiseError> {
    if stop.load(Ordering::SeqCst) { Err(DenoiseError::Cancelled) } else { Ok(()) }
}
