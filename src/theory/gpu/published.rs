//! `ls-wiener` and `pspc` on GPUs, query by query; `None` where the CPU has to compute.

use super::evidence::{Mask, Votes};
use super::placement::GpuPlacement;
use crate::diffusion::Provenance;
use crate::theory::composite::entropies;
use crate::theory::images::TrainingImages;
use crate::theory::kernels::PatchQuery;
use crate::theory::masked::Masks;
use crate::theory::patches::Pool;
use crate::theory::weights::Accumulator;

fn singles(x: &[f64]) -> Vec<f32> {
    x.iter().map(|&value| value as f32).collect()
}

/// Posteriors of all coordinates of queries `x_t / sqrt(abar)`; see [`crate::theory::masked`].
pub fn masked(
    gpus: &GpuPlacement,
    images: &TrainingImages,
    queries: &[Vec<f64>],
    masks: &Masks,
    precision: f64,
) -> Option<Vec<Accumulator>> {
    let mask = Mask { bits: masks.bits(), precision: precision as f32 };
    let of_query = |x: &Vec<f64>| {
        let (shape, pool, x) = (images.shape(), Pool::SamePlace, singles(x));
        gpus.masked(images, PatchQuery { shape, pool, k: 1, x: &x, precision }, mask)
    };
    queries.iter().map(of_query).collect()
}

/// What crops come to.
pub struct Composed {
    /// [C, H, W].
    pub x0: Vec<f64>,
    pub entropy_nats: Vec<f64>,
    pub provenance: Vec<Provenance>,
}

/// Crops mixed for each query; see [`crate::theory::composite`]. A crop is the patch of `ls` around its
/// centre, so what images say about those is what they say about crops.
pub fn composites(
    gpus: &GpuPlacement,
    images: &TrainingImages,
    queries: &[Vec<f64>],
    k: usize,
    precision: f64,
) -> Option<Vec<Composed>> {
    let (shape, half) = (images.shape(), k / 2);
    let of_query = |x: &Vec<f64>| {
        let (pool, x) = (Pool::SamePlace, singles(x));
        let query = PatchQuery { shape, pool, k, x: &x, precision };
        let crops = gpus.mixed(images, query, Votes::Nothing, 0.0)?.mixture;
        let log_sums: Vec<f32> = (0..shape.n_pixels()).map(|p| crops.log_sum(p) as f32).collect();
        let mosaic = gpus.crops(images, query, &log_sums)?;
        let mut x0 = mosaic.mixture.mean();
        x0.truncate(shape.n_values());
        let entropy = |y, x| crops.entropy((y + half) * shape.width + x + half);
        let provenance = mosaic.top.iter().map(|(place, _)| *place).collect();
        Some(Composed { x0, entropy_nats: entropies(entropy, shape, k), provenance })
    };
    queries.iter().map(of_query).collect()
}
