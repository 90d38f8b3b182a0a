//! Sums over a dictionary that is distributed over GPUs ([`super::shares_in_gpu_memory`]).
//!
//! Results, a few kilobytes per query, are merged in the order of the images.
//!
//! After a GPU has failed, none is used again: the reason is reported once, every function returns `None`, and
//! [`crate::theory::dictionary_sums_on_gpu_or_cpu`] computes on the CPU.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::evidence::{
    FoundEvidence, Mask, Votes, images_per_launch, mixture, mixture_by_coordinate,
};
use super::gpu_interface::{GpuError, Loaded};
use super::launch_arguments::{CHANNELS_MAX, Launch};
use super::shares_in_gpu_memory::{Gpus, Part, Share};
use crate::theory::cpu_kernels::PatchQuery;
use crate::theory::image_evidence::ImageMixture;
use crate::theory::posterior_weights::Accumulator;
use crate::theory::training_pixels::ImagePixels;

/// Queries of one launch, so that the results of the blocks take little memory.
const QUERIES_MAX: usize = 8;
/// Pairs of pixels of one launch: well under a second, so that a GPU that also drives a display stays responsive.
const PAIRS_MAX: usize = 100_000_000_000;
/// Kernels number the entries of a launch in 32 bits, and its images in 31.
const ENTRIES_MAX: usize = u32::MAX as usize;
/// Coordinates of a mask: kernels have a row of blocks for each, and the matrix of the mask then takes a gigabyte.
const COORDINATES_MAX: usize = 1 << 14;

/// The GPUs of a dictionary and the images that each of them holds.
pub struct GpuPlacement {
    gpus: Arc<Gpus>,
    placement: Mutex<Location>,
}

enum Location {
    /// Before the first use.
    Unplaced,
    Placed(Arc<Vec<Share>>),
    /// These GPUs cannot take these images.
    Unusable,
}

impl fmt::Debug for GpuPlacement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GpuPlacement({})", self.gpus.names())
    }
}

impl GpuPlacement {
    /// Nothing is loaded before the first use.
    pub fn new(gpus: Arc<Gpus>) -> Self {
        Self { gpus, placement: Mutex::new(Location::Unplaced) }
    }

    /// The GPUs.
    pub fn gpus(&self) -> &Arc<Gpus> {
        &self.gpus
    }

    /// Posteriors of each query over all images; without spread and nearest entry if `mean_only`. `None` if GPUs cannot
    /// compute them.
    pub fn posteriors(
        &self,
        images: &ImagePixels,
        queries: &[PatchQuery<'_, f32>],
        mean_only: bool,
    ) -> Option<Vec<Accumulator>> {
        let shape = images.shape();
        let one = || Accumulator::new(shape.channels, shape.n_pixels());
        let new = || queries.iter().map(|_| one()).collect();
        let add = |all: &mut Vec<Accumulator>, part: Part<'_>| {
            add_posteriors(images, queries, mean_only, part, all)
        };
        let merge = |all: &mut Vec<Accumulator>, found: Vec<Accumulator>| {
            all.iter_mut().zip(&found).for_each(|(all, one)| all.merge(one));
        };
        self.work(images, 0..images.len(), new, add, merge)
    }

    /// Evidence of the images `some` for a query; `None` as above.
    pub fn evidence(
        &self,
        images: &ImagePixels,
        some: Range<usize>,
        query: PatchQuery<'_, f32>,
    ) -> Option<FoundEvidence> {
        let find = |loaded: &dyn Loaded, launch: &Launch| loaded.evidence(launch, query.x);
        let merge = |all: &mut FoundEvidence, one: FoundEvidence| {
            all.log_sums.extend(one.log_sums);
            all.entropies.extend(one.entropies);
            all.estimates.extend(one.estimates);
            all.log_weights.extend(one.log_weights);
            all.places.extend(one.places);
        };
        self.by_image(images, some, query, FoundEvidence::default, find, merge)
    }

