//! What a graphics card is told of a patch posterior, and what its answer means.
//!
//! `cuda/posterior.cuh` sums in single precision within an image and in double across images; each of its blocks
//! answers for some of the images. Here are the numbers that go in and the merging of what comes out, which are the
//! same for every card and for the emulator that tests the kernel on the CPU. Nothing here needs a card.

use super::PatchQuery;
use super::posterior::{SLACK_BITS, pruned_nats};
use crate::diffusion::Provenance;
use crate::theory::patches::{Border, Stretch};
use crate::theory::weights::Accumulator;

/// Channels that the kernel has registers for.
pub const CHANNELS_MAX: usize = 4;
/// Sums besides the channels': reference, total, spread.
pub const N_OTHERS: usize = 3;

/// What every block of a launch is told, laid out as `PosteriorPlan` of `posterior.cuh`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PosteriorPlan {
    pub channels: i32,
    pub height: i32,
    pub width: i32,
    pub n_images: i32,
    pub first_image: i32,
    pub n_row_stretches: i32,
    pub n_column_stretches: i32,
    /// Offsets of a patch: before and after along rows, then along columns.
    pub windows: [i32; 4],
    pub cut: i32,
    /// Bits per squared distance.
    pub scale: f32,
    pub width_of_weights: f32,
    pub slack: f32,
}

/// A launch: the plan, and the accepted pairs along both axes as shift, start, length.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    pub plan: PosteriorPlan,
    pub row_stretches: Vec<[i32; 3]>,
    pub column_stretches: Vec<[i32; 3]>,
}

/// What the blocks of one query found, in the kernel's layout; see `posterior.cuh`.
#[derive(Clone, Copy, Debug)]
pub struct Partial<'a> {
    /// `[blocks, N_OTHERS + C, P]`.
    pub sums: &'a [f64],
    /// `[blocks, P]`.
    pub nearest: &'a [f32],
    /// `[blocks, 2, P]`: image and training pixel.
    pub best: &'a [i32],
}

/// Every number of an image is far below this; a whole dictionary's are counted in `usize`.
fn int(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

impl Launch {
    /// For images `first..first + n_images` of a dictionary with `n_entries` entries a posterior in all.
    pub fn new<T>(
        query: &PatchQuery<'_, T>,
        first: usize,
        n_images: usize,
        n_entries: usize,
    ) -> Self {
        let PatchQuery { shape, pool, k, precision, .. } = *query;
        let (rows, columns) = (pool.window(k, shape.height), pool.window(k, shape.width));
        let stretches = |len| -> Vec<[i32; 3]> {
            let stretch = |one: &Stretch| [one.shift, one.start, one.len].map(int);
            pool.stretches(k, len).iter().map(stretch).collect()
        };
        let row_stretches = stretches(shape.height);
        let column_stretches = stretches(shape.width);
        let plan = PosteriorPlan {
            channels: int(shape.channels),
            height: int(shape.height),
            width: int(shape.width),
            n_images: int(n_images),
            first_image: int(first),
            n_row_stretches: int(row_stretches.len()),
            n_column_stretches: int(column_stretches.len()),
            windows: [rows.before, rows.after, columns.before, columns.after].map(int),
            cut: i32::from(pool.border() == Border::Cut),
            scale: (precision * std::f64::consts::LOG2_E) as f32,
            width_of_weights: (pruned_nats::<f32>(n_entries) / precision) as f32,
            slack: (SLACK_BITS * std::f64::consts::LN_2 / precision) as f32,
        };
        Self { plan, row_stretches, column_stretches }
    }

    /// Adds what the blocks of one query found to `all`.
    pub fn merge(&self, found: &Partial<'_>, all: &mut Accumulator) {
        let plan = &self.plan;
        let (n_channels, width) = (plan.channels as usize, plan.width as usize);
        let n_pixels = plan.height as usize * width;
        let n_sums = N_OTHERS + n_channels;
        // As the kernel rounded it.
        let bits = f64::from(plan.scale);
        let precision = bits * std::f64::consts::LN_2;
        for (block, sums) in found.sums.chunks_exact(n_sums * n_pixels).enumerate() {
            let nearest = &found.nearest[block * n_pixels..][..n_pixels];
            let best = &found.best[2 * block * n_pixels..][..2 * n_pixels];
            let mut one = Accumulator::new(n_channels, n_pixels);
            for p in 0..n_pixels {
                let sum = |which: usize| sums[which * n_pixels + p];
                if sum(0) == f64::INFINITY {
                    continue;
                }
                one.max[p] = -precision * sum(0);
                one.total[p] = sum(1);
                one.spread[p] = std::f64::consts::LN_2 * sum(2);
                for c in 0..n_channels {
                    one.sums[c * n_pixels + p] = sum(N_OTHERS + c);
                }
                // The reference may lag; which entry is the nearest must not depend on by how much.
                one.raise(p, -precision * f64::from(nearest[p]));
                let pixel = best[n_pixels + p] as usize;
                let (row, column) = ((pixel / width) as u16, (pixel % width) as u16);
                one.best[p] = Provenance { image: best[p] as u32, row, column };
            }
            all.merge(&one);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::ImageShape;
    use crate::theory::patches::Pool;

    #[test]
    fn the_plan_is_laid_out_as_the_kernel_reads_it() {
        assert_eq!(std::mem::size_of::<PosteriorPlan>(), 15 * 4);
        let shape = ImageShape::new(3, 8, 6);
        let query = PatchQuery { shape, pool: Pool::Interior, k: 5, x: &[0.0_f32], precision: 2.0 };
        let Launch { plan, row_stretches, column_stretches } = Launch::new(&query, 7, 9, 100);
        assert_eq!((plan.first_image, plan.n_images, plan.cut), (7, 9, 0));
        assert_eq!((row_stretches.len(), column_stretches.len()), (8, 6));
        assert_eq!((row_stretches[3], plan.windows), ([3, 2, 4], [2; 4]));
        assert!((f64::from(plan.slack * plan.scale) - SLACK_BITS).abs() < 1e-4);
    }
}
