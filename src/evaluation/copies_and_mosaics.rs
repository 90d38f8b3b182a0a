//! Copies and mosaics: how far samples are copies of training images, or consist of their patches.
//!
//! For samples of the network and of every machine: the distance to the nearest training image over all circular
//! shifts, and whether it is a copy (ratio test, [`crate::analysis::nearest_training_image`]); the training patch
//! nearest to the patch around each pixel, whether the pixel equals that patch's centre (Kamb & Ganguli, Theorem 4.1),
//! and the number of images that the patches come from. Intervals are over samples: Wilson's of the rate, between order
//! statistics of the median, Student's of the means.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::analysis::confidence_intervals::{Interval, mean_interval, median_interval, wilson};
use crate::analysis::nearest_training_image::{Nearest, Shifts, nearest_of_copies};
use crate::analysis::provenance_statistics::provenance_statistics;
use crate::config::NamedMachine;
use crate::dataset::Dataset;
use crate::diffusion::{DenoiseError, Denoiser, Schedule};
use crate::image::{Augmentation, ImageBatch, from_byte};
use crate::network::network_config::{NetworkConfig, Padding};
use crate::theory::machine_spec::{MachineKind, MachineSpec, PatchSize};
use crate::theory::{Machine, Precision, TheoryError, TrainingImages};

/// Number of samples whose patches are searched.
const PATCH_SAMPLES_MAX: usize = 32;
/// Samples whose nearest training images are searched, however expensive it is.
const COPY_SAMPLES_MIN: usize = 32;
/// Multiplications of a longer search for nearest training images, which costs `N C H^2 W^2` per sample: fewer than a
/// minute's on two cores. Only large data sets reach it.
const COPY_SEARCH_MAX: f64 = 1e11;
/// A pixel equals a patch's centre if no channel differs by more than this, a twentieth of the range.
pub const SAME_COLOUR: f64 = 0.1;

/// Copies and patches among some samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MosaicFigures {
    pub who: String,
    /// Number of samples among which copies were searched.
    pub n: usize,
    /// Number of samples, the first, whose patches were searched; as many as `n` in reports that do not have it.
    #[serde(default)]
    pub n_patches: Option<usize>,
    /// Share of samples that are copies by the ratio test, with its 95% interval.
    pub copies: [f64; 3],
    /// Median over samples of the root-mean-square distance to the nearest training image at its best shift, in
    /// units of the range [-1, 1].
    pub distance: Option<f64>,
    /// Share of pixels that equal the centre of their nearest training patch.
    pub centres: f64,
    /// Means over samples: share of pixels from the most-used training image, images used, and pixels in a
    /// connected region from one image.
    pub leading_share: f64,
    pub images_used: f64,
    pub region_area: f64,
    /// Of the other figures; unknown in reports of earlier versions.
    #[serde(default)]
    pub intervals95: MosaicIntervals,
}

/// 95% intervals over samples, `[low, high]`. `None` where they are unbounded, for want of samples, or unknown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MosaicIntervals {
    pub distance: Option<[f64; 2]>,
    pub centres: Option<[f64; 2]>,
    pub leading_share: Option<[f64; 2]>,
    pub images_used: Option<[f64; 2]>,
    pub region_area: Option<[f64; 2]>,
}

impl MosaicFigures {
    /// Share of samples that are copies, with its 95% interval.
    pub fn copies(&self) -> Interval {
        let [estimate, low, high] = self.copies;
        Interval { estimate, low, high }
    }
}

/// A search of a data set for the images and patches of samples.
pub struct Mosaics<'a> {
    dataset: &'a Dataset,
    /// Which copies of the training images the network saw.
    augmentation: Augmentation,
    machine: Machine,
    circular: bool,
}

