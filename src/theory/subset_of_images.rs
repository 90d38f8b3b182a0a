//! `subset`, **approximate**: `ideal` restricted to the training images nearest to the input, chosen at reduced
//! resolution. In the manner of GoldDiff (Shang et al., *Fast and Scalable Analytical Diffusion*, arXiv 2602.16498),
//! but with our own schedule and reduction.
//!
//! ```text
//! d[n] = sum over blocks b of b x b pixels, of |b| (mean_b(x_t / sqrt(abar)) - mean_b(phi_n))^2     coarse distance
//! K = the n(t) images of least d,   n(t) = n_0^abar N^(1 - abar), rounded
//! x0hat = sum_{n in K} softmax_{n in K}(L[n]) phi_n,   L[n] as in `ideal`
//! ```
//!
//! `n_0` is the number of images as noise vanishes, where one image decides; at pure noise all N count. Means of a block
//! times the root of its size are a projection, so d never exceeds the exact squared distance. Nothing is sampled:
//! estimates are deterministic. How far they are from `ideal` is measured, not assumed: reports and
//! `mosaic theory` print it. Always on the CPU in doubles.

use rayon::prelude::*;

use super::cpu_posteriors::whole_images;
use super::estimate_of_one_image::Estimate;
use super::training_pixels::ImagePixels;
use crate::diffusion::NoiseLevel;
use crate::image::ImageShape;

/// Partial sums of a distance, which processors add side by side.
const LANES: usize = 8;

/// The training images at reduced resolution.
#[derive(Debug)]
pub struct CoarseImages {
    shape: ImageShape,
    /// Side of a block in pixels.
    block: usize,
    /// `[N, C * blocks]`: the mean of each block times the root of its number of pixels.
    values: Vec<f32>,
}

impl CoarseImages {
    /// Reduces all images: blocks of 4 x 4 pixels, fewer for images below 16 pixels a side; blocks end at the border.
    pub fn new(images: &ImagePixels) -> Self {
        let shape = images.shape();
        let block = match shape.height.min(shape.width) {
            16.. => 4,
            8.. => 2,
            _ => 1,
        };
        let reduce = |n: usize| -> Vec<f32> {
            let reduced = reduced(&images.values(n..n + 1), shape, block);
            reduced.into_iter().map(|v| v as f32).collect()
        };
        let each: Vec<Vec<f32>> = (0..images.len()).into_par_iter().map(reduce).collect();
        Self { shape, block, values: each.concat() }
    }

    /// The coarse squared distance of every image to `x`, `[C, H, W]`.
    fn distances(&self, x: &[f64]) -> Vec<f64> {
        let x = reduced(x, self.shape, self.block);
        let each = self.values.par_chunks_exact(x.len());
        each.map(|image| squared_distance(&x, image)).collect()
    }

    /// Numbers of the `n` images nearest to `x` at reduced resolution, in ascending order; of equals the first.
    ///
    /// # Panics
    ///
    /// If `n` is 0 or more than there are images.
    fn nearest(&self, x: &[f64], n: usize) -> Vec<usize> {
        let distances = self.distances(x);
        let mut order: Vec<usize> = (0..distances.len()).collect();
        order.select_nth_unstable_by(n - 1, |&a, &b| {
            distances[a].total_cmp(&distances[b]).then(a.cmp(&b))
        });
        order.truncate(n);
        order.sort_unstable();
        order
    }

    /// The estimate of each query from the `n` images that are nearest to it. `queries` are `x_t / sqrt(abar)`,
    /// `[C, H, W]`; `logit_scale` is `abar / (2 sigma^2)`. With all images, this is `ideal`.
    ///
    /// # Panics
    ///
    /// If `n` is 0 or more than there are images.
    pub fn estimates(
        &self,
        images: &ImagePixels,
        queries: &[Vec<f64>],
        n: usize,
        logit_scale: f64,
    ) -> Vec<Estimate> {
        if n == images.len() {
            return whole_images(images, queries, false, logit_scale);
        }
        let estimate = |x: &Vec<f64>| {
            let chosen = self.nearest(x, n);
            let selected = images.select(&chosen);
            let query = std::slice::from_ref(x);
            let mut estimate = whole_images(&selected, query, false, logit_scale).remove(0);
            for place in &mut estimate.provenance {
                place.image = chosen[place.image as usize] as u32;
            }
            estimate
        };
        queries.par_iter().map(estimate).collect()
    }
}

