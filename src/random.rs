//! Seeded randomness: one independent, named stream per purpose.
//!
//! Every random number in the lab comes from `stream(seed, purpose, index)`. Streams are ChaCha8, whose output
//! is determined by its key and counter alone, so a number depends on the experiment's seed, its purpose and
//! its item index - never on batch size, thread, device or how many numbers were drawn elsewhere. Noise is
//! always drawn on the host: candle's CPU device cannot be seeded and its CUDA stream differs.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::image::{ImageBatch, ImageShape};

/// Purpose of a stream. The value is part of the key: never renumber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// Crafted data sets; index = image.
    Generator = 1,
    /// Initial weights; index = parameter.
    Weights = 2,
    /// The order of training images; index = epoch.
    DataOrder = 3,
    /// Noise added to training images; index = training step.
    TrainingNoise = 4,
    /// Noise levels of training; index = training step.
    TrainingTime = 5,
    /// Noise seeds that samples start from; index = sample.
    SampleNoise = 6,
    /// Gumbel noise of top-1 attention during training; index = training step.
    Gumbel = 7,
    /// Choice of images from a data set if a limit is set.
    Subset = 8,
    /// Noise on the training images to which the pooled attention machine is fitted; index = draw.
    PooledNoise = 9,
    /// Noise (and translation) of images on which errors of clean estimates are measured; index = draw.
    FloorNoise = 10,
    /// Resampled noise seeds of a standard error; index = resample.
    Bootstrap = 11,
    /// Permutations of places under which attention maps are a control; index = noise seed.
    ShuffledPlaces = 12,
    /// Noise (and translation) of images on which the best member of a class is solved for; index = draw.
    OptimumNoise = 13,
    /// Fresh noise of stochastic sampling; index = noise seed, step and branch.
    BranchNoise = 14,
    /// Noise on the copies of an input over which the machine `smoothed` averages; index = copy.
    SmoothingNoise = 15,
    /// Mirrored and turned copies that training draws; index = training step.
    TrainingCopies = 16,
}

/// The random generator for one purpose and item of an experiment.
pub fn stream(seed: u64, purpose: Purpose, index: u64) -> ChaCha8Rng {
    let mut key = [0_u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&(purpose as u64).to_le_bytes());
    key[16..24].copy_from_slice(b"mosaic-1");
    let mut generator = ChaCha8Rng::from_seed(key);
    generator.set_stream(index);
    generator
}

/// Fills `out` with standard normal numbers that are exact in `f32`, so that a network in single precision and
/// a machine in double precision start from exactly the same noise.
pub fn fill_normal(generator: &mut ChaCha8Rng, out: &mut [f32]) {
    for value in out {
        let normal: f64 = StandardNormal.sample(generator);
        *value = normal as f32;
    }
}

/// Noise seeds `first..first + n` of an experiment: `[n, C, H, W]`, standard normal.
///
/// Seed `i` does not depend on the batch in which it is drawn.
pub fn noise_seeds(seed: u64, first: u64, n: usize, shape: ImageShape) -> ImageBatch {
    let mut values = Vec::with_capacity(n * shape.n_values());
    let mut image = vec![0.0_f32; shape.n_values()];
    for index in first..first + n as u64 {
        fill_normal(&mut stream(seed, Purpose::SampleNoise, index), &mut image);
        values.extend(image.iter().map(|&v| f64::from(v)));
    }
    ImageBatch::new(shape, values)
}

/// The fresh noise of step `step` of one branch of noise seeds `first..first + n`: `[n, C, H, W]`, standard normal.
pub fn branch_noise(
    seed: u64,
    (first, n): (u64, usize),
    (branch, step): (u64, usize),
    shape: ImageShape,
) -> ImageBatch {
    let mut values = Vec::with_capacity(n * shape.n_values());
    let mut image = vec![0.0_f32; shape.n_values()];
    for index in first..first + n as u64 {
        // Up to 2^12 steps and 2^12 branches.
        let item = (index << 24) | (branch << 12) | step as u64;
        fill_normal(&mut stream(seed, Purpose::BranchNoise, item), &mut image);
        values.extend(image.iter().map(|&v| f64::from(v)));
    }
    ImageBatch::new(shape, values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn a_noise_seed_does_not_depend_on_its_batch() {
        let shape = ImageShape::new(3, 4, 5);
        let together = noise_seeds(7, 0, 5, shape);
        let alone = noise_seeds(7, 3, 1, shape);
        assert_eq!(together.image(3), alone.image(0));
    }

    #[test]
    fn purposes_and_indices_give_different_streams() {
        let first = |purpose, index| stream(1, purpose, index).next_u64();
        assert_ne!(first(Purpose::Weights, 0), first(Purpose::DataOrder, 0));
        assert_ne!(first(Purpose::Weights, 0), first(Purpose::Weights, 1));
        assert_eq!(first(Purpose::Weights, 1), first(Purpose::Weights, 1));
    }

    #[test]
    fn noise_is_standard_normal() {
        let noise = noise_seeds(1, 0, 64, ImageShape::new(1, 32, 32));
        let n = noise.values().len() as f64;
        let mean = noise.values().iter().sum::<f64>() / n;
        let variance = noise.values().iter().map(|v| v * v).sum::<f64>() / n;
        // Five standard errors for 65,536 draws.
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
    }
}
