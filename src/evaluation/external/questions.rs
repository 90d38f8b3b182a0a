//! What a model from elsewhere is asked, as a file of arrays: the noise of calibration and held-out seeds, and noised images of
//! the data set at the levels of the floors.

use anyhow::Result;

use crate::arrays::{ArrayWriter, Numbers};
use crate::config::Experiment;
use crate::config::noise_seed_purposes::NoiseSeeds;
use crate::dataset::Dataset;
use crate::evaluation::floors::floors_file::LEVELS;
use crate::evaluation::floors::floors_of_trained_run::held_out_images;
use crate::evaluation::floors::network_error_by_level::{n_held_out, translation_of};
use crate::evaluation::floors::noised_images::NoisedImages;
use crate::image::ImageBatch;
use crate::network::network_config::NetworkConfig;
use crate::random::noise_seeds;

/// The questions about one experiment's data set.
pub struct Questions {
    /// Noise seeds of calibration, and those held out.
    pub n_calibration: usize,
    pub n_held_out: usize,
    /// Noised training images per level.
    pub n_noised: usize,
}

impl Questions {
    /// The arrays: `noise [N, C, H, W]`, `t` and `abar` `[T]` of the sampler's steps (`x_t = sqrt(abar) x_0 + sqrt(1 - abar) eps`),
    /// `noised [M, C, H, W]` with `noised_t` and `noised_abar` `[M]`, and the classes `labels` and `noised_labels` for a
    /// conditional network. Images are in [-1, 1].
    ///
    /// # Errors
    ///
    /// If an array cannot be made.
    pub fn arrays(
        &self,
        experiment: &Experiment,
        network: &NetworkConfig,
        dataset: &Dataset,
    ) -> Result<ArrayWriter> {
        let shape = network.image;
        let sizes = |n: usize| [n, shape.channels, shape.height, shape.width];
        let singles =
            |batch: &ImageBatch| batch.values().iter().map(|&v| v as f32).collect::<Vec<f32>>();
        let calibration = NoiseSeeds::calibration(self.n_calibration);
        let held_out = NoiseSeeds::held_out(self.n_held_out);
        let mut noise = ImageBatch::zeros(shape, 0);
        let mut labels = Vec::new();
        for seeds in [&calibration, &held_out] {
            noise.append(&noise_seeds(experiment.noise_seed, seeds.first(), seeds.len(), shape));
            let class = |seed: u64| (seed % network.n_classes.unwrap_or(1) as u64) as i64;
            labels.extend(seeds.range().map(class));
        }
        let mut writer =
            ArrayWriter::new().array("noise", &sizes(noise.len()), Numbers::F32(singles(&noise)));
        let ddim = experiment.ddim();
        let steps: Vec<_> = (1..=ddim.n_steps).map(|index| ddim.level(index)).collect();
        let of_steps = |name: &str, values: Vec<f64>, writer: ArrayWriter| {
            writer.array(name, &[steps.len()], Numbers::F64(values))
        };
        writer = of_steps("t", steps.iter().map(|level| level.t).collect(), writer);
        writer = of_steps("abar", steps.iter().map(|level| level.abar).collect(), writer);
        let images = self.noised(experiment, network, dataset);
        let m = images.iter().map(NoisedImages::len).sum();
        let per_image = |of: &dyn Fn(&NoisedImages) -> f64| {
            images.iter().flat_map(|part| vec![of(part); part.len()]).collect::<Vec<f64>>()
        };
        writer = writer
            .array(
                "noised",
                &sizes(m),
                Numbers::F32(images.iter().flat_map(|part| singles(&part.noisy)).collect()),
            )
            .array("noised_t", &[m], Numbers::F64(per_image(&|part| part.level.t)))
            .array("noised_abar", &[m], Numbers::F64(per_image(&|part| part.level.abar)));
        if network.n_classes.is_some() {
            let of_noised = images.iter().flat_map(|part| part.classes.iter().flatten());
            let of_noised: Vec<i64> = of_noised.map(|&class| i64::from(class)).collect();
            writer = writer.array("labels", &[labels.len()], Numbers::I64(labels)).array(
                "noised_labels",
                &[of_noised.len()],
                Numbers::I64(of_noised),
            );
        }
        Ok(writer)
    }

    /// Training images, then held-out ones, at every level.
    fn noised(
        &self,
        experiment: &Experiment,
        network: &NetworkConfig,
        dataset: &Dataset,
    ) -> Vec<NoisedImages> {
        if self.n_noised == 0 {
            return Vec::new();
        }
        let held_out = held_out_images(experiment, network, self.n_noised);
        let translation = translation_of(network);
        let drawn = dataset.augmented(experiment.training.augment);
        let mut all = Vec::new();
        for t in LEVELS {
            let level = network.schedule.level(t);
            let draw = |images: &Dataset, n| {
                NoisedImages::draw(images, level, n, translation, experiment.noise_seed)
            };
            all.push(draw(&drawn, self.n_noised));
            all.extend(held_out.as_ref().map(|images| draw(images, n_held_out(self.n_noised))));
        }
        all
    }
}
