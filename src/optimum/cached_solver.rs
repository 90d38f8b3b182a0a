//! Solves each problem when it is first asked for, and keeps the solution, in memory and in a folder.
//!
//! A problem is solved in threads of its own, and whoever else asks for it waits: a thread of the pool that others compute in
//! could otherwise take up work that waits for the solution that it is making itself.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::descent::{Descent, Problem};
use super::function_of_class::FunctionSizes;
use super::noised_draws::NoisedDraws;
use super::solution::Solution;
use super::solution_file;
use crate::diffusion::{DenoiseError, Denoised, NoiseLevel};
use crate::image::ImageBatch;
use crate::network::network_config::{AttentionConfig, AttentionVariant, Readout};
use crate::theory::attention_optimal::{AttentionClass, AttentionQuery, OptimumSolver};
use crate::theory::distinct_patches::patch_moments::PatchMoments;
use crate::theory::patch_pools_ls_els_bbels::Border;
use crate::theory::training_pixels::ImagePixels;

/// Version of the solver: solutions of another one are not used.
const VERSION: u32 = 4;
/// Rng seed of the draws and of the first parameters.
const SEED: u64 = 0;
/// Principal components of the patches among the features.
const N_COMPONENTS: usize = 24;
/// Most patches of a dictionary.
const PATCHES_MAX: usize = 2_000_000;
/// Updates of a descent.
const N_UPDATES: usize = 1500;
/// Updates after which an unfinished descent is saved.
const SAVE_EVERY: usize = 100;

const DENOISER: &str = "attention-optimal";

/// Told of every update: how many are done, and of how many. Solving stops where it returns false.
pub type Watcher = Arc<dyn Fn(usize, usize) -> bool + Send + Sync>;

/// Solutions by class and images.
pub struct CachedSolver {
    folder: PathBuf,
    n_updates: usize,
    watcher: Mutex<Option<Watcher>>,
    dictionaries: Cache<PatchMoments>,
    solutions: Cache<Solution>,
}

/// Values that are kept once they have been made, each made by one thread while others wait for it.
struct Cache<V>(Mutex<HashMap<String, Slot<V>>>);

type Slot<V> = Arc<Mutex<Option<Arc<V>>>>;

impl<V> Cache<V> {
    fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    /// Whether the value has been made.
    fn has(&self, key: &str) -> bool {
        let slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.get(key).and_then(|slot| slot.try_lock().ok());
        slot.is_some_and(|slot| slot.is_some())
    }

    fn get_or_make<E>(&self, key: &str, make: impl FnOnce() -> Result<V, E>) -> Result<Arc<V>, E> {
        let slot = {
            let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            slots.entry(key.to_owned()).or_default().clone()
        };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = &*slot {
            return Ok(found.clone());
        }
        let made = Arc::new(make()?);
        *slot = Some(made.clone());
        Ok(made)
    }
}

impl fmt::Debug for CachedSolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedSolver").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl CachedSolver {
    /// A solver that keeps its solutions in `folder`, which is made with the first of them.
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            n_updates: N_UPDATES,
            watcher: Mutex::new(None),
            dictionaries: Cache::new(),
            solutions: Cache::new(),
        }
    }

    /// The same solver with another number of updates; the default is 1500. Fewer take less time and leave a larger error.
    pub fn with_updates(self, n_updates: usize) -> Self {
        Self { n_updates, ..self }
    }

    /// Tells `watcher` of every update from now on, and no other one.
    pub fn watch(&self, watcher: Watcher) {
        *self.watcher.lock().unwrap_or_else(PoisonError::into_inner) = Some(watcher);
    }

    /// Tells the watcher how far a descent is; false if it is to stop.
    fn may_go_on(&self, n_done: usize) -> bool {
        let watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner).clone();
        watcher.is_none_or(|watcher| watcher(n_done, self.n_updates))
    }

    /// The solution of a problem from its file, or by solving it. That its files cannot be written only costs time later.
    fn solve(&self, words: &str, problem: &Problem<'_>) -> Result<Solution, DenoiseError> {
        let path = self.path(words);
        if let Some(found) = solution_file::read(&path, words, problem.sizes) {
            return Ok(found);
        }
        let unfinished = path.with_extension("unfinished");
        let found = solution_file::read_descent(&unfinished, words, problem.sizes);
        let mut descent = found.map_or_else(|| problem.start(), Ok).map_err(failed)?;
        let save = |descent: &Descent| {
            fs::create_dir_all(&self.folder).ok();
            solution_file::write_descent(&unfinished, words, descent).ok();
        };
        while descent.n_done < self.n_updates {
            problem.advance(&mut descent).map_err(failed)?;
            if !self.may_go_on(descent.n_done) {
                save(&descent);
                return Err(DenoiseError::Cancelled);
            }
            if descent.n_done.is_multiple_of(SAVE_EVERY) {
                save(&descent);
            }
        }
        let solution = problem.finish(&descent).map_err(failed)?;
        fs::create_dir_all(&self.folder).ok();
        solution_file::write(&path, words, &solution).ok();
        fs::remove_file(&unfinished).ok();
        Ok(solution)
    }

    /// Where the solution of the problem in these words is kept.
    fn path(&self, words: &str) -> PathBuf {
        self.folder.join(format!("{:08x}.safetensors", crc32fast::hash(words.as_bytes())))
    }

    /// The problem in words: what a solution depends on.
    fn words(
        &self,
        class: &AttentionClass,
        attention: AttentionConfig,
        dictionary: &str,
    ) -> String {
        let readout = if class.joint_readout { "joint" } else { "linear" };
        let n_updates = self.n_updates;
        format!(
            "version {VERSION}: {n_updates} updates, {attention:?}, {readout} readout, {dictionary}"
        )
    }
}

