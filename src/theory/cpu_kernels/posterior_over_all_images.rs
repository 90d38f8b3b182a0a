//! One posterior per pixel over all images: lanes are added up, and the nearest entry of all images sets the limit.

use super::posterior::{Grouping, OTHERS, Posterior, Row, SPREAD, TOTAL};
use crate::diffusion::Provenance;
use crate::image::ImageShape;
use crate::simd::Lane;
use crate::theory::posterior_weights::Accumulator;

/// Entries of a pixel and lane after which its sums are moved to doubles and its limit is updated.
const FLUSH_AFTER: usize = if cfg!(test) { 16 } else { 256 };

/// All images share the posterior of a pixel.
#[derive(Debug)]
pub struct AllImages {
    /// Sums of the entries that have left the lanes.
    all: Accumulator,
    /// Entries of a pixel and lane that are still in the lanes, at most.
    n_unflushed: usize,
}

impl<T: Lane> Grouping<T> for AllImages {
    const PER_IMAGE: bool = false;

    fn new(shape: ImageShape, _: usize) -> Self {
        Self { all: Accumulator::new(shape.channels, shape.n_pixels()), n_unflushed: 0 }
    }

    #[inline(always)]
    fn nearest_entries(&mut self) -> &mut [T] {
        &mut []
    }

    #[cold]
    #[inline(never)]
    fn note(posterior: &mut Posterior<T, Self>, row: Row, j: usize, distances: &[T]) {
        let p = row.query_pixel + j;
        let mut nearest = posterior.nearest[p];
        for (lane, &distance) in distances[..row.n_images].iter().enumerate() {
            if distance < nearest {
                nearest = distance;
                posterior.grouping.all.best[p] = Provenance {
                    image: (row.first_image + lane) as u32,
                    row: row.training_row as u16,
                    column: (row.training_column + j) as u16,
                };
            }
        }
        posterior.nearest[p] = nearest;
        posterior.lower_cutoff(p, nearest + posterior.width);
        if nearest < posterior.reference[p] - posterior.slack {
            posterior.flush_pixel(p);
            posterior.reference[p] = nearest;
            posterior.grouping.all.raise(p, -posterior.logit_scale * nearest.to_f64());
        }
    }

    #[inline(always)]
    fn added(posterior: &mut Posterior<T, Self>, n: usize) {
        posterior.grouping.n_unflushed += n;
        if posterior.grouping.n_unflushed >= FLUSH_AFTER {
            posterior.flush();
        }
    }
}

impl<T: Lane> Posterior<T, AllImages> {
    /// The sums over all entries.
    pub fn finish(mut self) -> Accumulator {
        self.flush();
        for (p, nearest) in self.nearest.iter().enumerate() {
            self.grouping.all.raise(p, -self.logit_scale * nearest.to_f64());
        }
        self.grouping.all
    }

    /// Moves the sums of the lanes to doubles, in which small terms are not lost.
    #[inline(never)]
    fn flush(&mut self) {
        (0..self.shape.n_pixels()).for_each(|p| self.flush_pixel(p));
        self.grouping.n_unflushed = 0;
    }

    fn flush_pixel(&mut self, p: usize) {
        let first = self.sum_at(p, 0);
        let mut sum = |which: usize| {
            let at = first + which * self.n_lanes;
            let lanes = &mut self.sums[at..at + self.n_lanes];
            let sum: f64 = lanes.iter().map(|v| v.to_f64()).sum();
            lanes.fill(T::ZERO);
            sum
        };
        let (total, spread) = (sum(TOTAL), sum(SPREAD));
        for c in 0..self.shape.channels {
            self.grouping.all.sums[c * self.shape.n_pixels() + p] += sum(OTHERS + c);
        }
        self.grouping.all.total[p] += total;
        // The total weight so far exceeds that of the nearest entry alone, so the limit can be tightened.
        let log_total = self.grouping.all.max[p] + self.grouping.all.total[p].ln();
        let limit = T::from_f64((self.pruned_nats - log_total) / self.logit_scale);
        // Rounding must not exclude entries that tie with the nearest.
        self.lower_cutoff(p, if limit < self.nearest[p] { self.nearest[p] } else { limit });
        self.grouping.all.spread[p] += std::f64::consts::LN_2 * spread;
    }

    fn lower_cutoff(&mut self, p: usize, limit: T) {
        if limit < self.cutoff[p] {
            self.cutoff[p] = limit;
        }
    }
}
