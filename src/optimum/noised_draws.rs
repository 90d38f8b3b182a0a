//! Training images with fresh noise: what errors are averaged over when a problem is solved.

use rand::RngExt;
use rayon::prelude::*;

use crate::diffusion::{NoiseLevel, Schedule};
use crate::image::{ImageBatch, ImageShape};
use crate::random::{Purpose, fill_normal, stream};
use crate::theory::training_pixels::ImagePixels;

/// Share of the noise levels, as times of the cosine schedule, that are drawn from [`FOCUS`], where what patches say of the whole image is decided. The others
/// come from all levels.
const FOCUS_SHARE: f64 = 0.65;
const FOCUS: [f64; 2] = [0.35, 0.85];
/// Lowest level: below it the local machine is nearly exact.
pub const T_MIN: f64 = 0.03;

/// Where draws come from.
#[derive(Clone, Copy)]
pub struct NoisedDraws<'a> {
    pub images: &'a ImagePixels,
    /// Whether images are moved by a random circular translation first.
    pub moves: bool,
    pub seed: u64,
}

/// Images with noise of one level each.
pub struct Draws {
    pub levels: Vec<NoiseLevel>,
    /// `phi`, `[n, C, H, W]`.
    pub clean: ImageBatch,
    /// `x_t = sqrt(abar) phi + sigma eps`, `[n, C, H, W]`.
    pub noisy: ImageBatch,
}

/// One image, clean and noisy, `[C, H, W]`.
struct Draw {
    level: NoiseLevel,
    clean: Vec<f64>,
    noisy: Vec<f64>,
}

impl NoisedDraws<'_> {
    /// Draws `first..first + n`, at random noise levels or all at `level`. Random levels cover the signal powers of all
    /// schedules, whichever the network has: a solution is a function of the level, and serves every schedule. A draw has the same image, translation and noise
    /// `eps` at every level, and does not depend on `n`.
    pub fn draw(&self, first: u64, n: usize, level: Option<NoiseLevel>) -> Draws {
        let shape = self.images.shape();
        let draws: Vec<Draw> =
            (first..first + n as u64).into_par_iter().map(|index| self.one(index, level)).collect();
        let batch = |values: fn(&Draw) -> &[f64]| {
            ImageBatch::new(shape, draws.iter().flat_map(values).copied().collect())
        };
        let levels = draws.iter().map(|draw| draw.level).collect();
        Draws { levels, clean: batch(|draw| &draw.clean), noisy: batch(|draw| &draw.noisy) }
    }

    fn one(&self, index: u64, level: Option<NoiseLevel>) -> Draw {
        let shape = self.images.shape();
        let mut generator = stream(self.seed, Purpose::OptimumNoise, index);
        let mut below = |n: usize| generator.random_range(0..n as u64) as usize;
        let image = below(self.images.len());
        let by = (below(shape.height), below(shape.width));
        let image = self.images.values(image..image + 1);
        let clean = if self.moves { translated(&image, shape, by) } else { image };
        let mut eps = vec![0.0_f32; shape.n_values()];
        fill_normal(&mut generator, &mut eps);
        let [low, high] = if generator.random_bool(FOCUS_SHARE) { FOCUS } else { [T_MIN, 1.0] };
        let t = generator.random_range(low..high);
        let level = level.unwrap_or_else(|| Schedule::Cosine.level(t));
        let (signal, sigma) = (level.signal(), level.sigma());
        let noisy = clean.iter().zip(&eps).map(|(x, &e)| signal * x + sigma * f64::from(e));
        let noisy = noisy.collect();
        Draw { level, clean, noisy }
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
        let draws = NoisedDraws { images: images.pixels(), moves: true, seed: 3 };
        let (all, alone) = (draws.draw(2, 5, None), draws.draw(4, 1, None));
        assert_eq!(all.clean.image(2), alone.clean.image(0));
        assert_eq!(all.noisy.image(2), alone.noisy.image(0));
        assert_eq!(all.levels[2], alone.levels[0]);
        assert_ne!(all.noisy.image(1), all.noisy.image(2));
    }

    #[test]
    fn a_draw_has_the_same_image_and_noise_at_every_level() {
        let shape = ImageShape::new(1, 3, 4);
        let images = TrainingImages::from_values(shape, vec![0.25; 12]).unwrap();
        let draws = NoisedDraws { images: images.pixels(), moves: false, seed: 3 };
        let noise = |t: f64| {
            let level = Schedule::Cosine.level(t);
            let drawn = draws.draw(0, 1, Some(level));
            let noise =
                drawn.noisy.values().iter().map(|x| (x - level.signal() * 0.25) / level.sigma());
            noise.collect::<Vec<f64>>()
        };
        for (a, b) in noise(0.3).iter().zip(noise(0.8)) {
            assert!((a - b).abs() < 1e-12, "{a} {b}");
        }
    }
}
