//! Clean images with noise added at one level: `x_t = sqrt(abar) phi + sigma eps`.

use rand::RngExt;

use crate::dataset::{Batches, Dataset};
use crate::diffusion::NoiseLevel;
use crate::image::{ImageBatch, ImageShape, from_byte};
use crate::random::{Purpose, fill_normal, stream};

/// Images of a data set with fresh noise.
#[derive(Clone, Debug)]
pub struct NoisedImages {
    pub level: NoiseLevel,
    /// The images `phi`, `[n, C, H, W]`, values in [-1, 1].
    pub clean: ImageBatch,
    /// `x_t`, `[n, C, H, W]`.
    pub noisy: ImageBatch,
    /// The class of each image, if the data set has classes.
    pub classes: Option<Vec<u32>>,
}

/// Whether each image is moved by a random circular translation before noise is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Translation {
    None,
    Circular,
}

impl NoisedImages {
    /// Draws `n` images in random order, each as often as the others to within one, and adds noise.
    ///
    /// Draw `i` has the same image, translation and noise at every level and for every `n`: errors at two levels, or of
    /// two denoisers, are compared on the same draws.
    ///
    /// # Panics
    ///
    /// If the data set is empty.
    pub fn draw(
        dataset: &Dataset,
        level: NoiseLevel,
        n: usize,
        translation: Translation,
        seed: u64,
    ) -> Self {
        let shape = dataset.shape();
        let (signal, sigma) = (level.signal(), level.sigma());
        let indices = Batches::new(dataset.len(), n, seed).next();
        let (mut clean, mut noisy) = (Vec::new(), Vec::new());
        let mut eps = vec![0.0_f32; shape.n_values()];
        for (draw, &index) in indices.iter().enumerate() {
            let mut generator = stream(seed, Purpose::FloorNoise, draw as u64);
            let mut below = |n: usize| generator.random_range(0..n as u64) as usize;
            let (down, right) = (below(shape.height), below(shape.width));
            let (down, right) = match translation {
                Translation::None => (0, 0),
                Translation::Circular => (down, right),
            };
            let image = translated(dataset.image(index), shape, down, right);
            fill_normal(&mut generator, &mut eps);
            noisy.extend(image.iter().zip(&eps).map(|(x, &e)| signal * x + sigma * f64::from(e)));
            clean.extend(image);
        }
        let classes =
            dataset.labels().map(|labels| indices.iter().map(|&i| u32::from(labels[i])).collect());
        let [clean, noisy] = [clean, noisy].map(|values| ImageBatch::new(shape, values));
        Self { level, clean, noisy, classes }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.clean.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.clean.is_empty()
    }

    /// The draws at `indices`, in that order.
    ///
    /// # Panics
    ///
    /// If an index is not below the number of draws.
    pub fn select(&self, indices: &[usize]) -> Self {
        let gather = |batch: &ImageBatch| {
            let values = indices.iter().flat_map(|&i| batch.image(i)).copied().collect();
            ImageBatch::new(batch.shape(), values)
        };
        Self {
            level: self.level,
            clean: gather(&self.clean),
            noisy: gather(&self.noisy),
            classes: self.classes.as_ref().map(|all| indices.iter().map(|&i| all[i]).collect()),
        }
    }
}

/// The values of an image of bytes `[C, H, W]`, moved down and to the right with wrap-around.
fn translated(image: &[u8], shape: ImageShape, down: usize, right: usize) -> Vec<f64> {
    let ImageShape { height, width, .. } = shape;
    let mut values = Vec::with_capacity(image.len());
    for plane in image.chunks_exact(height * width) {
        for row in 0..height {
            let from = &plane[(row + height - down) % height * width..][..width];
            values.extend((0..width).map(|x| from_byte(from[(x + width - right) % width])));
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::Schedule;

    fn dataset() -> Dataset {
        let shape = ImageShape::new(2, 3, 4);
        let pixels: Vec<u8> = (0..5 * shape.n_values()).map(|i| (i * 37 % 251) as u8).collect();
        Dataset::new("test", shape, pixels, Some(vec![0, 1, 2, 1, 0]))
    }

    #[test]
    fn a_translation_moves_every_pixel_and_wraps() {
        let shape = ImageShape::new(1, 2, 3);
        let moved = translated(&[0, 1, 2, 3, 4, 5], shape, 1, 1);
        assert_eq!(moved, [5, 3, 4, 2, 0, 1].map(from_byte));
    }

    #[test]
    fn a_draw_is_the_same_at_every_level_and_number_of_draws() {
        let dataset = dataset();
        let (low, high) = (Schedule::Cosine.level(0.2), Schedule::Cosine.level(0.7));
        let few = NoisedImages::draw(&dataset, low, 3, Translation::Circular, 4);
        let many = NoisedImages::draw(&dataset, high, 11, Translation::Circular, 4);
        assert_eq!(few.clean.values(), many.select(&[0, 1, 2]).clean.values());
        assert_eq!(few.classes.as_deref(), many.select(&[0, 1, 2]).classes.as_deref());
        let eps = |x: &NoisedImages| -> Vec<f64> {
            let (signal, sigma) = (x.level.signal(), x.level.sigma());
            let pairs = x.noisy.values().iter().zip(x.clean.values());
            pairs.map(|(x, phi)| (x - signal * phi) / sigma).collect()
        };
        for (a, b) in eps(&few).iter().zip(eps(&many)) {
            assert!((a - b).abs() < 1e-12, "{a} {b}");
        }
    }

    #[test]
    fn every_image_is_drawn_equally_often() {
        let dataset = dataset();
        let level = Schedule::Cosine.level(0.5);
        let drawn = NoisedImages::draw(&dataset, level, 15, Translation::None, 0);
        for index in 0..5 {
            let original = dataset.batch(index, 1);
            let n = drawn.clean.iter().filter(|image| *image == original.values()).count();
            assert_eq!(n, 3);
        }
    }
}
