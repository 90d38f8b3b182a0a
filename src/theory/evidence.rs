//! What each training image says about each pixel of one noisy image: the two halves that `els` splits into.
//!
//! ```text
//! E[n,p] = logsumexp_q L[n,q,p] - ln |pool|          evidence that patch p came from image n
//! m[n,p] = sum_q softmax_q(L[n,q,p]) phi_n(q)         estimate if it did
//! ```
//!
//! That is `C + 4` numbers a pixel and training image, too many to keep for a large set. Images are therefore
//! gone through in portions, which are kept only if there is but one; whoever needs several passes
//! over more than that has them computed again.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use rayon::prelude::*;

use super::gpu::evidence::{Mixed, Votes};
use super::gpu::placement::GpuPlacement;
use super::images::TrainingImages;
use super::kernels::PatchQuery;
use super::kernels::boxes::BoxSums;
use super::kernels::tile::Tile;
use super::pooled::PooledModel;
use super::weights::Accumulator;
use crate::diffusion::Provenance;
use crate::image::ImageShape;
use crate::simd::Lane;
use crate::simd::lane::n_lanes;

/// What a portion may hold.
const PORTION_BYTES: usize = 512 << 20;

/// What some images say.
#[derive(Debug)]
pub struct Evidence {
    /// Number of the first of these images in the dictionary.
    pub first: usize,
    pub n_channels: usize,
    pub n_pixels: usize,
    /// `E[n,p]`, `[N, P]`.
    pub log_evidence: Vec<f64>,
    /// `m[n,p]`, `[N, C, P]`.
    pub estimates: Vec<f64>,
    /// Entropy in nats of the patch weights within an image, `[N, P]`.
    pub inner_entropy: Vec<f64>,
    /// The best patch within an image and the logarithm of its weight there, `[N, P]`.
    pub inner_best: Vec<(Provenance, f64)>,
}

/// The evidence of all images, portion by portion.
pub struct Portions<'a, T> {
    images: &'a TrainingImages,
    query: PatchQuery<'a, T>,
    /// Images in a portion.
    size: usize,
    only: OnceLock<Evidence>,
    /// `ln |pool(p)|`.
    log_pool: Vec<f64>,
    /// GPUs that may compute in our place, and the query as they take it.
    gpus: Option<(&'a GpuPlacement, Vec<f32>)>,
}

impl<'a, T: Lane> Portions<'a, T> {
    pub fn new(images: &'a TrainingImages, query: PatchQuery<'a, T>) -> Self {
        let shape = query.shape;
        let numbers = shape.n_pixels() * (shape.channels + 4);
        Self::of_size(images, query, PORTION_BYTES / (numbers * size_of::<f64>()))
    }

    fn of_size(images: &'a TrainingImages, query: PatchQuery<'a, T>, size: usize) -> Self {
        let n_lanes = n_lanes::<T>();
        let size = (size / n_lanes).max(1) * n_lanes;
        let ImageShape { height, width, .. } = query.shape;
        let n_places =
            |p: usize| query.pool.n_places(query.k, (height, width), (p / width, p % width));
        let log_pool = (0..query.shape.n_pixels()).map(|p| (n_places(p) as f64).ln()).collect();
        let gpus = images.gpu_placement_in::<T>().map(|gpus| (gpus, query.singles()));
        Self { images, query, size, only: OnceLock::new(), log_pool, gpus }
    }

    pub fn shape(&self) -> ImageShape {
        self.query.shape
    }

    /// The likelihood of pooled estimates at this noise level, fitted when it is first asked for.
    pub fn pooled_model(&self) -> Arc<PooledModel> {
        self.images.pooled().get(self.images, &self.query)
    }

    /// One pass over all images, in their order.
    pub fn each(&self, mut take: impl FnMut(&Evidence)) {
        let n = self.images.len();
        if n <= self.size {
            return take(self.only.get_or_init(|| self.portion(0..n)));
        }
        for first in (0..n).step_by(self.size) {
            take(&self.portion(first..(first + self.size).min(n)));
        }
    }

    /// The mixture over images by their own evidence alone, which is that of the machine without attention; its log-sum-exps
    /// are of [`Evidence::log_evidence`].
    pub fn equivariant_local(&self) -> Accumulator {
        if let Some(mixture) = self.local_on_gpus() {
            return mixture;
        }
        let shape = self.shape();
        let mut mixture = Accumulator::new(shape.channels + 1, shape.n_pixels());
        self.each(|evidence| evidence.mix(&evidence.log_evidence, &mut mixture));
        mixture
    }

    fn local_on_gpus(&self) -> Option<Accumulator> {
        let (gpus, x) = self.gpus.as_ref()?;
        let mut found = gpus.posteriors(self.images, &[self.query.of(x)], true)?.pop()?;
        found.max.iter_mut().zip(&self.log_pool).for_each(|(max, log_pool)| *max -= log_pool);
        Some(found)
    }

    /// Images mixed by `softmax_n(E[n,p] + lambda votes)`, if there are GPUs that can.
    pub fn mixed_on_gpus(&self, votes: Votes<'_>, lambda: f64) -> Option<Mixed> {
        let (gpus, x) = self.gpus.as_ref()?;
        // What a pool's size takes from every image alike changes no weight.
        gpus.mixed(self.images, self.query.of(x), votes, lambda as f32)
    }

    /// `sum_n P(n|p) P(n|r)`, if there are GPUs that can; `log_sums` as of [`Portions::equivariant_local`].
    pub fn co_origin_on_gpus(&self, log_sums: &[f64]) -> Option<Vec<f64>> {
        let (gpus, x) = self.gpus.as_ref()?;
        // GPUs leave the pool's size out.
        let pairs = log_sums.iter().zip(&self.log_pool);
        let log_sums: Vec<f32> = pairs.map(|(sum, pool)| (sum + pool) as f32).collect();
        gpus.co_origin(self.images, self.query.of(x), &log_sums)
    }

