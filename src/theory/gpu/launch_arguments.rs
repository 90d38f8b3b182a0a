//! Arguments of the posterior kernels, and the merging of their results.
//!
//! `kernels/posterior.cuh` sums in single precision within an image and in double precision across images; each block of
//! threads sums over some of the images. This file is the same for every GPU and for the emulator that tests the kernels
//! on the CPU, and needs neither.

use std::ops::Range;

use crate::diffusion::Provenance;
use crate::theory::cpu_kernels::PatchQuery;
use crate::theory::cpu_kernels::posterior::pruned_nats;
use crate::theory::patch_pools_ls_els_bbels::{Border, Stretch};
use crate::theory::posterior_weights::Accumulator;

/// Most channels that the kernels have registers for.
pub const CHANNELS_MAX: usize = 4;
/// Number of sums besides those of the channels: reference, total, spread.
pub const N_OTHERS: usize = 3;

/// The argument of every block, with the layout of `PosteriorPlan` in `posterior.cuh`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PosteriorPlan {
    pub channels: i32,
    pub height: i32,
    pub width: i32,
    pub n_images: i32,
    pub first_image: i32,
    pub is_bytes: i32,
    pub n_row_stretches: i32,
    pub n_column_stretches: i32,
    /// Offsets of a patch: before and after along rows, then along columns.
    pub windows: [i32; 4],
    pub cut: i32,
    /// Bits per squared distance: `logit_scale / ln 2`.
    pub scale: f32,
    pub width_of_weights: f32,
}

/// A launch: the plan, the range of loaded images, and the accepted pairs along both axes as (shift, start, length).
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    pub plan: PosteriorPlan,
    pub loaded: Range<usize>,
    /// Patch side.
    pub k: usize,
    /// Whether only the mean and the log-sum-exp are needed; spread and nearest entry may then be left out.
    pub mean_only: bool,
    pub row_stretches: Vec<[i32; 3]>,
    pub column_stretches: Vec<[i32; 3]>,
}

/// Results of the blocks for each query, in the layout of the kernels; see `general.cuh`.
#[derive(Clone, Debug)]
pub struct Found {
    /// `[queries, blocks, N_OTHERS + C, P]`.
    pub sums: Vec<f64>,
    /// Squared distance of the nearest entry, `[queries, blocks, P]`.
    pub nearest: Vec<f32>,
    /// Its image and training pixel, `[queries, blocks, 2, P]`.
    pub best: Vec<i32>,
}