    /// All images mixed by their evidence and votes; `None` as above.
    pub fn mixed(
        &self,
        images: &ImagePixels,
        query: PatchQuery<'_, f32>,
        votes: Votes<'_>,
        lambda: f32,
    ) -> Option<ImageMixture> {
        let shape = images.shape();
        // One more sum than channels.
        if shape.channels >= CHANNELS_MAX {
            return None;
        }
        let find = |loaded: &dyn Loaded, launch: &Launch| {
            let first = launch.plan.first_image as usize;
            let votes = match votes {
                Votes::Images(all) => Votes::Images(&all[first..first + launch.loaded.len()]),
                votes => votes,
            };
            Ok(mixture(launch, &loaded.mixed(launch, query.x, votes, lambda)?))
        };
        self.mixed_by(images, query, || ImageMixture::new(shape.channels, shape.n_pixels()), find)
    }

    /// The posterior over images at each coordinate of a query, seen through a mask: one coordinate per pixel, with a
    /// second channel that is zero. `None` as above. Of the query only the values, the shape and the logit scale are
    /// used.
    pub fn masked(
        &self,
        images: &ImagePixels,
        query: PatchQuery<'_, f32>,
        mask: Mask<'_>,
    ) -> Option<Accumulator> {
        let n_values = images.shape().n_values();
        if n_values > COORDINATES_MAX {
            return None;
        }
        let find = |loaded: &dyn Loaded, launch: &Launch| {
            Ok(mixture_by_coordinate(launch, &loaded.masked(launch, query.x, mask)?))
        };
        Some(self.mixed_by(images, query, || ImageMixture::new(1, n_values), find)?.mixture)
    }

    /// All images mixed at each pixel by the crops that hold it; `log_sums` are those of the evidence at the centres of
    /// the crops. `top` has weights instead of logarithms. `None` as above.
    pub fn crops(
        &self,
        images: &ImagePixels,
        query: PatchQuery<'_, f32>,
        log_sums: &[f32],
    ) -> Option<ImageMixture> {
        let shape = images.shape();
        // As for `mixed`, which comes first.
        if shape.channels >= CHANNELS_MAX {
            return None;
        }
        let find = |loaded: &dyn Loaded, launch: &Launch| {
            Ok(mixture(launch, &loaded.crops(launch, query.x, log_sums)?))
        };
        self.mixed_by(images, query, || ImageMixture::new(shape.channels, shape.n_pixels()), find)
    }

    /// The mixture of the mixtures that `find` computes for the images of each launch.
    fn mixed_by(
        &self,
        images: &ImagePixels,
        query: PatchQuery<'_, f32>,
        new: impl Fn() -> ImageMixture + Sync,
        find: impl Fn(&dyn Loaded, &Launch) -> Result<ImageMixture, GpuError> + Sync,
    ) -> Option<ImageMixture> {
        let merge = |all: &mut ImageMixture, found: ImageMixture| all.merge(&found);
        self.by_image(images, 0..images.len(), query, new, find, merge)
    }

    /// `sum_n P(n|p) P(n|r)` over all images, `P(n|p) = exp(E[n,p] - log_sums[p])`, `[P, P]`; `None` as above.
    pub fn co_origin(
        &self,
        images: &ImagePixels,
        query: PatchQuery<'_, f32>,
        log_sums: &[f32],
    ) -> Option<Vec<f64>> {
        let n_pixels = images.shape().n_pixels();
        let new = || vec![0.0; n_pixels * n_pixels];
        let find = |loaded: &dyn Loaded, launch: &Launch| {
            let found = loaded.co_origin(launch, query.x, log_sums)?;
            Ok(found.into_iter().map(f64::from).collect())
        };
        let merge = |all: &mut Vec<f64>, found: Vec<f64>| {
            all.iter_mut().zip(found).for_each(|(all, one)| *all += one);
        };
        self.by_image(images, 0..images.len(), query, new, find, merge)
    }