    fn portion_on_gpus(&self, images: Range<usize>) -> Option<Evidence> {
        let (gpus, x) = self.gpus.as_ref()?;
        let found = gpus.evidence(self.images, images.clone(), self.query.of(x))?;
        let (n_channels, n_pixels) = (self.shape().channels, self.shape().n_pixels());
        let width = self.shape().width;
        let best = |(at, (&place, &log_weight)): (usize, (&i32, &f32))| {
            let (row, column) = (place as usize / width, place as usize % width);
            let image = (images.start + at / n_pixels) as u32;
            let place = Provenance { image, row: row as u16, column: column as u16 };
            (place, f64::from(log_weight))
        };
        let doubles = |values: &[f32]| values.par_iter().map(|&value| f64::from(value)).collect();
        let log_sums = found.log_sums.par_iter().enumerate();
        let places = found.places.par_iter().zip(&found.log_weights).enumerate();
        Some(Evidence {
            first: images.start,
            n_channels,
            n_pixels,
            log_evidence: log_sums
                .map(|(at, &sum)| f64::from(sum) - self.log_pool[at % n_pixels])
                .collect(),
            estimates: doubles(&found.estimates),
            inner_entropy: doubles(&found.entropies),
            inner_best: places.map(best).collect(),
        })
    }

    fn portion(&self, images: Range<usize>) -> Evidence {
        if let Some(found) = self.portion_on_gpus(images.clone()) {
            return found;
        }
        let shape = self.query.shape;
        let (n_channels, n_pixels) = (shape.channels, shape.n_pixels());
        let n_lanes = n_lanes::<T>();
        let n = images.len();
        let mut all = Evidence {
            first: images.start,
            n_channels,
            n_pixels,
            log_evidence: vec![0.0; n * n_pixels],
            estimates: vec![0.0; n * n_channels * n_pixels],
            inner_entropy: vec![0.0; n * n_pixels],
            inner_best: vec![(Provenance::default(), 0.0); n * n_pixels],
        };
        // A tile's images fill a chunk of each.
        let each = n_lanes * n_pixels;
        let log_evidence = all.log_evidence.par_chunks_mut(each);
        let estimates = all.estimates.par_chunks_mut(each * n_channels);
        let inner_entropy = all.inner_entropy.par_chunks_mut(each);
        let inner_best = all.inner_best.par_chunks_mut(each);
        let places = log_evidence.zip(estimates).zip(inner_entropy.zip(inner_best)).enumerate();
        places.for_each_init(
            || {
                let boxes = BoxSums::<T, true>::new(self.query, n_lanes, n_pixels, true);
                (boxes, Tile::new(shape, n_lanes))
            },
            |(boxes, tile), (at, ((log_evidence, estimates), (inner_entropy, inner_best)))| {
                self.images.fill_tile(images.start + at * n_lanes..images.end, tile);
                boxes.weigh_tile(tile);
                for lane in 0..tile.n_images() {
                    let means = &mut estimates[lane * n_channels * n_pixels..];
                    for p in 0..n_pixels {
                        let mut channel = p;
                        let (found, place) = boxes.evidence(tile, lane, p, |mean| {
                            means[channel] = mean;
                            channel += n_pixels;
                        });
                        let at = lane * n_pixels + p;
                        log_evidence[at] = found.log_sum - self.log_pool[p];
                        inner_entropy[at] = found.entropy_nats;
                        inner_best[at] = (place, found.log_weight);
                    }
                }
            },
        );
        all
    }
}

impl Evidence {
    /// Adds these images to a mixture; the entropy within images rides along as one more channel.
    pub fn mix(&self, votes: &[f64], mixture: &mut Accumulator) {
        let (n_channels, n_pixels) = (self.n_channels, self.n_pixels);
        for (n, row) in votes.chunks_exact(n_pixels).enumerate() {
            for (p, &vote) in row.iter().enumerate() {
                let value = |c: usize| match c {
                    c if c < n_channels => self.estimates[(n * n_channels + c) * n_pixels + p],
                    _ => self.inner_entropy[n * n_pixels + p],
                };
                mixture.add(p, vote, Provenance::default(), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::noise_seeds;
    use crate::theory::attention_machine::Sharing;
    use crate::theory::patches::Pool;
    use crate::theory::spec::{AttentionSettings, AttentionSource};

    #[test]
    fn portions_of_any_size_say_the_same_bit_for_bit() {
        let shape = ImageShape::new(2, 4, 5);
        let images = noise_seeds(1, 0, 37, shape).into_values();
        let images = TrainingImages::from_values(shape, images).unwrap();
        let x = noise_seeds(2, 0, 1, shape).into_values();
        let query = PatchQuery { shape, pool: Pool::Wrap, k: 3, x: &x[..], precision: 0.7 };
        let settings =
            AttentionSettings { lambda: 1.5, gamma: 0.3, source: AttentionSource::CoOrigin };
        let run = |size, sharing: fn(&Portions<'_, f64>) -> Sharing| {
            let portions = Portions::of_size(&images, query, size);
            sharing(&portions).estimate(&portions, &settings)
        };
        for sharing in [
            (|_| Sharing::Uniform) as fn(&Portions<'_, f64>) -> Sharing,
            |portions| Sharing::co_origin(portions),
            |portions| Sharing::similarity(portions, 0.5),
        ] {
            let (whole, parts) = (run(1000, sharing), run(1, sharing));
            assert_eq!(whole.x0, parts.x0);
            assert_eq!(whole.entropy_nats, parts.entropy_nats);
            assert_eq!(whole.provenance, parts.provenance);
        }
    }
}
