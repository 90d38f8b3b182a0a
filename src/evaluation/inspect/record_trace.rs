//! Records a [`Trace`]: samples one noise seed with the network and every machine.

use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail};

use super::record_changed_attention::record_changed;
use super::recorded_steps::{Steps, singles};
use super::trace::{Actor, N_LEADING, PosteriorTrace, Trace};
use crate::dataset::Dataset;
use crate::diffusion::{
    AttentionMaps, Ddim, DenoiseError, Denoiser, NoiseLevel, Posterior, Sampling,
};
use crate::evaluation::interventions::ChangeByHand;
use crate::evaluation::network_and_machines_of_run::Trained;
use crate::evaluation::network_or_recorded_model::Model;
use crate::evaluation::samples::maps_of_machines::own_maps;
use crate::evaluation::samples::{recording_maps, with_classes};
use crate::evaluation::stop_flag::check_stop;
use crate::image::ImageBatch;
use crate::theory::attention_optimal::AttentionClass;
use crate::theory::attention_settings_sweep::Sweep;
use crate::theory::machine_spec::{AttentionSource, MachineKind, MachineSpec};
use crate::theory::patch_pools_ls_els_bbels::Border;
use crate::theory::{AttentionProvider, Machine, RecordedAttention, TrainingImages};

/// Samples noise seed `seed` with a run's network and machines, under calibrated settings if the run has them; and with the
/// network and `attention-optimal` once more under a change of their attention.
///
/// # Errors
/// If the run's calibration cannot be used, a denoiser fails, the change cannot be made, or `stop` is set.
pub fn record_trace(
    trained: &Trained,
    seed: u64,
    change: Option<&ChangeByHand>,
    stop: &AtomicBool,
) -> Result<Trace> {
    let ddim = trained.machine_set.ddim();
    let path = trained.run.calibration_path();
    let machine_set = trained.machine_set.with_saved_calibration(&path, ddim.n_steps)?;
    let shape = trained.dataset.shape();
    let noise = trained.noise.images(seed, 1, shape);
    if noise.is_empty() {
        bail!("the record of {} has no noise seed {seed}", trained.run.id());
    }
    let network = with_classes(&trained.network, seed, 1);

    let (actor, recorded) = record_network(&network, ddim, &noise, stop)?;
    let mut actors = vec![actor];
    let machines = machine_set.built_for(&network, seed, recorded.clone());
    for (name, machine) in machines.context("building the machines")? {
        let machine = machine.with_posterior(true);
        let actor = record_machine(&name, &machine, ddim, &noise, recorded.as_ref(), stop)
            .with_context(|| format!("sampling '{name}'"))?;
        actors.push(actor);
    }
    if let Some(change) = change {
        actors.extend(record_changed(
            trained,
            &machine_set,
            (&network, seed, &noise),
            change,
            stop,
        )?);
    }
    Ok(Trace {
        run: trained.run.id(),
        step: trained.step,
        seed,
        shape,
        levels: (1..=ddim.n_steps).map(|index| ddim.level(index).t).collect(),
        images: images_of(&actors, &trained.dataset),
        actors,
        n_images: trained.dataset.len(),
    })
}

/// The network's trajectory, and its attention maps along it if it has attention.
fn record_network(
    network: &Model,
    ddim: Ddim,
    noise: &ImageBatch,
    stop: &AtomicBool,
) -> Result<(Actor, Option<RecordedAttention>)> {
    let has_attention = network.config().attention.is_some();
    let mut recorded = RecordedAttention::new();
    let mut steps = Steps::default();
    let samples = recording_maps(network.clone())
        .sample(ddim, noise, &mut |step| {
            if let Some(maps) = &step.denoised.attention {
                recorded.push(step.level, maps.clone());
            }
            steps.push(&step, step.denoised.attention.as_ref());
            check_stop(stop)
        })
        .context("sampling the network")?;
    Ok((steps.into_actor("network", &samples), has_attention.then_some(recorded)))
}

/// A machine's trajectory with its posterior; `recorded` holds the network's attention maps.
fn record_machine(
    name: &str,
    machine: &Machine,
    ddim: Ddim,
    noise: &ImageBatch,
    recorded: Option<&RecordedAttention>,
    stop: &AtomicBool,
) -> Result<Actor, DenoiseError> {
    let local = match &machine.spec().kind {
        MachineKind::OptimalAttention(class) => Some(without_attention(machine, class)?),
        _ => None,
    };
    let mut steps = Steps::default();
    let mut posterior = PosteriorTrace::default();
    let mut locals: Vec<Vec<f32>> = Vec::new();
    let samples = ddim.sample(machine, noise, &mut |step| {
        let attention = step.denoised.attention.as_ref();
        steps.push(&step, own_maps(&machine.spec().kind, step.denoised).as_deref());
        if let Some(local) = &local {
            locals.push(singles(&local.denoise(step.state, step.level)?.x0));
        }
        if let Some(found) = &step.denoised.posterior {
            posterior.prepend(found);
        }
        if let Some((images, weights)) =
            leading(machine, step.state, step.level, attention, recorded)?
        {
            posterior.leading.splice(0..0, images);
            posterior.weights.splice(0..0, weights);
        }
        check_stop(stop)
    })?;
    let mut actor = steps.into_actor(name, &samples);
    actor.without_attention = locals.into_iter().rev().flatten().collect();
    actor.posterior = (!posterior.places.is_empty()).then_some(posterior);
    Ok(actor)
}

