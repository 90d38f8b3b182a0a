//! Training images with fresh noise: what errors are averaged over when a level is solved.

use rand::RngExt;
use rayon::prelude::*;

use crate::diffusion::NoiseLevel;
use crate::image::{ImageBatch, ImageShape};
use crate::random::{Purpose, fill_normal, stream};
use crate::theory::training_pixels::ImagePixels;

/// Where draws come from.
pub struct NoisedDraws<'a> {
    pub images: &'a ImagePixels,
    /// Whether images are moved by a random circular translation first.
    pub moves: bool,
    pub level: NoiseLevel,
    pub seed: u64,
}

impl NoisedDraws<'_> {
    /// Draws `first..first + n`: the images `phi` and `x_t = sqrt(abar) phi + sigma eps`, `[n, C, H, W]` both. A draw
    /// has the same image, translation and noise `eps` at every level, and does not depend on `n`.
    pub fn draw(&self, first: u64, n: usize) -> [ImageBatch; 2] {
        let shape = self.images.shape();
        let draws: Vec<[Vec<f64>; 2]> =
            (first..first + n as u64).into_par_iter().map(|index| self.one(index)).collect();
        [0, 1].map(|which| {
            let values = draws.iter().flat_map(|draw| &draw[which]).copied().collect();
            ImageBatch::new(shape, values)
        })
    }

    fn one(&self, index: u64) -> [Vec<f64>; 2] {
        let shape = self.images.shape();
        let mut generator = stream(self.seed, Purpose::OptimumNoise, index);
        let mut below = |n: usize| generator.random_range(0..n as u64) as usize;
        let image = below(self.images.len());
        let by = (below(shape.height), below(shape.width));
        let image = self.images.values(image..image + 1);
        let clean = if self.moves { translated(&image, shape, by) } else { image };
        let mut eps = vec![0.0_f32; shape.n_values()];
        fill_normal(&mut generator, &mut eps);
        let (signal, sigma) = (self.level.signal(), self.level.sigma());
        let noisy = clean.iter().zip(&eps).map(|(x, &e)| signal * x + sigma * f64::from(e));
        let noisy = noisy.collect();
        [clean, noisy]
    }
}

/// The values of an image, `[C, H, W]`, moved down and to the right with wrap-around.
fn translated(image: &[f64], shape: ImageShape, (down, right): (usize, usize)) -> Vec<f64> {
    let mut moved = image.to_vec();
    let planes = moved.chunks_exact_mut(shape.n_pixels()).zip(image.chunks_exact(shape.n_pixels()));
    for (to, from) in planes {
        for (row, line) in from.chunks_exact(shape.width).enumerate() {
            let to = &mut to[(row + down) % shape.height * shape.width..][..shape.width];
            to.copy_from_slice(line);
            to.rotate_right(right);
        }
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::Schedule;
    use crate::theory::TrainingImages;

    #[test]
    fn a_translation_moves_every_pixel_and_wraps() {
        let shape = ImageShape::new(1, 2, 3);
        let moved = translated(&[0., 1., 2., 3., 4., 5.], shape, (1, 1));
        assert_eq!(moved, [5., 3., 4., 2., 0., 1.]);
    }

    #[test]
    fn a_draw_does_not_depend_on_the_others() {
        let shape = ImageShape::new(1, 3, 4);
        let values = (0..24).map(|i| f64::from(i) / 24.0).collect();
        let images = TrainingImages::from_values(shape, values).unwrap();
        let level = Schedule::Cosine.level(0.5);
        let draws = NoisedDraws { images: images.pixels(), moves: true, level, seed: 3 };
        let [clean, noisy] = draws.draw(2, 5);
        let [clean_alone, noisy_alone] = draws.draw(4, 1);
        assert_eq!(clean.image(2), clean_alone.image(0));
        assert_eq!(noisy.image(2), noisy_alone.image(0));
        assert_ne!(noisy.image(1), noisy.image(2));
    }
}
