//! Validation of a launch before it runs: its kernels must stay inside their buffers.
//!
//! [`Launch`] consists of public numbers, which kernels do not check. [`Launch::n_queries`] must be called before a
//! launch runs; it rejects numbers that do not fit, overflow or are zero.

use super::launch_arguments::{Launch, N_OTHERS};

/// Most queries of a launch: each is a row of blocks.
const QUERIES_MAX: usize = u16::MAX as usize;
/// Largest patch side: a place plus twice this still fits 32 bits.
const SIDE_MAX: usize = 1 << 28;

impl Launch {
    /// The number of queries in `n_query_values` values; `None` if the launch is invalid for `n_bytes` bytes of images.
    ///
    /// A launch is valid if
    ///
    /// - images have pixels and channels, and the number of sums of an image fits 32 bits,
    /// - its images are among those loaded, of the same type, and as many as in the plan,
    /// - windows extend no farther than one image beyond each side, as far as kernels wrap round,
    /// - stretches begin inside an image and are no longer than one.
    pub fn n_queries(
        &self,
        n_bytes: usize,
        is_bytes: bool,
        n_query_values: usize,
    ) -> Option<usize> {
        let plan = &self.plan;
        let positive = |n: i32| usize::try_from(n).ok().filter(|&n| n > 0);
        let [channels, height, width] =
            [positive(plan.channels)?, positive(plan.height)?, positive(plan.width)?];
        let n_pixels = height.checked_mul(width)?;
        let n_values = channels.checked_mul(n_pixels)?;
        // The largest number of sums per pixel of any kernel.
        let n_sums = channels.checked_add(N_OTHERS + 1)?.checked_mul(n_pixels)?;
        let each = n_values.checked_mul(if is_bytes { 1 } else { size_of::<f32>() })?;
        let n_images = self.loaded.end.checked_sub(self.loaded.start)?;
        let first = usize::try_from(plan.first_image).ok()?;
        let n_queries = n_query_values / n_values;
        let suits = is_int(n_sums)
            && self.loaded.end.checked_mul(each)? <= n_bytes
            && plan.is_bytes == i32::from(is_bytes)
            && usize::try_from(plan.n_images) == Ok(n_images)
            && is_int(first.checked_add(n_images)?)
            && (1..=QUERIES_MAX).contains(&n_queries)
            && n_queries.checked_mul(n_values)? == n_query_values
            && (1..=SIDE_MAX).contains(&self.k)
            && (plan.cut == 0 || plan.cut == 1)
            && are_inside(
                &self.row_stretches,
                plan.n_row_stretches,
                &plan.windows[..2],
                plan.height,
            )
            && are_inside(
                &self.column_stretches,
                plan.n_column_stretches,
                &plan.windows[2..],
                plan.width,
            );
        suits.then_some(n_queries)
    }
}

/// Whether the stretches (shift, start, length) and the patch offsets of an axis fit its length.
fn are_inside(stretches: &[[i32; 3]], counted: i32, window: &[i32], len: i32) -> bool {
    let fits = |&[shift, start, n]: &[i32; 3]| {
        (0..len).contains(&shift) && (0..len).contains(&start) && (0..=len).contains(&n)
    };
    usize::try_from(counted) == Ok(stretches.len())
        && stretches.iter().all(fits)
        && window.iter().all(|offset| (0..=len).contains(offset))
}

/// Whether `n` fits the 32-bit integers of the kernels.
fn is_int(n: usize) -> bool {
    i32::try_from(n).is_ok()
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::super::launch_arguments::PosteriorPlan;
    use super::*;
    use crate::image::ImageShape;
    use crate::theory::cpu_kernels::PatchQuery;
    use crate::theory::patch_pools_ls_els_bbels::Pool;
    use crate::theory::patch_window::PatchWindow;

    const SHAPE: ImageShape = ImageShape { channels: 3, height: 8, width: 6 };

    fn launch(pool: Pool, k: usize) -> Launch {
        let query = PatchQuery {
            shape: SHAPE,
            pool,
            k,
            window: PatchWindow::Square,
            x: &[0.0_f32],
            logit_scale: 2.0,
        };
        Launch::new(&query, 1..5, 7, 100, true)
    }

    /// Queries of a launch over five images of bytes, two queries.
    fn check(launch: &Launch) -> Option<usize> {
        let n = SHAPE.n_values();
        launch.n_queries(5 * n, true, 2 * n)
    }

    #[test]
    fn launches_of_all_pools_and_sides_are_taken() {
        for pool in Pool::ALL {
            for k in [1, 3, 5, 7, 9, 99] {
                if pool != Pool::Interior || k <= 6 {
                    assert_eq!(check(&launch(pool, k)), Some(2), "{pool:?} {k}");
                }
            }
        }
    }

    #[test]
    fn images_and_queries_that_are_not_there_are_refused() {
        let (good, n) = (launch(Pool::Wrap, 3), SHAPE.n_values());
        assert_eq!(good.n_queries(20 * n, false, n), None, "bytes that are none");
        for (n_bytes, n_query_values) in
            [(5 * n - 1, n), (5 * n, 0), (5 * n, n - 1), (5 * n, n + 1), (5 * n, n << 16)]
        {
            assert_eq!(good.n_queries(n_bytes, true, n_query_values), None);
        }
        for loaded in
            [2..6, 2..5, Range { start: 5, end: 1 }, usize::MAX - 4..usize::MAX, 1..usize::MAX]
        {
            assert_eq!(
                check(&Launch { loaded: loaded.clone(), ..good.clone() }),
                None,
                "{loaded:?}"
            );
        }
    }

    #[test]
    fn numbers_that_lead_a_kernel_outside_are_refused() {
        let good = launch(Pool::Wrap, 3);
        let plans: [fn(&mut PosteriorPlan, i32); 10] = [
            |plan, n| plan.channels = n,
            |plan, n| plan.height = n,
            |plan, n| plan.width = n,
            |plan, n| plan.n_images = n,
            |plan, n| plan.n_row_stretches = n,
            |plan, n| plan.n_column_stretches = n,
            |plan, n| plan.windows[0] = n,
            |plan, n| plan.windows[3] = n,
            |plan, n| plan.cut = n,
            |plan, n| plan.is_bytes = n,
        ];
        for (number, set) in plans.iter().enumerate() {
            for n in [-1, i32::MIN, i32::MAX, 1 << 16] {
                let mut wrong = good.clone();
                set(&mut wrong.plan, n);
                assert_eq!(check(&wrong), None, "{number}: {n}");
            }
        }
        for first_image in [-1, i32::MAX, i32::MAX - 3] {
            let plan = PosteriorPlan { first_image, ..good.plan };
            assert_eq!(check(&Launch { plan, ..good.clone() }), None);
        }
        for size in [0, -3] {
            let plan = PosteriorPlan { channels: size, height: size, ..good.plan };
            assert_eq!(check(&Launch { plan, ..good.clone() }), None);
        }
        // Eight rows, six columns.
        for (axis, len) in [8, 6].into_iter().enumerate() {
            for stretch in
                [[len, 0, 1], [-1, 0, 1], [0, len, 1], [0, -1, 1], [0, 0, len + 1], [0, 0, -1]]
            {
                let mut wrong = good.clone();
                [&mut wrong.row_stretches, &mut wrong.column_stretches][axis][2] = stretch;
                assert_eq!(check(&wrong), None, "{axis}: {stretch:?}");
            }
        }
        for k in [0, SIDE_MAX + 1, usize::MAX] {
            assert_eq!(check(&Launch { k, ..good.clone() }), None);
        }
    }
}
