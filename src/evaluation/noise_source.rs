//! The noise that samples start from: drawn by its seed, or given with the record of a model.

use crate::config::noise_seed_purposes::NoiseSeeds;
use crate::image::{ImageBatch, ImageShape};
use crate::random::noise_seeds;

/// Where the images x_T of noise seeds come from.
#[derive(Clone, Debug)]
pub enum NoiseSource {
    /// `diffusion.noise_seed`.
    Drawn(u64),
    Given(GivenNoise),
}

/// Noise that came with a model's samples: some for calibration, the others held out.
#[derive(Clone, Debug)]
pub struct GivenNoise {
    pub calibration: ImageBatch,
    pub held_out: ImageBatch,
    /// The place among those of calibration that has the class of preview seed 0.
    pub preview_shift: usize,
}

impl NoiseSource {
    /// The images of noise seeds `first..first + n`, `[n, C, H, W]`; fewer if not as many were given. Preview seeds are those
    /// of the calibration, so that nobody looks at held-out ones.
    pub fn images(&self, first: u64, n: usize, shape: ImageShape) -> ImageBatch {
        let given = match self {
            Self::Drawn(seed) => return noise_seeds(*seed, first, n, shape),
            Self::Given(given) => given,
        };
        let (held_out, calibration) = (NoiseSeeds::held_out(1), NoiseSeeds::calibration(1));
        let (all, start) = if first >= held_out.first() {
            (&given.held_out, first - held_out.first())
        } else if first >= calibration.first() {
            (&given.calibration, first - calibration.first())
        } else {
            (&given.calibration, first + given.preview_shift as u64)
        };
        let start = usize::try_from(start).unwrap_or(usize::MAX).min(all.len());
        all.slice(start, n.min(all.len() - start))
    }

    /// Most held-out seeds.
    pub fn n_held_out(&self) -> usize {
        match self {
            Self::Drawn(_) => NoiseSeeds::HELD_OUT_MAX,
            Self::Given(given) => given.held_out.len(),
        }
    }

    /// Most calibration seeds.
    pub fn n_calibration(&self) -> usize {
        match self {
            Self::Drawn(_) => NoiseSeeds::CALIBRATION_MAX,
            Self::Given(given) => given.calibration.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_noise_is_found_by_the_purpose_of_its_seed() {
        let shape = ImageShape::new(1, 1, 1);
        let batch = |values: &[f64]| ImageBatch::new(shape, values.to_vec());
        let given = GivenNoise {
            calibration: batch(&[1.0, 2.0]),
            held_out: batch(&[3.0, 4.0, 5.0]),
            preview_shift: 0,
        };
        let source = NoiseSource::Given(given);
        let images = |first, n| source.images(first, n, shape).into_values();
        assert_eq!(images(1000, 2), [3.0, 4.0]);
        assert_eq!(images(1001, 9), [4.0, 5.0], "no more than there are");
        assert_eq!(images(500, 2), [1.0, 2.0]);
        assert_eq!(images(1, 1), [2.0]);
        assert!(images(2000, 1).is_empty());
        assert_eq!((source.n_held_out(), source.n_calibration()), (3, 2));
        let drawn = NoiseSource::Drawn(7);
        assert_eq!(drawn.images(1003, 1, shape), noise_seeds(7, 1003, 1, shape));
    }
}