/// Numbers of an image are far below `i32::MAX`; those of a whole dictionary are `usize`.
fn int(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

impl Launch {
    /// A launch over `loaded` images, the first of which is number `first` in a dictionary of `n_images`.
    pub fn new<T>(
        query: &PatchQuery<'_, T>,
        loaded: Range<usize>,
        first: usize,
        n_images: usize,
        is_bytes: bool,
    ) -> Self {
        let PatchQuery { shape, pool, k, window, logit_scale, .. } = *query;
        assert!(window.is_square(), "GPUs compare patches through square windows");
        let n_entries = n_images * shape.n_pixels();
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
            n_images: int(loaded.len()),
            first_image: int(first),
            is_bytes: i32::from(is_bytes),
            n_row_stretches: int(row_stretches.len()),
            n_column_stretches: int(column_stretches.len()),
            windows: [rows.before, rows.after, columns.before, columns.after].map(int),
            cut: i32::from(pool.border() == Border::Cut),
            scale: (logit_scale * std::f64::consts::LOG2_E) as f32,
            width_of_weights: (pruned_nats::<f32>(n_entries) / logit_scale) as f32,
        };
        Self { plan, loaded, k, mean_only: false, row_stretches, column_stretches }
    }

    /// Pixels of an image.
    pub fn n_pixels(&self) -> usize {
        self.plan.height as usize * self.plan.width as usize
    }

    /// Values of an image.
    pub fn n_values(&self) -> usize {
        self.plan.channels as usize * self.n_pixels()
    }

    /// Whether patches wrap round and every pair is accepted.
    pub fn is_whole(&self) -> bool {
        let every = |stretches: &[[i32; 3]], len| {
            let one = |(shift, s): (i32, &[i32; 3])| s[0] == shift && s[2] == len;
            stretches.len() == len as usize && (0..len).zip(stretches).all(one)
        };
        let plan = &self.plan;
        plan.cut == 0
            && every(&self.row_stretches, plan.height)
            && every(&self.column_stretches, plan.width)
    }

    /// Adds the results of the blocks of each query to `all`, one accumulator per query.
    pub fn merge(&self, found: &Found, all: &mut [Accumulator]) {
        let each = |len: usize| len / all.len();
        let sums = found.sums.chunks_exact(each(found.sums.len()));
        let nearest = found.nearest.chunks_exact(each(found.nearest.len()));
        let best = found.best.chunks_exact(each(found.best.len()));
        for (((sums, nearest), best), all) in sums.zip(nearest).zip(best).zip(all.iter_mut()) {
            self.merge_query(sums, nearest, best, all);
        }
    }

    fn merge_query(&self, sums: &[f64], nearest: &[f32], best: &[i32], all: &mut Accumulator) {
        let plan = &self.plan;
        let (n_channels, width) = (plan.channels as usize, plan.width as usize);
        let n_pixels = plan.height as usize * width;
        let n_sums = N_OTHERS + n_channels;
        // Rounded as in the kernel.
        let bits = f64::from(plan.scale);
        let logit_scale = bits * std::f64::consts::LN_2;
        for (block, sums) in sums.chunks_exact(n_sums * n_pixels).enumerate() {
            let nearest = &nearest[block * n_pixels..][..n_pixels];
            let best = &best[2 * block * n_pixels..][..2 * n_pixels];
            let mut one = accumulator(sums, best, (n_channels, n_pixels), width);
            for p in (0..n_pixels).filter(|&p| sums[p] != f64::INFINITY) {
                // Rounded as on the CPU: the nearest entry must not depend on where it was computed.
                one.raise(p, -logit_scale * f64::from(nearest[p]));
            }
            all.merge(&one);
        }
    }
}

/// The posteriors of one block, from its sums over entries, the others and `n_sums` more, and the places of the nearest
/// entries; pixels without entries, whose first sum is infinite, are left out.
pub(super) fn accumulator(
    sums: &[f64],
    best: &[i32],
    (n_sums, n_pixels): (usize, usize),
    width: usize,
) -> Accumulator {
    let mut all = Accumulator::new(n_sums, n_pixels);
    for p in (0..n_pixels).filter(|&p| sums[p] != f64::INFINITY) {
        let sum = |which: usize| sums[which * n_pixels + p];
        all.max[p] = -std::f64::consts::LN_2 * sum(0);
        all.total[p] = sum(1);
        all.spread[p] = std::f64::consts::LN_2 * sum(2);
        for c in 0..n_sums {
            all.sums[c * n_pixels + p] = sum(N_OTHERS + c);
        }
        let (image, pixel) = (best[p] as u32, best[n_pixels + p] as usize);
        let (row, column) = ((pixel / width) as u16, (pixel % width) as u16);
        all.best[p] = Provenance { image, row, column };
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::ImageShape;
    use crate::theory::patch_pools_ls_els_bbels::Pool;
    use crate::theory::patch_window::PatchWindow;

    #[test]
    fn the_plan_is_laid_out_as_the_kernel_reads_it() {
        assert_eq!(std::mem::size_of::<PosteriorPlan>(), 15 * 4);
        let shape = ImageShape::new(3, 8, 6);
        let query = PatchQuery {
            shape,
            pool: Pool::Interior,
            k: 5,
            window: PatchWindow::Square,
            x: &[0.0_f32],
            logit_scale: 2.0,
        };
        let launch = Launch::new(&query, 0..9, 7, 100, true);
        let Launch { plan, row_stretches, column_stretches, .. } = &launch;
        assert_eq!((plan.first_image, plan.n_images, plan.cut, plan.is_bytes), (7, 9, 0, 1));
        assert_eq!((row_stretches.len(), column_stretches.len()), (8, 6));
        assert_eq!((row_stretches[3], plan.windows), ([3, 2, 4], [2; 4]));
        assert!(!launch.is_whole());
        let wraps = PatchQuery { pool: Pool::Wrap, ..query };
        assert!(Launch::new(&wraps, 0..9, 7, 100, true).is_whole());
    }
}
