//! The mean squared error of a denoiser's clean estimates, by Monte Carlo.

use super::noised_images::NoisedImages;
use crate::diffusion::{DenoiseError, Denoiser};

/// `|| phi - x0hat ||^2` per value of each image.
///
/// # Errors
///
/// If the denoiser fails.
pub fn squared_errors(
    denoiser: &dyn Denoiser,
    noised: &NoisedImages,
) -> Result<Vec<f64>, DenoiseError> {
    let x0 = denoiser.denoise(&noised.noisy, noised.level)?.x0;
    let each = noised.clean.iter().zip(x0.iter());
    Ok(each.map(|(phi, x0)| mean_square(phi, x0)).collect())
}

fn mean_square(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / a.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::excess_over_floor::MeanSquaredError;
    use crate::diffusion::{Denoised, NoiseLevel, Schedule};
    use crate::image::{ImageBatch, ImageShape};

    /// Estimates `x_t / sqrt(abar)`: the error is noise alone, `sigma^2 / abar` per value.
    struct Unchanged;

    impl Denoiser for Unchanged {
        fn denoise(&self, x: &ImageBatch, level: NoiseLevel) -> Result<Denoised, DenoiseError> {
            let values = x.values().iter().map(|v| v / level.signal()).collect();
            Ok(Denoised::plain(ImageBatch::new(x.shape(), values)))
        }
    }

    #[test]
    fn a_denoiser_that_keeps_the_noise_has_the_error_of_the_noise() {
        use crate::dataset::Dataset;
        use crate::evaluation::floors::noised_images::Translation;
        let shape = ImageShape::new(1, 8, 8);
        let dataset = Dataset::new("test", shape, vec![40; 64 * 3], None);
        let level = Schedule::Cosine.level(0.6);
        let noised = NoisedImages::draw(&dataset, level, 400, Translation::None, 1);
        let found = MeanSquaredError::of(&squared_errors(&Unchanged, &noised).unwrap());
        let expected = level.variance() / level.abar;
        assert!((found.mse - expected).abs() < 5.0 * found.se, "{found:?} {expected}");
        // The mean of 64 squared normal numbers has variance 2/64.
        let se = expected * (2.0_f64 / 64.0 / 400.0).sqrt();
        assert!((found.se / se - 1.0).abs() < 0.15, "{found:?} {se}");
        let noise = found.of_noise(level);
        assert!((noise.mse - 1.0).abs() < 5.0 * noise.se, "{noise:?}");
    }
}
