//! Samples of several networks from the same held-out noise, and the figures of every pair.

use std::collections::HashSet;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};

use super::same_question::common_noise;
use crate::analysis::agreement::agreement;
use crate::analysis::agreement_over_seeds::ImageAgreement;
use crate::analysis::confidence_intervals::{
    Interval, mean_interval, median_interval, quartiles, wilson,
};
use crate::analysis::nearest_training_image::{Nearest, Shifts, nearest};
use crate::config::noise_seed_purposes::NoiseSeeds;
use crate::dataset::Dataset;
use crate::diffusion::Sampling;
use crate::evaluation::copies_and_mosaics::copy_samples_max;
use crate::evaluation::figures_in_paper_units::Figures;
use crate::evaluation::network_and_machines_of_run::Trained;
use crate::evaluation::samples::with_classes;
use crate::evaluation::stop_flag::check_stop;
use crate::image::{Augmentation, ImageBatch, ImageShape, from_byte};

/// Seeds sampled between two calls of `progress`.
const PIECE: usize = 16;
/// Pairs of different noise seeds of which chance is the median.
const CHANCE_PAIRS_MAX: usize = 4096;

/// All networks and every pair of them.
pub struct NetworkComparison {
    /// `[n, C, H, W]`.
    pub noise: ImageBatch,
    pub networks: Vec<NetworkFigures>,
    /// In the order (0, 1), (0, 2), ..., (1, 2), ...
    pub pairs: Vec<PairFigures>,
}

/// One network and its copies.
pub struct NetworkFigures {
    pub run: String,
    pub experiment: String,
    /// Number of training images, and which part of the set they are.
    pub n_training_images: usize,
    pub half: &'static str,
    pub training_seed: u64,
    /// `[n, C, H, W]`.
    pub samples: ImageBatch,
    /// The nearest training image of each of the first samples, at its best shift; grey where there is none.
    pub nearest: ImageBatch,
    /// Samples whose nearest training image was searched, the first.
    pub n_searched: usize,
    /// Share that are copies by the ratio test.
    pub copies: Interval,
    /// Root-mean-square distance to the nearest training image, median.
    pub distance: Option<Interval>,
    /// Pearson's r with the nearest training image, mean and median.
    pub mean_r: Option<Interval>,
    pub median_r: Option<Interval>,
}

/// Two networks; the first is the target.
pub struct PairFigures {
    /// Numbers of the networks.
    pub first: usize,
    pub second: usize,
    pub shared: SharedImages,
    /// Of final samples, by noise seed.
    pub r: Vec<Option<f64>>,
    pub samples: Figures,
    /// Of x0hat, each on its own trajectory, cleanest step first; empty if a record has no trajectories.
    pub by_step: Vec<(f64, Figures)>,
    /// Median r of the first network's samples with the second's from other noise seeds; `None` of a single seed.
    pub chance: Option<f64>,
}

/// Training images that two networks have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedImages {
    /// Images of the second network's set, and how many of them the first network's set has.
    pub n: usize,
    pub n_shared: usize,
    pub is_same_set: bool,
}

impl SharedImages {
    /// By the images' pixels at their places.
    pub fn of(first: &Dataset, second: &Dataset) -> Self {
        let (a, b) = (images(first), images(second));
        let has = |image: &[u8]| first.shape() == second.shape() && a.contains(image);
        let n_shared = (0..second.len()).filter(|&i| has(second.image(i))).count();
        Self { n: second.len(), n_shared, is_same_set: first.shape() == second.shape() && a == b }
    }

    /// As in tables.
    pub fn words(self) -> String {
        match (self.is_same_set, self.n_shared) {
            (true, _) => "the same images".to_owned(),
            (false, 0) => "no image in common".to_owned(),
            (false, n) => format!("{n} of {} images in common", self.n),
        }
    }
}

fn images(dataset: &Dataset) -> HashSet<&[u8]> {
    (0..dataset.len()).map(|i| dataset.image(i)).collect()
}

