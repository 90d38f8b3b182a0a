//! Records a noise seed's trajectories under a change of attention.

use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail};

use super::recorded_steps::Steps;
use super::trace::Actor;
use crate::diffusion::{Attending, DenoiseError};
use crate::evaluation::interventions::change_by_hand::{ChangeByHand, ChosenMaps};
use crate::evaluation::interventions::changed_attention::{
    ChangedAttention, NewMaps, RecordedStates,
};
use crate::evaluation::interventions::denoiser_of_classes::MachineOfClasses;
use crate::evaluation::network_and_machines_of_run::Trained;
use crate::evaluation::network_or_recorded_model::Model;
use crate::evaluation::samples::MachineSet;
use crate::evaluation::samples::maps_of_machines::to_itself;
use crate::evaluation::stop_flag::check_stop;
use crate::image::ImageBatch;
use crate::random::noise_seeds;

/// The trajectories under a change of attention, of the network and of `attention-optimal` if it is among the machines.
pub(super) fn record_changed(
    trained: &Trained,
    machine_set: &MachineSet,
    (network, seed, noise): (&Model, u64, &ImageBatch),
    change: &ChangeByHand,
    stop: &AtomicBool,
) -> Result<Vec<Actor>> {
    if network.network().is_none() {
        bail!("{} is a record: its attention cannot be changed", trained.run.id());
    }
    if network.config().attention.is_none() {
        bail!("the network of {} has no attention layer that could be changed", trained.run.id());
    }
    if let (ChosenMaps::Seed(donor), Some(n)) = (change.maps, network.config().n_classes) {
        let n = n as u64;
        if donor % n != seed % n {
            bail!(
                "noise seed {donor} is of class {}, and seed {seed} of class {}; choose a seed of the same class, such as {}",
                donor % n,
                seed % n,
                seed + n
            );
        }
    }
    const OPTIMAL: &str = "attention-optimal";
    let machines = machine_set.of_classes(OPTIMAL);
    let machine = machines.and_then(|machines| MachineOfClasses::new(machines, seed));
    if change.maps == ChosenMaps::Other && machine.is_none() {
        bail!(
            "'other' needs the machine '{OPTIMAL}', which is not among theory.machines of {}",
            trained.run.id()
        );
    }
    let machine = machine.as_ref().map(|machine| machine as &dyn Attending);
    let subjects: Vec<(&str, &dyn Attending, Option<&dyn Attending>)> =
        [Some(("network", network as &dyn Attending, machine))]
            .into_iter()
            .chain([machine.map(|machine| (OPTIMAL, machine, Some(network as &dyn Attending)))])
            .flatten()
            .collect();
    let ddim = machine_set.ddim();
    let record = |(name, denoiser, other): (&str, &dyn Attending, Option<&dyn Attending>)| {
        let mut along = RecordedStates::default();
        if let ChosenMaps::Seed(donor) = change.maps {
            let noise = noise_seeds(trained.experiment.noise_seed, donor, 1, noise.shape());
            ddim.sample(denoiser, &noise, &mut |step| {
                along.push(step.level, step.state.clone());
                check_stop(stop)
            })?;
        }
        let maps = match (change.maps, other) {
            (ChosenMaps::Uniform, _) => NewMaps::Uniform,
            (ChosenMaps::Identity, _) => NewMaps::Identity,
            (ChosenMaps::Logits(factor), _) => NewMaps::ScaledLogits(factor),
            (ChosenMaps::Seed(_), _) => NewMaps::Along(&along),
            (ChosenMaps::Other, Some(other)) => NewMaps::Of(other),
            // Checked above.
            (ChosenMaps::Other, None) => NewMaps::ScaledLogits(1.0),
        };
        let changed = ChangedAttention { denoiser, maps, window: change.window };
        let mut steps = Steps::default();
        let samples = ddim.sample(&changed, noise, &mut |step| {
            let maps = match &step.denoised.attention {
                Some(maps) => Some(maps.clone()),
                None => denoiser.own_maps(step.state, step.level)?,
            };
            let heads = network.config().attention.map_or(1, |layer| layer.heads);
            let none = || to_itself(1, heads, noise.shape().n_pixels());
            steps.push(&step, Some(&maps.unwrap_or_else(none)));
            check_stop(stop)
        })?;
        Ok(steps.into_actor(&format!("{name} with {change}"), &samples))
    };
    let found: Result<Vec<Actor>, DenoiseError> = subjects.into_iter().map(record).collect();
    found.with_context(|| format!("sampling seed {seed} with {change}"))
}