/// The local machine of the same patches as `attention-optimal`: its estimate without attention.
fn without_attention(machine: &Machine, class: &AttentionClass) -> Result<Machine, DenoiseError> {
    let kind = match class.pool.border() {
        Border::Wrap => MachineKind::EquivariantLocal,
        _ => MachineKind::BoundaryBroken,
    };
    let spec = MachineSpec::new(kind, machine.spec().k.clone());
    let local = machine.with_spec(spec).map_err(|error| DenoiseError::Failed {
        denoiser: machine.spec().column(),
        source: Box::new(error),
    })?;
    Ok(local.with_posterior(false))
}

impl PosteriorTrace {
    /// Puts the posterior of a cleaner step before those that are there.
    fn prepend(&mut self, posterior: &Posterior) {
        self.entropy.splice(0..0, posterior.entropy_nats.iter().map(|nats| *nats as f32));
        let places = posterior.provenance.iter();
        let places =
            places.flat_map(|place| [place.image, u32::from(place.row), u32::from(place.column)]);
        self.places.splice(0..0, places);
        let symmetries = posterior.symmetries.iter().map(|symmetry| u32::from(symmetry.number()));
        self.symmetries.splice(0..0, symmetries);
    }
}

/// The training images that any posterior refers to, with their numbers, in increasing order.
fn images_of(actors: &[Actor], dataset: &Dataset) -> Vec<(u32, Vec<f32>)> {
    let mut numbers: Vec<u32> = Vec::new();
    for posterior in actors.iter().filter_map(|actor| actor.posterior.as_ref()) {
        numbers.extend(posterior.places.iter().step_by(3));
        numbers.extend(&posterior.leading);
    }
    numbers.sort_unstable();
    numbers.dedup();
    let image = |number: u32| (number, singles(&dataset.batch(number as usize, 1)));
    numbers.into_iter().map(image).collect()
}

/// Numbers of training images and their weights, `[P, N_LEADING]` each.
type Leading = (Vec<u32>, Vec<f32>);

/// The training images with the largest weights at each pixel of `x`; `None` for machines that do not weigh one patch
/// per pixel.
fn leading(
    machine: &Machine,
    x: &ImageBatch,
    level: NoiseLevel,
    own_maps: Option<&AttentionMaps>,
    recorded: Option<&RecordedAttention>,
) -> Result<Option<Leading>, DenoiseError> {
    let kind = &machine.spec().kind;
    let Some(pool) = kind.pool() else { return Ok(None) };
    let (source, lambda) = match kind {
        MachineKind::Attention { settings, .. } => {
            let settings = settings.at(level.t);
            (settings.source, settings.lambda)
        }
        _ => (AttentionSource::Identity, 0.0),
    };
    let maps = match (source, recorded) {
        (AttentionSource::Trajectory, Some(recorded)) => Some(recorded.attention(x, level)?),
        (AttentionSource::Measured, _) => own_maps.cloned(),
        _ => None,
    };
    let images = machine.images();
    let k = machine.patch_side(level);
    let window = machine.spec().window;
    let sweep = Sweep { images, pool, k, window, level, x: x.values(), maps: maps.as_ref() };
    let mut numbers = Vec::new();
    let mut weights = Vec::new();
    for top in sweep.leading(source, lambda, N_LEADING * images.n_copies()) {
        let top = by_origin(images, &top);
        for at in 0..N_LEADING {
            let (number, weight) = top.get(at).map_or((top[0].0, 0.0), |top| *top);
            numbers.push(number);
            weights.push(weight as f32);
        }
    }
    Ok(Some((numbers, weights)))
}

/// The numbers of the images of the heaviest entries of a dictionary, with the sums of the weights of their mirrored and
/// turned copies among these, largest first.
fn by_origin(images: &TrainingImages, top: &[(usize, f64)]) -> Vec<(u32, f64)> {
    let mut sums: Vec<(u32, f64)> = Vec::with_capacity(top.len());
    for &(image, weight) in top {
        let number = images.origin(image);
        match sums.iter_mut().find(|(other, _)| *other == number) {
            Some((_, sum)) => *sum += weight,
            None => sums.push((number, weight)),
        }
    }
    sums.sort_by(|a, b| b.1.total_cmp(&a.1));
    sums
}