/// Compares the networks of `all` with each other on `n` held-out seeds. `progress` is called with the number of seeds done.
///
/// # Errors
///
/// If the networks cannot be compared, one fails, or `stop` is set.
pub fn compare_networks(
    all: &[Trained],
    n: usize,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<NetworkComparison> {
    let noise = common_noise(all, n)?;
    let n = noise.len();
    let shape = noise.shape();
    let mut samples = vec![ImageBatch::zeros(shape, 0); all.len()];
    let places: Vec<(usize, usize)> =
        (0..all.len()).flat_map(|a| (a + 1..all.len()).map(move |b| (a, b))).collect();
    let n_steps = all[0].experiment.sampling_steps;
    let mut steps: Vec<Vec<Vec<ImageAgreement>>> = vec![vec![Vec::new(); n_steps]; places.len()];
    for part in NoiseSeeds::held_out(n).parts(PIECE) {
        let start = (part.first() - NoiseSeeds::held_out(n).first()) as usize;
        let piece = noise.slice(start, part.len());
        let mut estimates: Vec<Vec<(usize, ImageBatch)>> = Vec::new();
        for (trained, samples) in all.iter().zip(&mut samples) {
            let network = with_classes(&trained.network, part.first(), part.len());
            let mut found = Vec::new();
            let made = network.sample(trained.experiment.ddim(), &piece, &mut |step| {
                found.push((step.index, step.denoised.x0.clone()));
                check_stop(stop)
            });
            samples.append(&made.with_context(|| format!("sampling run {}", trained.run.id()))?);
            estimates.push(found);
        }
        for (&(a, b), steps) in places.iter().zip(&mut steps) {
            for ((index, first), (_, second)) in estimates[a].iter().zip(&estimates[b]) {
                let pairs = second.iter().zip(first.iter());
                steps[index - 1].extend(pairs.map(|(made, own)| ImageAgreement::of(made, own)));
            }
        }
        progress(start + part.len(), n);
    }
    let networks = all.iter().zip(&samples);
    let networks = networks.map(|(trained, samples)| network_figures(trained, samples)).collect();
    let pairs = places.iter().zip(&steps);
    let pairs = pairs.map(|(&place, steps)| pair_figures(all, &samples, place, steps)).collect();
    Ok(NetworkComparison { noise, networks, pairs })
}

/// The figures of the networks at two places; `steps` holds x0hat's agreement by step, cleanest first, seed by seed.
fn pair_figures(
    all: &[Trained],
    samples: &[ImageBatch],
    (first, second): (usize, usize),
    steps: &[Vec<ImageAgreement>],
) -> PairFigures {
    let ddim = all[first].experiment.ddim();
    let by_step = steps.iter().enumerate().filter(|(_, images)| !images.is_empty());
    let by_step = by_step.map(|(i, images)| (ddim.level(i + 1).t, Figures::of(images)));
    let pairs = samples[second].iter().zip(samples[first].iter());
    let images: Vec<ImageAgreement> =
        pairs.map(|(made, own)| ImageAgreement::of(made, own)).collect();
    PairFigures {
        first,
        second,
        shared: SharedImages::of(&all[first].dataset, &all[second].dataset),
        r: images.iter().map(|image| image.r).collect(),
        samples: Figures::of(&images),
        by_step: by_step.collect(),
        chance: chance_between(&samples[first], &samples[second]),
    }
}

/// Median r of samples of two networks from different noise seeds; `None` of fewer than two seeds.
fn chance_between(a: &ImageBatch, b: &ImageBatch) -> Option<f64> {
    let n = a.len();
    // Seeds that are so many places apart.
    let pairs = (1..n).flat_map(|apart| (0..n).map(move |i| (i, (i + apart) % n)));
    let each =
        pairs.take(CHANCE_PAIRS_MAX).filter_map(|(i, j)| agreement(a.image(i), b.image(j)).r);
    quartiles(&each.collect::<Vec<f64>>()).map(|found| found.median)
}

/// Nearest training images are those of the set, without mirrored copies that a network may have been trained on.
fn network_figures(trained: &Trained, samples: &ImageBatch) -> NetworkFigures {
    let dataset = &trained.dataset;
    let n = samples.len().min(copy_samples_max(dataset, Augmentation::None));
    let found: Vec<Option<Nearest>> =
        (0..n).map(|i| nearest(samples.image(i), dataset, Shifts::Every)).collect();
    let mut images = ImageBatch::zeros(samples.shape(), 0);
    let mut r = Vec::new();
    for (i, found) in found.iter().enumerate() {
        let image = match found {
            Some(found) => shifted(dataset, found),
            None => vec![0.0; samples.shape().n_values()],
        };
        r.extend(found.and_then(|_| agreement(&image, samples.image(i)).r));
        images.append(&ImageBatch::new(samples.shape(), image));
    }
    let found: Vec<Nearest> = found.into_iter().flatten().collect();
    let distances: Vec<f64> = found.iter().map(|found| found.distance).collect();
    NetworkFigures {
        run: trained.run.id(),
        experiment: trained.experiment.name.to_string(),
        n_training_images: dataset.len(),
        half: trained.experiment.dataset.half.into(),
        training_seed: trained.experiment.training.seed,
        samples: samples.clone(),
        nearest: images,
        n_searched: n,
        copies: wilson(found.iter().filter(|found| found.is_copy()).count(), found.len()),
        distance: median_interval(&distances),
        mean_r: mean_interval(&r),
        median_r: median_interval(&r),
    }
}

/// A training image at the shift at which it is nearest, `[C, H, W]`.
fn shifted(dataset: &Dataset, found: &Nearest) -> Vec<f64> {
    let ImageShape { channels, height, width } = dataset.shape();
    let image = dataset.image(found.image);
    let (down, right) = found.shift;
    let value = |c: usize, y: usize, x: usize| {
        let (from_y, from_x) = ((y + height - down) % height, (x + width - right) % width);
        from_byte(image[(c * height + from_y) * width + from_x])
    };
    let rows = (0..channels).flat_map(|c| (0..height).map(move |y| (c, y)));
    rows.flat_map(|(c, y)| (0..width).map(move |x| (c, y, x)))
        .map(|(c, y, x)| value(c, y, x))
        .collect()
}