/// Number of images that are compared with at a noise level, `n(t)` above. `subset` is `n_0` as a share of all `n_images`
/// if it is at most 1, otherwise their number.
pub fn n_of_subset(subset: f64, n_images: usize, level: NoiseLevel) -> usize {
    let all = n_images as f64;
    let least = if subset <= 1.0 { (subset * all).ceil() } else { subset.round() };
    let least = least.clamp(1.0, all);
    let n = least.powf(level.abar) * all.powf(1.0 - level.abar);
    n.round().clamp(least, all) as usize
}

/// Block means times the root of the block's number of pixels, `[C, blocks]`.
fn reduced(image: &[f64], shape: ImageShape, block: usize) -> Vec<f64> {
    let ImageShape { height, width, .. } = shape;
    let (rows, columns) = (height.div_ceil(block), width.div_ceil(block));
    let mut values = Vec::with_capacity(shape.channels * rows * columns);
    for plane in image.chunks_exact(height * width) {
        for at in 0..rows * columns {
            let (top, left) = (at / columns * block, at % columns * block);
            let (down, along) = (block.min(height - top), block.min(width - left));
            let sum: f64 = (top..top + down)
                .map(|row| plane[row * width + left..][..along].iter().sum::<f64>())
                .sum();
            values.push(sum / ((down * along) as f64).sqrt());
        }
    }
    values
}

fn squared_distance(a: &[f64], b: &[f32]) -> f64 {
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            let difference = a[lane] - f64::from(b[lane]);
            sums[lane] += difference * difference;
        }
    }
    let rest = a_rest.iter().zip(b_rest).map(|(a, b)| (a - f64::from(*b)).powi(2));
    sums.iter().sum::<f64>() + rest.sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::Schedule;
    use crate::random::noise_seeds;
    use crate::theory::training_pixels::Storage;

    #[test]
    fn a_coarse_distance_never_exceeds_the_exact_one() {
        for (height, width, block) in [(5, 7, 1), (9, 11, 2), (18, 17, 4)] {
            let shape = ImageShape::new(3, height, width);
            let (images, x) = (noise_seeds(1, 0, 6, shape), noise_seeds(2, 0, 1, shape));
            let storage = Storage::Values(images.values().to_vec());
            let coarse = CoarseImages::new(&ImagePixels::new(shape, storage).unwrap());
            assert_eq!(coarse.block, block);
            let found = coarse.distances(x.values());
            for (image, found) in images.iter().zip(found) {
                let exact: f64 = image.iter().zip(x.values()).map(|(a, b)| (a - b).powi(2)).sum();
                let slack = 1e-6 * exact;
                assert!(found <= exact + slack, "{found} {exact}");
                assert!(block > 1 || found >= exact - slack, "{found} {exact}");
            }
        }
    }

    #[test]
    fn blocks_that_the_border_cuts_are_means_of_what_is_there() {
        let shape = ImageShape::new(1, 3, 3);
        let image: Vec<f64> = (0..9).map(f64::from).collect();
        let root = 2.0_f64.sqrt();
        assert_eq!(reduced(&image, shape, 2), [4.0, 7.0 / root, 13.0 / root, 8.0]);
    }

    #[test]
    fn more_noise_needs_more_images_and_a_share_of_one_is_all() {
        let n = |subset, t| n_of_subset(subset, 1000, Schedule::Cosine.level(t));
        let counts: Vec<usize> = (1..=10).map(|i| n(0.02, f64::from(i) / 10.0)).collect();
        assert!(counts.is_sorted() && counts[0] >= 20 && counts[9] > 990, "{counts:?}");
        assert_eq!(n(0.02, 0.3), n(20.0, 0.3));
        assert!((1..=10).all(|i| n(1.0, f64::from(i) / 10.0) == 1000));
        assert!((1..=10).all(|i| n(5000.0, f64::from(i) / 10.0) == 1000));
        assert_eq!(n(1e-9, 1e-6), 1);
    }
}
