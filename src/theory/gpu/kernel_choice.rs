//! The choice of the kernel for a launch, its number of threads and its shared memory.

use super::launch_arguments::Launch;

/// Patch sides with a specialised kernel: `STRIP_SIDES` of `build.rs`.
pub const STRIP_SIDES: [usize; 7] = [3, 5, 7, 9, 11, 13, 15];

/// Rows and columns of a thread, as in `strips.cuh`.
const STRIP_ROWS: usize = 4;
const STRIP_COLUMNS: usize = 2;
/// Threads of a warp.
const WARP: usize = 32;
/// Pixels per thread and threads of the general kernel, as in `general.cu`.
const GENERAL: [(usize, &str); 3] =
    [(1, "general_posterior_1"), (4, "general_posterior_4"), (16, "general_posterior_16")];
const GENERAL_THREADS_MAX: usize = 256;

/// The PTX module that contains a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Module {
    General,
    /// For one patch side.
    Strips(usize),
    /// Measurements of peak rates.
    Ceilings,
}

/// A kernel and its launch settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel {
    pub module: Module,
    pub function: &'static str,
    pub n_threads: usize,
    pub shared_bytes: usize,
}

/// A variant of `strips.cu`.
struct Strip {
    function: &'static str,
    channels: usize,
    is_whole: bool,
    /// Whether entropy and nearest entry come with the mean.
    has_all: bool,
    n_pixels_max: usize,
    n_threads_max: usize,
    /// Displacements computed between two barriers.
    together: usize,
}

const fn strip(
    function: &'static str,
    channels: usize,
    (is_whole, has_all): (bool, bool),
    n_pixels_max: usize,
) -> Strip {
    let is_small = n_pixels_max == 1024;
    let n_threads_max = if is_small { 128 } else { 512 };
    // Only if each displacement is one row further than the one before.
    let together = if is_small && is_whole { 2 } else { 1 };
    Strip { function, channels, is_whole, has_all, n_pixels_max, n_threads_max, together }
}

const WHOLE: (bool, bool) = (true, true);
const SOME: (bool, bool) = (false, true);
const MEAN: (bool, bool) = (true, false);
/// Variants for the mean alone come first: a launch that needs no more takes them.
const STRIPS: [Strip; 10] = [
    strip("strip_mean_1_1024", 1, MEAN, 1024),
    strip("strip_mean_3_1024", 3, MEAN, 1024),
    strip("strip_whole_1_1024", 1, WHOLE, 1024),
    strip("strip_whole_3_1024", 3, WHOLE, 1024),
    strip("strip_some_1_1024", 1, SOME, 1024),
    strip("strip_some_3_1024", 3, SOME, 1024),
    strip("strip_whole_1_4096", 1, WHOLE, 4096),
    strip("strip_whole_3_4096", 3, WHOLE, 4096),
    strip("strip_some_1_4096", 1, SOME, 4096),
    strip("strip_some_3_4096", 3, SOME, 4096),
];

impl Kernel {
    /// All kernels that can compute `launch`, the fastest first; a GPU runs the first one whose shared memory it has.
    /// Empty for images of too many pixels or channels.
    pub fn all(launch: &Launch) -> Vec<Self> {
        Self::strips(launch).chain(Self::general(launch)).collect()
    }

    fn strips(launch: &Launch) -> impl Iterator<Item = Self> {
        let plan = &launch.plan;
        let (height, width) = (plan.height as usize, plan.width as usize);
        let (k, channels, is_whole) = (launch.k, plan.channels as usize, launch.is_whole());
        let n_pixels = launch.n_pixels();
        let fits = STRIP_SIDES.contains(&k)
            && k <= height.min(width)
            && plan.windows == [(k / 2) as i32; 4]
            && height.is_multiple_of(STRIP_ROWS)
            && width.is_multiple_of(STRIP_COLUMNS)
            && width <= WARP * STRIP_COLUMNS;
        // Row groups that a warp holds side by side.
        let n_groups = if fits { WARP / (width / STRIP_COLUMNS) } else { 1 };
        let n_threads = WARP * (height / STRIP_ROWS).div_ceil(n_groups);
        STRIPS.iter().filter_map(move |strip| {
            let suits = fits
                && strip.channels == channels
                && strip.is_whole == is_whole
                && (strip.has_all || launch.mean_only)
                && n_pixels <= strip.n_pixels_max
                && n_threads <= strip.n_threads_max;
            let row_sums = strip.n_pixels_max + WARP * STRIP_COLUMNS;
            let pixels = STRIP_ROWS * STRIP_COLUMNS * strip.n_threads_max;
            let nearest = if strip.has_all { pixels } else { 0 };
            let images = channels * strip.n_pixels_max;
            let shared = 2 * (images + strip.together * row_sums) + nearest;
            suits.then_some(Self {
                module: Module::Strips(k),
                function: strip.function,
                n_threads,
                shared_bytes: shared * size_of::<f32>(),
            })
        })
    }

