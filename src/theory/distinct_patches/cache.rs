//! The tables of distinct patches of one dictionary, where sums over them are faster than over all patches.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::image_table::ImageTables;
use super::patch_table::DistinctPatches;
use super::{image_posteriors, posteriors};
use crate::simd::Lane;
use crate::theory::cpu_kernels::PatchQuery;
use crate::theory::image_evidence::Evidence;
use crate::theory::patch_pools_ls_els_bbels::Pool;
use crate::theory::posterior_weights::Accumulator;
use crate::theory::training_pixels::ImagePixels;

/// Distinct patches of a dictionary for one pool and patch side.
#[derive(Debug)]
pub enum Tables {
    /// Of all images together: crafted sets.
    AllImages(DistinctPatches),
    /// Of each image: flat backgrounds.
    EachImage(ImageTables),
}

impl Tables {
    /// The tables of `images`; none if sums over all patches are expected to be faster ([`super::cost_estimate`]).
    pub fn find(images: &ImagePixels, pool: Pool, k: usize) -> Option<Self> {
        let of_each = || ImageTables::find(images, pool, k).map(Self::EachImage);
        DistinctPatches::find(images, pool, k).map(Self::AllImages).or_else(of_each)
    }

    /// As [`crate::theory::cpu_posteriors::patch_posteriors`], over the images of these tables.
    pub fn patch_posteriors<T: Lane>(
        &self,
        images: &ImagePixels,
        queries: &[PatchQuery<'_, T>],
    ) -> Vec<Accumulator> {
        match self {
            Self::AllImages(patches) => posteriors::patch_posteriors(patches, queries),
            Self::EachImage(tables) => image_posteriors::patch_posteriors(tables, images, queries),
        }
    }

    /// As [`crate::theory::cpu_posteriors::evidence`], over the images of these tables.
    pub fn evidence<T: Lane>(
        &self,
        images: &ImagePixels,
        range: Range<usize>,
        query: PatchQuery<'_, T>,
        log_pool: &[f64],
    ) -> Evidence {
        match self {
            Self::AllImages(patches) => posteriors::evidence(patches, range, query, log_pool),
            Self::EachImage(tables) => {
                image_posteriors::evidence(tables, images, range, query, log_pool)
            }
        }
    }
}

/// The tables of one dictionary, made on first use, by pool and patch side.
#[derive(Debug, Default)]
pub struct DistinctCache(Mutex<HashMap<(Pool, usize), Found>>);

/// Nothing where sums over all patches are faster.
type Found = Arc<OnceLock<Option<Arc<Tables>>>>;

impl DistinctCache {
    /// As [`Tables::find`]. Threads that ask for the same patches wait for the first of them.
    pub fn get(&self, images: &ImagePixels, pool: Pool, k: usize) -> Option<Arc<Tables>> {
        let found = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.entry((pool, k)).or_default().clone()
        };
        found.get_or_init(|| Tables::find(images, pool, k).map(Arc::new)).clone()
    }
}