/// How the class computes attention.
fn attention_of(class: &AttentionClass) -> Result<AttentionConfig, DenoiseError> {
    let variant = class.weights.parse().map_err(|_| {
        unusable(format!("network.attention is '{}', which is no attention", class.weights))
    })?;
    let AttentionClass { heads, head_width, normalise, .. } = *class;
    Ok(AttentionConfig { variant, heads, head_width, normalise })
}

/// The dictionary in words.
fn dictionary_of(class: &AttentionClass, k: usize, images: &ImagePixels) -> String {
    format!("{}, k = {k}, {:?}", checksum(images), class.pool)
}

/// Runs `work` in threads of its own, as many as the current pool has.
fn apart<T: Send>(
    work: impl FnOnce() -> Result<T, DenoiseError> + Send,
) -> Result<T, DenoiseError> {
    let n_threads = rayon::current_num_threads();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().map_err(failed)?;
    thread::scope(|scope| scope.spawn(|| pool.install(work)).join()).unwrap_or_else(|_| {
        Err(unusable("solving for it ended in a fault of the program".to_owned()))
    })
}

impl OptimumSolver for CachedSolver {
    fn denoise(
        &self,
        class: &AttentionClass,
        k: usize,
        images: &ImagePixels,
        x: &ImageBatch,
        level: NoiseLevel,
        asked: AttentionQuery<'_>,
    ) -> Result<Denoised, DenoiseError> {
        let attention = attention_of(class)?;
        if let AttentionQuery::Given(maps) = asked {
            maps.check_sizes(DENOISER, (x.len(), class.heads, x.shape().n_pixels()))?;
        }
        let n_patches = images.len().saturating_mul(images.shape().n_pixels());
        if n_patches > PATCHES_MAX {
            return Err(unusable(format!(
                "the training images hold '{n_patches}' patches, and at most {PATCHES_MAX} can be solved for; lower dataset.n"
            )));
        }
        let dictionary = dictionary_of(class, k, images);
        let moments = self.dictionaries.get_or_make(&dictionary, || {
            let make = || PatchMoments::new(images, class.pool, k, N_COMPONENTS).map_err(failed);
            apart(make)
        })?;
        let (n_moments, n_channels) = (moments.n_moments(), images.shape().channels);
        let readout = if class.joint_readout { Readout::Relu } else { Readout::Linear };
        let sizes = FunctionSizes { n_moments, n_channels, attention, readout };
        let moves = class.pool.border() == Border::Wrap;
        let draws = NoisedDraws { images, moves, seed: SEED };
        let n_updates = self.n_updates;
        let problem = Problem { draws, moments: &moments, sizes, n_updates };
        let words = self.words(class, attention, &dictionary);
        let solution = self.solutions.get_or_make(&words, || match problem.is_local() {
            true => Ok(Solution::LOCAL),
            false => apart(|| self.solve(&words, &problem)),
        })?;
        let mut found = solution.denoise(&moments, (x, level), asked).map_err(failed)?;
        if class.clamp {
            found.x0.values_mut().iter_mut().for_each(|v| *v = v.clamp(-1.0, 1.0));
        }
        Ok(found)
    }

    fn is_solved(&self, class: &AttentionClass, k: usize, images: &ImagePixels) -> bool {
        let Ok(attention) = attention_of(class) else { return true };
        let words = self.words(class, attention, &dictionary_of(class, k, images));
        attention.variant == AttentionVariant::Identity
            || self.solutions.has(&words)
            || self.path(&words).exists()
    }
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