    fn general(launch: &Launch) -> impl Iterator<Item = Self> {
        let channels = launch.plan.channels as usize;
        let n_pixels = launch.n_pixels();
        let has_room = channels <= super::launch_arguments::CHANNELS_MAX;
        let variant = GENERAL.iter().find(|(each, _)| n_pixels <= each * GENERAL_THREADS_MAX);
        variant.filter(|_| has_room).into_iter().map(move |&(each, function)| Self {
            module: Module::General,
            function,
            n_threads: n_pixels.div_ceil(each).next_multiple_of(WARP),
            shared_bytes: (channels + 2) * n_pixels * size_of::<f32>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::ImageShape;
    use crate::theory::cpu_kernels::PatchQuery;
    use crate::theory::patch_pools_ls_els_bbels::Pool;
    use crate::theory::patch_window::PatchWindow;

    fn first(shape: (usize, usize, usize), pool: Pool, k: usize) -> Option<Kernel> {
        first_of(shape, pool, k, false)
    }

    fn first_of(
        shape: (usize, usize, usize),
        pool: Pool,
        k: usize,
        mean_only: bool,
    ) -> Option<Kernel> {
        let shape = ImageShape::new(shape.0, shape.1, shape.2);
        let query = PatchQuery {
            shape,
            pool,
            k,
            window: PatchWindow::Square,
            x: &[0.0_f32],
            logit_scale: 1.0,
        };
        let launch = Launch { mean_only, ..Launch::new(&query, 0..1, 0, 1, true) };
        Kernel::all(&launch).first().copied()
    }

    #[test]
    fn small_images_and_common_patches_have_kernels_of_their_own() {
        let function = |shape, pool, k| first(shape, pool, k).unwrap().function;
        assert_eq!(function((3, 32, 32), Pool::Wrap, 7), "strip_whole_3_1024");
        assert_eq!(function((1, 28, 28), Pool::Interior, 15), "strip_some_1_1024");
        assert_eq!(function((3, 64, 64), Pool::Wrap, 3), "strip_whole_3_4096");
        let mean = |shape, pool| first_of(shape, pool, 7, true).unwrap().function;
        assert_eq!(mean((3, 32, 32), Pool::Wrap), "strip_mean_3_1024");
        assert_eq!(mean((1, 28, 28), Pool::Interior), "strip_some_1_1024");
        // Patches without a kernel, odd sides, two channels, patches as large as the image.
        assert_eq!(function((3, 32, 32), Pool::Wrap, 17), "general_posterior_4");
        assert_eq!(function((1, 9, 9), Pool::Wrap, 3), "general_posterior_1");
        assert_eq!(function((2, 64, 64), Pool::Wrap, 3), "general_posterior_16");
        assert_eq!(function((1, 8, 8), Pool::Wrap, 9), "general_posterior_1");
        assert_eq!(first((1, 65, 64), Pool::Wrap, 3), None);
        assert_eq!(first((5, 8, 8), Pool::Wrap, 3), None);
    }

    #[test]
    fn threads_cover_the_pixels() {
        let cifar = first((3, 32, 32), Pool::Wrap, 7).unwrap();
        assert_eq!(
            (cifar.n_threads, cifar.shared_bytes),
            (128, (2 * (3072 + 2 * 1088) + 1024) * 4)
        );
        let mnist = first((1, 28, 28), Pool::Wrap, 7).unwrap();
        assert_eq!(mnist.n_threads, 128);
        let general = first((3, 5, 7), Pool::Wrap, 3).unwrap();
        assert_eq!((general.n_threads, general.shared_bytes), (64, 5 * 35 * 4));
    }
}