impl<'a> Mosaics<'a> {
    /// A search over the patches that pair with the network's padding, of training images and the copies of them with which
    /// the network was trained. Their side is that of the local machine among `machines`, or the network's receptive field.
    ///
    /// # Errors
    /// If such patches do not fit the images.
    pub fn new(
        dataset: &'a Dataset,
        network: &NetworkConfig,
        machines: &[NamedMachine],
        augmentation: Augmentation,
    ) -> Result<Self, TheoryError> {
        let circular = network.padding == Padding::Circular;
        let kind = match circular {
            true => MachineKind::EquivariantLocal,
            false => MachineKind::BoundaryBroken,
        };
        let fixed = machines.iter().find_map(|machine| match machine.spec.k {
            PatchSize::Fixed(k) if machine.spec.kind == kind => Some(k),
            _ => None,
        });
        let k = PatchSize::Fixed(fixed.unwrap_or_else(|| network.receptive_field()));
        let images = TrainingImages::from_dataset(dataset)?.augmented(augmentation)?;
        let machine =
            Machine::new(MachineSpec::new(kind, k), Arc::new(images), Precision::F32, None)?;
        Ok(Self { dataset, augmentation, machine: machine.with_posterior(true), circular })
    }

    /// Patch side of the search.
    pub fn k(&self) -> usize {
        self.machine.spec().k.all()[0]
    }

    /// Searches `samples`, `[B, C, H, W]`: all of them for copies unless the data set is so large that this would take
    /// minutes, the first 32 for patches.
    ///
    /// # Errors
    ///
    /// If the search for patches fails, for instance because a sample is not finite.
    pub fn figures(&self, who: &str, samples: &ImageBatch) -> Result<MosaicFigures, DenoiseError> {
        let n = samples.len().min(copy_samples_max(self.dataset, self.augmentation));
        let found: Vec<_> = (0..n).filter_map(|i| self.nearest(samples.image(i))).collect();
        let copies = wilson(found.iter().filter(|found| found.is_copy()).count(), found.len());
        let distances: Vec<f64> = found.iter().map(|found| found.distance).collect();
        let distance = median_interval(&distances);
        let patches = samples.slice(0, samples.len().min(PATCH_SAMPLES_MAX));
        let [centres, leading_share, images_used, region_area] = self.patches(&patches)?;
        Ok(MosaicFigures {
            who: who.to_owned(),
            n,
            n_patches: Some(patches.len()),
            copies: [copies.estimate, copies.low, copies.high],
            distance: distance.map(|found| found.estimate),
            centres: estimate(centres),
            leading_share: estimate(leading_share),
            images_used: estimate(images_used),
            region_area: estimate(region_area),
            intervals95: MosaicIntervals {
                distance: ends(distance),
                centres: ends(centres),
                leading_share: ends(leading_share),
                images_used: ends(images_used),
                region_area: ends(region_area),
            },
        })
    }

    fn nearest(&self, sample: &[f64]) -> Option<Nearest> {
        nearest_of_copies(sample, self.dataset, Shifts::Every, self.augmentation)
    }

    /// Means over samples with their intervals: share of pixels that are the centres of their nearest patches, share of
    /// the most-used image, images used, region area.
    fn patches(&self, samples: &ImageBatch) -> Result<[Option<Interval>; 4], DenoiseError> {
        // The nearest patch is the likeliest at any noise; the machine divides by the signal.
        let level = Schedule::Cosine.level(0.5);
        let mut x = samples.clone();
        x.values_mut().iter_mut().for_each(|v| *v *= level.signal());
        let denoised = self.machine.denoise(&x, level)?;
        let posterior = denoised.posterior.unwrap_or_default();
        let shape = samples.shape();
        let n_pixels = shape.n_pixels();
        let mut centres = vec![0.0; samples.len()];
        for (at, place) in posterior.provenance.iter().enumerate() {
            let (which, p) = (at / n_pixels, at % n_pixels);
            let sample = samples.image(which);
            let image = self.dataset.image(place.image as usize);
            let q = usize::from(place.row) * shape.width + usize::from(place.column);
            let same = |c: usize| {
                let centre = from_byte(image[c * n_pixels + q]);
                (sample[c * n_pixels + p] - centre).abs() <= SAME_COLOUR
            };
            if (0..shape.channels).all(same) {
                centres[which] += 1.0 / n_pixels as f64;
            }
        }
        let statistics: Vec<_> = (0..samples.len())
            .filter_map(|i| {
                provenance_statistics(&posterior, i, shape.height, shape.width, self.circular)
            })
            .collect();
        let mean = |values: Vec<f64>| mean_interval(&values);
        Ok([
            mean(centres),
            mean(statistics.iter().map(|s| s.leading_share).collect()),
            mean(statistics.iter().map(|s| s.n_images as f64).collect()),
            mean(statistics.iter().map(|s| s.mean_region_area).collect()),
        ])
    }
}

