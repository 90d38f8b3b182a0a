//! The final comparison: network and machines from held-out noise seeds, judged and correlated.
//!
//! The seeds are held out ([`NoiseSeeds`]): no preview shows them and no calibration uses them, so that settings tuned
//! while watching previews are reported on other seeds.

use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};

use super::agreement_and_rates;
use super::approximation_error::ApproximationError;
use super::attention_entropy_by_noise_level::AttentionByLevel;
use super::copies_and_mosaics::{MosaicFigures, Mosaics};
use super::network_and_machines_of_run::Trained;
use super::noise_source::NoiseSource;
use super::samples::attention_controls::{ControlSamples, ControlSeeds};
use super::samples::{AgreementByStep, MachineSet, SampleSet};
use crate::config::noise_seed_purposes::NoiseSeeds;
use crate::diffusion::DenoiseError;
use crate::image::{ImageBatch, ImageShape};
use crate::runs::event::{AgreementFigure, Rates};

/// Seeds sampled between two calls of `progress`.
const PIECE: usize = 16;

/// The results of a comparison.
#[derive(Clone, Debug)]
pub struct Comparison {
    pub noise_seed: u64,
    pub n_seeds: usize,
    /// All samples, in seed order.
    pub samples: SampleSet,
    pub figures: Vec<AgreementFigure>,
    /// Of the network; crafted sets only.
    pub rates: Option<Rates>,
    /// Per machine, in order; crafted sets only.
    pub machine_rates: Vec<(String, Option<Rates>)>,
    /// How far approximate machines are from exact ones; empty without such machines.
    pub approximations: Vec<ApproximationError>,
    /// Along the network's trajectories.
    pub by_step: AgreementByStep,
    /// The attention machines without sharing and with wrong maps, from the same seeds; empty if none is wanted.
    pub controls: Vec<ControlSamples>,
    /// The network's samples without the clamp, from the same seeds; `None` if it has none.
    pub unclamped: Option<ImageBatch>,
    /// Copies and mosaics among the samples, the network's first.
    pub mosaics: Vec<MosaicFigures>,
    /// The network's attention along its trajectories.
    pub attention: Option<AttentionByLevel>,
}

/// The images x_T of these seeds, `[n, C, H, W]`.
fn noise(source: &NoiseSource, seeds: &NoiseSeeds, shape: ImageShape) -> ImageBatch {
    source.images(seeds.first(), seeds.len(), shape)
}

/// The noise of the seeds after those of `part`, whose maps are used in place of their own; after the last of all `n`
/// held-out seeds comes the first. `None` if there is no other seed.
fn other_noise(
    source: &NoiseSource,
    n: usize,
    part: &NoiseSeeds,
    shape: ImageShape,
) -> Option<ImageBatch> {
    let all = NoiseSeeds::held_out(n);
    let next = |seed: u64| if seed < all.last() { seed + 1 } else { all.first() };
    let mut others = ImageBatch::zeros(shape, 0);
    part.range().for_each(|seed| others.append(&source.images(next(seed), 1, shape)));
    (all.len() > 1).then_some(others)
}

fn append_controls(all: &mut Vec<ControlSamples>, more: Vec<ControlSamples>) {
    if all.is_empty() {
        *all = more;
        return;
    }
    all.iter_mut().zip(&more).for_each(|(all, more)| all.samples.append(&more.samples));
}

