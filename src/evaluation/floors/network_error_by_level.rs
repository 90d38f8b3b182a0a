//! A network's error by noise level, beside the floor of its class.

use std::sync::atomic::AtomicBool;

use super::floors_file::RunFloors;
use super::noised_images::{NoisedImages, Translation};
use super::squared_error::squared_errors;
use crate::analysis::excess_over_floor::{Bound, LevelExcess, MeanSquaredError};
use crate::dataset::Dataset;
use crate::diffusion::DenoiseError;
use crate::evaluation::network_or_recorded_model::Model;
use crate::evaluation::stop_flag::check_stop;
use crate::network::network_config::{Architecture, NetworkConfig, Padding};

/// Held-out images per noise level are this share of the draws: nothing is subtracted from their error, whose standard
/// error is a few percent.
const HELD_OUT_SHARE: usize = 4;
/// Held-out images per noise level, if there are as many draws.
const HELD_OUT_MIN: usize = 16;

/// The machine whose error is the best known of a class with attention.
const OPTIMUM: &str = "attention-optimal";

/// The machine whose error is the floor of a network's class, by its name in [`RunFloors`].
///
/// A network without attention, group normalisation or pooling is local and equivariant: `els` with circular padding,
/// `bbels` with zeros. An attention layer makes the class larger: `attention-optimal`, where it was measured, is an upper
/// bound of its floor, and the same machines are further above it. Group normalisation sees the whole image, and pooling (UNet) breaks the symmetry under translations: `es` and
/// `ideal` give lower bounds.
pub fn class_floor(network: &NetworkConfig, floors: &RunFloors) -> (&'static str, Bound) {
    if floors.levels.iter().any(|level| level.errors.contains_key(OPTIMUM)) {
        return (OPTIMUM, Bound::Upper);
    }
    let name = match (&network.architecture, network.group_norm, network.padding) {
        (Architecture::UNet { .. }, _, _) | (_, true, Padding::Zeros) => "ideal",
        (_, true, Padding::Circular) => "es",
        (_, false, Padding::Circular) => "els",
        (_, false, Padding::Zeros) => "bbels",
    };
    let bound = match name {
        "ideal" | "es" => Bound::Lower,
        _ if network.attention.is_some() => Bound::Upper,
        _ => Bound::Exact,
    };
    (name, bound)
}

/// How images are moved before noise is added, for a network of this class: as for the machine that it is compared with
/// (`FloorMachine::all`), which for a UNet is `ideal`.
pub fn translation_of(network: &NetworkConfig) -> Translation {
    match (network.padding, &network.architecture) {
        (Padding::Circular, Architecture::ResNet { .. }) => Translation::Circular,
        _ => Translation::None,
    }
}

/// How many of `n` draws per level are of held-out images.
pub fn n_held_out(n: usize) -> usize {
    n.div_ceil(HELD_OUT_SHARE).max(HELD_OUT_MIN.min(n))
}

/// The errors of `network` on the first `n` draws of `floors` at every level, and on a quarter as many images that it was
/// not trained on.
///
/// # Errors
///
/// If the network fails, or [`DenoiseError::Cancelled`] once `stop` is set.
pub fn network_excess(
    network: &Model,
    dataset: &Dataset,
    held_out: Option<&Dataset>,
    floors: &RunFloors,
    n: usize,
    stop: &AtomicBool,
) -> Result<Vec<LevelExcess>, DenoiseError> {
    let config = network.config();
    let (name, _) = class_floor(config, floors);
    let translation = translation_of(config);
    let errors = |dataset: &Dataset, level, n| {
        let noised = NoisedImages::draw(dataset, level, n, translation, floors.seed);
        let network = network.clone().clamped(false);
        let network = match (config.n_classes, &noised.classes) {
            (Some(_), Some(classes)) => network.with_labels(classes.clone()),
            _ => network,
        };
        squared_errors(&network, &noised)
    };
    let mut found = Vec::with_capacity(floors.levels.len());
    for level in &floors.levels {
        check_stop(stop)?;
        let Some(floor) = level.errors.get(name) else { continue };
        let n = n.min(floor.len());
        let at = config.schedule.level(level.t);
        let of_network = errors(dataset, at, n)?;
        let floor: Vec<f64> = floor[..n].iter().map(|&e| f64::from(e)).collect();
        let above: Vec<f64> = of_network.iter().zip(&floor).map(|(a, b)| a - b).collect();
        let held_out = match held_out {
            Some(dataset) => Some(MeanSquaredError::of(&errors(dataset, at, n_held_out(n))?)),
            None => None,
        };
        found.push(LevelExcess {
            t: level.t,
            network: MeanSquaredError::of(&of_network),
            held_out,
            floor: MeanSquaredError::of(&floor),
            excess: MeanSquaredError::of(&above),
        });
    }
    Ok(found)
}
