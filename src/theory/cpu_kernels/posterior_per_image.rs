//! One posterior per image of a tile and pixel: the evidence of the attention machine. Starts again with every tile.

use super::posterior::{Grouping, OTHERS, Posterior, Row, SPREAD, TOTAL};
use crate::image::ImageShape;
use crate::simd::{Buffer, Lane};

/// Each image has its own posterior at a pixel.
#[derive(Debug)]
pub struct PerImage<T> {
    /// Displacement number of the nearest entry, `[P, lanes]`.
    nearest_entry: Buffer<T>,
}

/// The evidence of one image at one pixel.
#[derive(Clone, Copy, Debug)]
pub struct PixelEvidence {
    /// `logsumexp` of its logits.
    pub log_sum: f64,
    /// Entropy of the patch weights within the image.
    pub entropy_nats: f64,
    /// Number of the displacement of its nearest patch.
    pub displacement: usize,
    /// The logarithm of the weight of that patch within the image.
    pub log_weight: f64,
}

impl<T: Lane> Grouping<T> for PerImage<T> {
    const PER_IMAGE: bool = true;

    fn new(shape: ImageShape, n_lanes: usize) -> Self {
        Self { nearest_entry: Buffer::zeros(shape.n_pixels() * n_lanes) }
    }

    #[inline(always)]
    fn nearest_entries(&mut self) -> &mut [T] {
        &mut self.nearest_entry
    }

    /// Lanes that are nearer than their reference by more than the slack get a new reference.
    #[cold]
    #[inline(never)]
    fn note(posterior: &mut Posterior<T, Self>, row: Row, j: usize, distances: &[T]) {
        let p = row.query_pixel + j;
        for (lane, &distance) in distances.iter().enumerate() {
            let at = p * posterior.n_lanes + lane;
            let old = posterior.reference[at];
            if distance < old - posterior.slack {
                posterior.reference[at] = distance;
                if old == T::INFINITY {
                    continue;
                }
                let bits = ((distance - old) * posterior.scale).to_f64();
                let factor = T::from_f64(bits.exp2());
                let total = posterior.sums[posterior.sum_at(p, TOTAL) + lane];
                let spread = posterior.sum_at(p, SPREAD) + lane;
                posterior.sums[spread] += total * T::from_f64(bits);
                for which in 0..posterior.shape.channels + OTHERS {
                    let at = posterior.sum_at(p, which) + lane;
                    posterior.sums[at] = factor * posterior.sums[at];
                }
            }
        }
    }

    /// Nothing to do: a tile has too few entries for its sums to lose digits.
    #[inline(always)]
    fn added(_: &mut Posterior<T, Self>, _: usize) {}
}

impl<T: Lane> Posterior<T, PerImage<T>> {
    /// The evidence of image `lane` of the tile at `pixel`; its weighted mean there goes to `mean`, channel by channel.
    pub fn image(&self, lane: usize, pixel: usize, mean: impl FnMut(f64)) -> PixelEvidence {
        let at = pixel * self.n_lanes + lane;
        let sum = |which| self.sums[self.sum_at(pixel, which) + lane].to_f64();
        let total = sum(TOTAL);
        (0..self.shape.channels).map(|c| sum(OTHERS + c) / total).for_each(mean);
        let reference = -self.logit_scale * self.reference[at].to_f64();
        let spread = sum(SPREAD) * std::f64::consts::LN_2;
        let log_sum = reference + total.ln();
        PixelEvidence {
            log_sum,
            entropy_nats: (total.ln() - spread / total).max(0.0),
            displacement: self.grouping.nearest_entry[at].to_f64() as usize,
            log_weight: -self.logit_scale * self.nearest[at].to_f64() - log_sum,
        }
    }
}
