//! One query against some images, for tests of faster paths against the specification.

use super::{PatchQuery, reference};
use crate::image::ImageShape;
use crate::theory::patch_pools_ls_els_bbels::Pool;
use crate::theory::patch_window::PatchWindow;
use crate::theory::posterior_weights::Accumulator;

#[derive(Debug, Clone)]
pub struct Case {
    pub shape: ImageShape,
    pub pool: Pool,
    pub k: usize,
    pub window: PatchWindow,
    pub logit_scale: f64,
    pub x: Vec<f64>,
    pub images: Vec<f64>,
}

impl Case {
    /// The case's query with the values `x`, as they are or rounded.
    pub fn query<'a, T>(&self, x: &'a [T]) -> PatchQuery<'a, T> {
        let &Self { shape, pool, k, window, logit_scale, .. } = self;
        PatchQuery { shape, pool, k, window, x, logit_scale }
    }

    pub fn image(&self, n: usize) -> &[f64] {
        let each = self.shape.n_values();
        &self.images[n * each..(n + 1) * each]
    }

    pub fn n_images(&self) -> usize {
        self.images.len() / self.shape.n_values()
    }

    /// The specification over `images`, the first of which is number `first`.
    pub fn plain(&self, images: &[f64], first: usize) -> Accumulator {
        let mut all = Accumulator::new(self.shape.channels, self.shape.n_pixels());
        reference::accumulate(&self.query(&self.x), images, first, &mut all);
        all
    }
}
