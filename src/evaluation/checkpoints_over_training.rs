//! Copies, novelty and errors at every kept checkpoint of a run: what a network does before the end of its training.
//!
//! Bonnaire et al. (2505.17638) find two times in the training of diffusion networks: samples become good early, whatever
//! the number N of training images, and copies of training images appear later, at a time in proportion to N. The figures
//! of each checkpoint are theirs: the share of samples that are copies by the ratio test *without* shifts, and the error on
//! training images beside that on images that the network has not seen. Every checkpoint is sampled from the same held-out
//! noise seeds and tested on the same noise, so that its figures are paired with those of the others.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::agreement_and_rates;
use super::floors::floors_file::LEVELS;
use super::floors::noised_images::Translation;
use super::floors::{NoisedImages, squared_errors};
use super::load_networks_and_data::load_network_at;
use super::network_and_machines_of_run::Trained;
use super::network_or_recorded_model::Model;
use super::stop_flag::check_stop;
use crate::analysis::confidence_intervals::{Interval, wilson};
use crate::analysis::excess_over_floor::MeanSquaredError;
use crate::analysis::nearest_training_image::{Shifts, nearest_of_copies};
use crate::config::noise_seed_purposes::NoiseSeeds;
use crate::dataset::Dataset;
use crate::diffusion::DenoiseError;
use crate::image::ImageBatch;
use crate::network::NetworkDenoiser;
use crate::random::noise_seeds;
use crate::runs::event::Rate;
use crate::training::checkpoint;

/// Seeds sampled at once.
const PIECE: usize = 64;

/// What the averaged network of one checkpoint does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointFigures {
    /// Training step.
    pub step: u64,
    /// Number of samples.
    pub n: usize,
    /// Share of samples that are copies of training images, at their own places, with its 95% interval (Wilson).
    pub copies: [f64; 3],
    /// Mean squared error of the clean estimate per value, for images in [-1, 1], over the noise levels t = .1 to .9, on
    /// training images.
    pub training: MeanSquaredError,
    /// The same on images of the set that are not training images; `None` if there are none.
    pub held_out: Option<MeanSquaredError>,
    /// Shares of samples whose features are all the set's, and of those in no training image; `None` without a rule.
    pub valid: Option<Rate>,
    pub novel: Option<Rate>,
    /// Whether each sample is a copy, in the order of the noise seeds. In `copies_over_training.csv`.
    #[serde(skip)]
    pub is_copy: Vec<bool>,
}

impl CheckpointFigures {
    /// Share of samples that are copies, with its 95% interval.
    pub fn copies(&self) -> Interval {
        let [estimate, low, high] = self.copies;
        Interval { estimate, low, high }
    }
}

impl Trained {
    /// Samples every checkpoint of the run from compare.checkpoint_samples held-out seeds, in order of training. `progress`
    /// is called with the number of checkpoints done and their number. Empty if no samples are wanted.
    ///
    /// # Errors
    ///
    /// If a checkpoint cannot be read or a network fails, or [`DenoiseError::Cancelled`] once `stop` is set.
    pub fn over_training(
        &self,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Vec<CheckpointFigures>> {
        let n = self.experiment.compare.checkpoint_samples;
        if n == 0 {
            return Ok(Vec::new());
        }
        let held_out = self.held_out(n);
        let kept = checkpoint::list(&self.run.state_path())?;
        let mut found = Vec::with_capacity(kept.len());
        for (done, place) in kept.iter().rev().enumerate() {
            let Some(network) = self.network.network() else { break };
            let network = network.network();
            let network =
                load_network_at(&self.run, place.step, network.config(), network.device())
                    .with_context(|| format!("opening the checkpoint of step {}", place.step))?;
            let network = Model::from(NetworkDenoiser::new(Arc::new(network)));
            found.push(self.figures_of(&network, place.step, n, held_out.as_ref(), stop)?);
            progress(done + 1, kept.len());
        }
        Ok(found)
    }

    fn figures_of(
        &self,
        network: &Model,
        step: u64,
        n: usize,
        held_out: Option<&Dataset>,
        stop: &AtomicBool,
    ) -> Result<CheckpointFigures, DenoiseError> {
        let (noise_seed, shape) = (self.experiment.noise_seed, self.dataset.shape());
        let mut samples = ImageBatch::zeros(shape, 0);
        for part in NoiseSeeds::held_out(n).parts(PIECE) {
            let noise = noise_seeds(noise_seed, part.first(), part.len(), shape);
            let machine_set = &self.machine_set;
            samples.append(&machine_set.sample_network_only(
                network,
                &noise,
                part.first(),
                stop,
            )?);
        }
        let is_copy: Vec<bool> = samples
            .iter()
            .map(|sample| {
                let augmentation = self.experiment.training.augment;
                let found = nearest_of_copies(sample, &self.dataset, Shifts::None, augmentation);
                found.is_some_and(|found| found.is_copy())
            })
            .collect();
        let copies = wilson(is_copy.iter().filter(|is| **is).count(), is_copy.len());
        let rates = self.judge.as_ref().map(|judge| agreement_and_rates::rates(judge, &samples));
        let error = |images: &Dataset| self.error_over_levels(network, images, n, stop);
        Ok(CheckpointFigures {
            step,
            n: samples.len(),
            copies: [copies.estimate, copies.low, copies.high],
            training: error(&self.dataset)?,
            held_out: held_out.map(error).transpose()?,
            valid: rates.as_ref().map(|rates| rates.valid),
            novel: rates.as_ref().map(|rates| rates.novel),
            is_copy,
        })
    }

    /// The mean error over noise levels, on `n` draws of `images`: draw i has the same image and noise at every level, and
    /// the standard error is over draws. At t = 1 there is only noise, and a clean estimate means nothing.
    fn error_over_levels(
        &self,
        network: &Model,
        images: &Dataset,
        n: usize,
        stop: &AtomicBool,
    ) -> Result<MeanSquaredError, DenoiseError> {
        let config = network.config();
        let levels: Vec<f64> = LEVELS.into_iter().filter(|&t| t < 1.0).collect();
        let mut sums = vec![0.0; n];
        for &t in &levels {
            check_stop(stop)?;
            let level = config.schedule.level(t);
            let seed = self.experiment.noise_seed;
            let noised = NoisedImages::draw(images, level, n, Translation::None, seed);
            let network = network.clone().clamped(false);
            let network = match (config.n_classes, &noised.classes) {
                (Some(_), Some(classes)) => network.with_labels(classes.clone()),
                _ => network,
            };
            let errors = squared_errors(&network, &noised)?;
            sums.iter_mut().zip(errors).for_each(|(sum, error)| *sum += error);
        }
        let means: Vec<f64> = sums.iter().map(|sum| sum / levels.len() as f64).collect();
        Ok(MeanSquaredError::of(&means))
    }
}