    /// The merged results of `find` for launches over the images `some`, which keep something of each image and pixel.
    /// Launches that do not fit into memory are halved.
    fn by_image<A: Send>(
        &self,
        images: &ImagePixels,
        some: Range<usize>,
        query: PatchQuery<'_, f32>,
        new: impl Fn() -> A + Sync,
        find: impl Fn(&dyn Loaded, &Launch) -> Result<A, GpuError> + Sync,
        merge: impl Fn(&mut A, A) + Sync,
    ) -> Option<A> {
        let shape = images.shape();
        let (n_images, are_bytes) = (images.len(), images.are_bytes());
        let add = |all: &mut A, Part { loaded, place, images }: Part<'_>| {
            let mut per_launch = images_per_launch(shape.channels, shape.n_pixels());
            let mut found = Vec::new();
            let mut next = place.start;
            while next < place.end {
                let part = next..(next + per_launch).min(place.end);
                let first = images.start + part.start - place.start;
                let launch = Launch::new(&query, part.clone(), first, n_images, are_bytes);
                match find(loaded, &launch) {
                    Ok(one) => {
                        found.push(one);
                        next = part.end;
                    }
                    Err(GpuError::OutOfMemory { .. }) if part.len() > 1 => {
                        per_launch = part.len().div_ceil(2);
                    }
                    Err(error) => return Err(error),
                }
            }
            // Only now: if a launch fails, the images are added again.
            found.into_iter().for_each(|one| merge(all, one));
            Ok(())
        };
        self.work(images, some, new, add, &merge)
    }

    /// Lets each GPU `add` its share of the images `some` to a result, in their order, and merges the results; `None` if
    /// GPUs cannot. If `add` fails, it has added none of its images, and they may be added again.
    fn work<A: Send>(
        &self,
        images: &ImagePixels,
        some: Range<usize>,
        new: impl Fn() -> A + Sync,
        add: impl Fn(&mut A, Part<'_>) -> Result<(), GpuError> + Sync,
        merge: impl Fn(&mut A, A),
    ) -> Option<A> {
        let shares = self.shares(images)?;
        let found = self.gpus.of_shares(&shares, images, some, &new, add);
        // The lock ends with this statement: others need not wait while results are merged.
        let found = self.or_give_up(&mut self.lock(), found)?;
        let mut all = new();
        found.into_iter().for_each(|one| merge(&mut all, one));
        Some(all)
    }

    fn lock(&self) -> MutexGuard<'_, Location> {
        self.placement.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shares of the GPUs, assigned on first use.
    fn shares(&self, images: &ImagePixels) -> Option<Arc<Vec<Share>>> {
        if self.gpus.is_out() {
            return None;
        }
        let mut placement = self.lock();
        match &*placement {
            Location::Placed(shares) => return Some(shares.clone()),
            Location::Unusable => return None,
            Location::Unplaced => {}
        }
        let shares = Arc::new(self.or_give_up(&mut placement, self.gpus.place(images))?);
        *placement = Location::Placed(shares.clone());
        Some(shares)
    }

    /// What GPUs have found. After an error the dictionary no longer uses them.
    fn or_give_up<T>(&self, placement: &mut Location, found: Result<T, GpuError>) -> Option<T> {
        let report = |error: &GpuError| {
            *placement = Location::Unusable;
            self.gpus.give_up(error);
        };
        found.inspect_err(report).ok()
    }
}

/// Adds the posteriors of `queries` over some images to `all`.
fn add_posteriors(
    images: &ImagePixels,
    queries: &[PatchQuery<'_, f32>],
    mean_only: bool,
    part: Part<'_>,
    all: &mut [Accumulator],
) -> Result<(), GpuError> {
    let n_pixels = images.shape().n_pixels();
    let (n_images, are_bytes) = (images.len(), images.are_bytes());
    let Part { loaded, place, images } = part;
    let mut found = Vec::new();
    for queries in queries.chunks(QUERIES_MAX) {
        let mut of_group = Vec::new();
        let flat: Vec<f32> = queries.iter().flat_map(|query| query.x).copied().collect();
        let by_pairs = PAIRS_MAX / queries.len() / n_pixels / n_pixels;
        let per_launch = by_pairs.min(ENTRIES_MAX / n_pixels).min(i32::MAX as usize).max(1);
        for first in (0..place.len()).step_by(per_launch) {
            let mine = place.start + first..(place.start + first + per_launch).min(place.end);
            let launch = Launch::new(&queries[0], mine, images.start + first, n_images, are_bytes);
            let launch = Launch { mean_only, ..launch };
            let answer = loaded.posteriors(&launch, &flat)?;
            of_group.push((launch, answer));
        }
        found.push(of_group);
    }
    for (of_group, all) in found.iter().zip(all.chunks_mut(QUERIES_MAX)) {
        of_group.iter().for_each(|(launch, answer)| launch.merge(answer, all));
    }
    Ok(())
}