impl Trained {
    /// Compares the network with the machines of `machine_set` on `n` held-out seeds; on crafted sets, at least
    /// `n_judged` samples of the network are judged. `progress` is called with the number of seeds done.
    ///
    /// # Errors
    /// If a denoiser fails, or [`DenoiseError::Cancelled`] once `stop` is set.
    pub fn compare(
        &self,
        machine_set: &MachineSet,
        n: usize,
        n_judged: usize,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Comparison> {
        let (network, source) = (&self.network, &self.noise);
        let noise_seed = self.experiment.noise_seed;
        let n = n.min(source.n_held_out());
        let n_judged = n_judged.min(source.n_held_out());
        let config = network.config();
        let machines: Vec<_> = self.machine_set.machines().cloned().collect();
        let augmentation = self.experiment.training.augment;
        let mosaics = Mosaics::new(&self.dataset, config, &machines, augmentation)
            .context("building the search for copies")?;
        let mut attention = AttentionByLevel::for_network(config);
        let mut samples: Option<SampleSet> = None;
        let mut by_step = AgreementByStep::default();
        let mut controls: Vec<ControlSamples> = Vec::new();
        let mut unclamped = config.clamp.then(|| ImageBatch::zeros(config.image, 0));
        let mut n_done = 0;
        for part in NoiseSeeds::held_out(n).parts(PIECE) {
            let noise = noise(source, &part, config.image);
            let first = part.first();
            let asked = self.experiment.compare.states.saturating_sub(n_done);
            let (piece, steps) = machine_set.sample_with_steps(
                network,
                &noise,
                first,
                asked,
                &mut attention,
                stop,
            )?;
            by_step.append(steps);
            if self.experiment.compare.controls {
                let others = other_noise(source, n, &part, config.image);
                let seeds =
                    ControlSeeds { seeds: &noise, first_seed: first, others: others.as_ref() };
                append_controls(&mut controls, machine_set.sample_controls(network, &seeds, stop)?);
            }
            if let Some(all) = &mut unclamped {
                let free = network.clone().clamped(false);
                all.append(&machine_set.sample_network_only(&free, &noise, first, stop)?);
            }
            match &mut samples {
                Some(samples) => samples.append(&piece),
                None => samples = Some(piece),
            }
            n_done += part.len();
            progress(n_done);
        }
        let samples = samples.ok_or(DenoiseError::Cancelled)?;
        let mut judged = samples.network.clone();
        let n_judged = self.judge.as_ref().map_or(0, |_| n_judged);
        for part in NoiseSeeds::held_out(n_judged).skip(n).parts(PIECE) {
            let noise = noise(source, &part, config.image);
            judged.append(&machine_set.sample_network_only(network, &noise, part.first(), stop)?);
        }
        let rates = |batch: &ImageBatch| {
            self.judge.as_ref().map(|judge| agreement_and_rates::rates(judge, batch))
        };
        let machine_rates =
            samples.machines.iter().map(|(name, batch)| (name.clone(), rates(batch))).collect();
        let mut mosaic_figures = vec![mosaics.figures("network", &judged)?];
        for (name, batch) in &samples.machines {
            mosaic_figures.push(mosaics.figures(name, batch)?);
        }
        Ok(Comparison {
            noise_seed,
            n_seeds: n,
            figures: agreement_and_rates::agreement_figures(&samples),
            rates: rates(&judged),
            machine_rates,
            approximations: self.approximations(machine_set, stop)?,
            by_step,
            controls,
            unclamped,
            mosaics: mosaic_figures,
            attention,
            samples,
        })
    }

    /// The errors of the approximate ones of `machine_set`.
    fn approximations(
        &self,
        machine_set: &MachineSet,
        stop: &AtomicBool,
    ) -> Result<Vec<ApproximationError>> {
        let (schedule, seed) = (self.experiment.schedule, self.experiment.noise_seed);
        let measure = |name: &str| {
            let by_class = machine_set.of_classes(name).unwrap_or_default();
            ApproximationError::measure(name, &by_class, &self.dataset, schedule, seed, stop)
                .with_context(|| format!("measuring the error of the approximate machine '{name}'"))
                .transpose()
        };
        machine_set.names().filter_map(measure).collect()
    }
}

impl SampleSet {
    fn append(&mut self, other: &Self) {
        self.seeds.append(&other.seeds);
        self.network.append(&other.network);
        for ((_, samples), (_, more)) in self.machines.iter_mut().zip(&other.machines) {
            samples.append(more);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::noise_seeds;

    #[test]
    fn every_seed_has_another_one() {
        let shape = ImageShape::new(1, 2, 2);
        let part = NoiseSeeds::held_out(5).skip(3);
        let source = NoiseSource::Drawn(9);
        let found = other_noise(&source, 5, &part, shape).unwrap();
        assert_eq!(found.image(0), noise_seeds(9, 1004, 1, shape).values());
        assert_eq!(found.image(1), noise_seeds(9, 1000, 1, shape).values());
        assert!(other_noise(&source, 1, &NoiseSeeds::held_out(1), shape).is_none());
    }
}
