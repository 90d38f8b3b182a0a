//! The final comparison: network and machines from held-out noise seeds, judged and correlated.
//!
//! The seeds are held out ([`NoiseSeeds`]): no preview shows them and no calibration uses them, so that settings tuned
//! while watching previews are reported on other seeds.

use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};

use super::agreement_and_rates;
use super::attention_entropy_by_noise_level::AttentionByLevel;
use super::copies_and_mosaics::{MosaicFigures, Mosaics};
use super::network_and_machines_of_run::Trained;
use super::samples::{MachineSet, SampleSet, StepAgreement};
use crate::config::noise_seed_purposes::NoiseSeeds;
use crate::diffusion::DenoiseError;
use crate::image::{ImageBatch, ImageShape};
use crate::random::noise_seeds;
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
    /// Along the network's trajectories.
    pub by_step: Vec<StepAgreement>,
    /// Copies and mosaics among the samples, the network's first.
    pub mosaics: Vec<MosaicFigures>,
    /// The network's attention along its trajectories.
    pub attention: Option<AttentionByLevel>,
}

/// The images x_T of these seeds, `[n, C, H, W]`.
fn noise(noise_seed: u64, seeds: &NoiseSeeds, shape: ImageShape) -> ImageBatch {
    noise_seeds(noise_seed, seeds.first(), seeds.len(), shape)
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
        let (network, noise_seed) = (&self.network, self.experiment.noise_seed);
        let config = network.network().config();
        let machines: Vec<_> = self.machine_set.machines().cloned().collect();
        let mosaics = Mosaics::new(&self.dataset, config, &machines)
            .context("building the search for copies")?;
        let mut attention = AttentionByLevel::for_network(config);
        let mut samples: Option<SampleSet> = None;
        let mut by_step: Vec<StepAgreement> = Vec::new();
        let mut n_done = 0;
        for part in NoiseSeeds::held_out(n).parts(PIECE) {
            let noise = noise(noise_seed, &part, config.image);
            let first = part.first();
            let (piece, steps) =
                machine_set.sample_with_steps(network, &noise, first, &mut attention, stop)?;
            if by_step.is_empty() {
                by_step = steps;
            } else {
                by_step.iter_mut().zip(&steps).for_each(|(all, more)| all.append(more));
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
            let noise = noise(noise_seed, &part, config.image);
            judged.append(&machine_set.sample_network_only(network, &noise, part.first(), stop)?);
        }
        let rates = |batch: &ImageBatch| {
            self.judge.as_ref().map(|judge| agreement_and_rates::rates(judge, batch))
        };
        let machine_rates =
            samples.machines.iter().map(|(name, batch)| (name.clone(), rates(batch))).collect();
        let mut mosaic_figures = vec![mosaics.figures("network", &samples.network)?];
        for (name, batch) in &samples.machines {
            mosaic_figures.push(mosaics.figures(name, batch)?);
        }
        Ok(Comparison {
            noise_seed,
            n_seeds: n,
            figures: agreement_and_rates::agreement_figures(&samples),
            rates: rates(&judged),
            machine_rates,
            by_step,
            mosaics: mosaic_figures,
            attention,
            samples,
        })
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
