//! Solves each noise level when it is first asked for, and keeps it, in memory and in a folder.
//!
//! Two threads that ask for the same unsolved level at once both solve it, with the same result: a thread that waited
//! for the other could hold up the pool that the other computes in.

use std::collections::HashMap;
use std::fs;
use std::hash::Hash;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::function_of_class::MemberSizes;
use super::level_solver::{LevelProblem, LevelSolution};
use super::noised_draws::NoisedDraws;
use super::solution_file;
use crate::diffusion::{DenoiseError, Denoised, NoiseLevel, Schedule};
use crate::image::ImageBatch;
use crate::network::network_config::{AttentionConfig, AttentionVariant};
use crate::theory::attention_optimal::{AttentionClass, OptimumSolver};
use crate::theory::distinct_patches::patch_moments::PatchMoments;
use crate::theory::patch_pools_ls_els_bbels::Border;
use crate::theory::training_pixels::ImagePixels;

/// Version of the solver: solutions of another one are not used.
const VERSION: u32 = 1;
/// Rng seed of the draws and of the first parameters.
const SEED: u64 = 0;
/// Principal components of the patches among the features.
const N_COMPONENTS: usize = 24;
/// Most patches of a dictionary.
const PATCHES_MAX: usize = 2_000_000;

/// A level starts from the solution at the next larger multiple of one over this.
const STEPS_OF_T: f64 = 20.0;
/// Steps that differ by less are the same.
const SAME_TIME: f64 = 1e-6;

const DENOISER: &str = "attention-optimal";

/// Solutions by class, images and noise level.
#[derive(Debug)]
pub struct CachedSolver {
    folder: PathBuf,
    dictionaries: Cache<String, PatchMoments>,
    levels: Cache<String, LevelSolution>,
}

/// Values that are kept once they have been made.
#[derive(Debug)]
struct Cache<K, V>(Mutex<HashMap<K, Arc<V>>>);

impl<K: Eq + Hash, V> Cache<K, V> {
    fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    fn get_or_make<E>(&self, key: K, make: impl FnOnce() -> Result<V, E>) -> Result<Arc<V>, E> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = lock().get(&key).cloned();
        match found {
            Some(found) => Ok(found),
            None => {
                let made = Arc::new(make()?);
                Ok(lock().entry(key).or_insert(made).clone())
            }
        }
    }
}

impl CachedSolver {
    /// A solver that keeps its solutions in `folder`, which is made with the first of them.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, dictionaries: Cache::new(), levels: Cache::new() }
    }

    /// The solution of a level from memory, from its file, or by solving it, after the noisier levels that it starts from.
    fn solution(
        &self,
        words: &str,
        problem: &LevelProblem<'_>,
    ) -> Result<Arc<LevelSolution>, DenoiseError> {
        let t = problem.draws.level.t;
        let words_of_level = format!("{words}, t = {t}");
        self.levels.get_or_make(words_of_level.clone(), || {
            if problem.is_left_local() {
                return Ok(LevelSolution::Local);
            }
            let hash = crc32fast::hash(words_of_level.as_bytes());
            let path = self.folder.join(format!("{hash:08x}-t{t:.5}.safetensors"));
            if let Some(found) = solution_file::read(&path, &words_of_level) {
                return Ok(found);
            }
            let before = match level_before(problem.draws.level) {
                Some(level) => self.solution(words, &problem.at(level))?,
                None => Arc::new(LevelSolution::Local),
            };
            let found = problem.solve(&before).map_err(failed)?;
            fs::create_dir_all(&self.folder).map_err(failed)?;
            solution_file::write(&path, &words_of_level, &found).map_err(failed)?;
            Ok(found)
        })
    }
}

impl OptimumSolver for CachedSolver {
    fn denoise(
        &self,
        class: &AttentionClass,
        k: usize,
        images: &ImagePixels,
        x: &ImageBatch,
        level: NoiseLevel,
        with_maps: bool,
    ) -> Result<Denoised, DenoiseError> {
        let variant: AttentionVariant = class.weights.parse().map_err(|_| {
            unusable(format!("network.attention is '{}', which is no attention", class.weights))
        })?;
        let n_patches = images.len().saturating_mul(images.shape().n_pixels());
        if n_patches > PATCHES_MAX {
            return Err(unusable(format!(
                "the training images hold '{n_patches}' patches, and at most {PATCHES_MAX} can be solved for; lower dataset.n"
            )));
        }
        let dictionary = format!("{}, k = {k}, {:?}", checksum(images), class.pool);
        let moments = self.dictionaries.get_or_make(dictionary.clone(), || {
            PatchMoments::new(images, class.pool, k, N_COMPONENTS).map_err(failed)
        })?;
        let AttentionClass { heads, head_width, .. } = *class;
        let attention = AttentionConfig { variant, heads, head_width, normalise: false };
        let (n_moments, n_channels) = (moments.n_moments(), images.shape().channels);
        let sizes = MemberSizes { n_moments, n_channels, attention };
        let moves = class.pool.border() == Border::Wrap;
        let draws = NoisedDraws { images, moves, level, seed: SEED };
        let words = format!("version {VERSION}: {class:?}, {dictionary}");
        let solution = self.solution(&words, &LevelProblem { draws, moments: &moments, sizes })?;
        solution.denoise(&moments, sizes, (x, level), with_maps).map_err(failed)
    }
}

/// The noisier level whose solution `level` starts from: the next of [`STEPS_OF_T`] steps, whatever levels are asked for.
fn level_before(level: NoiseLevel) -> Option<NoiseLevel> {
    let before = (level.t * STEPS_OF_T + SAME_TIME).floor() + 1.0;
    (before <= STEPS_OF_T).then(|| Schedule::Cosine.level(before / STEPS_OF_T))
}

/// Shape, number and checksum of the images' values.
fn checksum(images: &ImagePixels) -> String {
    let mut hasher = crc32fast::Hasher::new();
    for image in 0..images.len() {
        let values = images.values(image..image + 1);
        values.iter().for_each(|v| hasher.update(&v.to_le_bytes()));
    }
    format!("{} images of {}, checksum {:08x}", images.len(), images.shape(), hasher.finalize())
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> DenoiseError {
    DenoiseError::Failed { denoiser: DENOISER.to_owned(), source: Box::new(error) }
}

fn unusable(problem: String) -> DenoiseError {
    DenoiseError::Unusable { denoiser: DENOISER.to_owned(), problem }
}