/// The most samples whose nearest training images are searched.
pub fn copy_samples_max(dataset: &Dataset, augmentation: Augmentation) -> usize {
    let shape = dataset.shape();
    let n_images = dataset.len() * augmentation.n_copies();
    let each = n_images as f64 * (shape.n_values() * shape.n_pixels()) as f64;
    ((COPY_SEARCH_MAX / each) as usize).max(COPY_SAMPLES_MIN)
}

/// The estimate, or 0 without samples.
fn estimate(found: Option<Interval>) -> f64 {
    found.map_or(0.0, |found| found.estimate)
}

/// The ends of an interval, if it is bounded.
fn ends(found: Option<Interval>) -> Option<[f64; 2]> {
    found.filter(|found| found.low.is_finite()).map(|found| [found.low, found.high])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::ImageShape;
    use crate::network::network_config::{Architecture, Output, Readout};

    fn network(image: ImageShape) -> NetworkConfig {
        NetworkConfig {
            schedule: Schedule::default(),
            image,
            architecture: Architecture::ResNet { width: 16, kernels: vec![] },
            padding: Padding::Circular,
            group_norm: false,
            last_kernel: 1,
            readout: Readout::Linear,
            n_classes: None,
            attention: None,
            output: Output::Noise,
            time_scale: 1.0,
            clamp: true,
        }
    }

    #[test]
    fn a_copy_is_one_region_and_a_mosaic_of_two_halves_is_none() {
        let shape = ImageShape::new(1, 8, 8);
        let pixels: Vec<u8> =
            (0..3 * 64_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let data = Dataset::new("noise", shape, pixels, None);
        let mosaics = Mosaics::new(&data, &network(shape), &[], Augmentation::None).unwrap();
        assert_eq!(mosaics.k(), 3);

        let copy = mosaics.figures("copy", &data.batch(1, 1)).unwrap();
        assert_eq!((copy.copies[0], copy.distance), (1.0, Some(0.0)));
        assert!((copy.centres - 1.0).abs() < 1e-12 && copy.intervals95.centres.is_none());
        assert_eq!((copy.leading_share, copy.images_used, copy.region_area), (1.0, 1.0, 64.0));

        let (a, b) = (data.batch(0, 1).into_values(), data.batch(2, 1).into_values());
        let halves = ImageBatch::new(shape, [&a[..32], &b[32..]].concat());
        let halves = mosaics.figures("halves", &halves).unwrap();
        assert_eq!(halves.copies[0], 0.0);
        assert!(halves.centres > 0.7 && halves.images_used >= 2.0, "{halves:?}");
        assert!(halves.leading_share < 0.7 && halves.region_area < 64.0, "{halves:?}");

        // More samples than are searched for patches: the first half copies, the second none.
        let many = [data.batch(1, 1).values().repeat(40), vec![0.0; 40 * 64]].concat();
        let many = mosaics.figures("many", &ImageBatch::new(shape, many)).unwrap();
        assert_eq!((many.n, many.n_patches, many.copies[0]), (80, Some(32), 0.5));
        assert!(many.intervals95.distance.unwrap()[0] == 0.0, "{many:?}");
        assert!((many.leading_share - 1.0).abs() < 1e-12, "{many:?}");

        let grey = mosaics.figures("grey", &ImageBatch::zeros(shape, 2)).unwrap();
        assert!(grey.centres < 0.5 && grey.distance.unwrap() > 0.3, "{grey:?}");
    }
}
