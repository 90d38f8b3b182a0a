//! The floors of one run, and their file `floors.json`: they depend on the data set and the network's class, not on its
//! weights, so they are measured once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::floor_machines::{Draws, FloorMachine, LevelFloor};
use crate::analysis::excess_over_floor::MeanSquaredError;
use crate::dataset::Dataset;
use crate::diffusion::Schedule;
use crate::files::{if_there, write_output};
use crate::network::network_config::NetworkConfig;
use crate::runs::event::{FloorFigures, FloorLevel};
use crate::theory::TrainingImages;
use crate::theory::attention_optimal::AttentionClass;

/// Version of the file.
const FORMAT: u32 = 1;

/// Noise levels of a run's floors.
pub const LEVELS: [f64; 10] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];

/// The errors of `ideal`, `es` and the machines of a network's class, draw by draw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunFloors {
    format: u32,
    /// CRC-32 of the training images' pixels.
    checksum: u32,
    /// Patch side of the local machine: the network's receptive field, in pixels.
    pub patch_side: usize,
    /// Most draws that were asked for.
    n_draws: usize,
    /// Rng seed of the draws.
    pub seed: u64,
    /// Noise schedule that the levels' times refer to.
    #[serde(default = "cosine")]
    schedule: String,
    pub levels: Vec<FloorErrors>,
}

/// The schedule of files that name none.
fn cosine() -> String {
    Schedule::Cosine.word().to_owned()
}

/// The errors at one noise level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FloorErrors {
    pub t: f64,
    /// `|| phi - x0hat ||^2` per value of each draw, by machine. Single precision: seven digits, half the file.
    pub errors: BTreeMap<String, Vec<f32>>,
}

impl FloorErrors {
    /// The mean squared error of each machine.
    pub fn means(&self) -> impl Iterator<Item = (&str, MeanSquaredError)> {
        self.errors.iter().map(|(name, errors)| {
            let errors: Vec<f64> = errors.iter().map(|&e| f64::from(e)).collect();
            (name.as_str(), MeanSquaredError::of(&errors))
        })
    }
}

impl RunFloors {
    /// The floors in the file at `path` if they are of this data set and network, with `attention-optimal` if `class` is
    /// given. Levels and machines that are missing there are measured and written level by level, so that an interrupted
    /// measurement continues; on at most `n_draws` images each. `progress` is called with the number of levels done.
    ///
    /// # Errors
    ///
    /// If a machine cannot be built or fails, the file cannot be written, or
    /// [`Cancelled`](crate::diffusion::DenoiseError::Cancelled) once `stop` is set. A file that cannot be read is replaced.
    pub fn load_or_measure(
        path: &Path,
        dataset: &Dataset,
        dictionaries: &[Arc<TrainingImages>],
        (network, class): (&NetworkConfig, Option<AttentionClass>),
        (n_draws, seed): (usize, u64),
        stop: &AtomicBool,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Self> {
        let checksum = crc32fast::hash(dataset.pixels());
        let patch_side = network.receptive_field();
        let is_of_these_draws = |found: &Self| {
            (found.format, found.checksum, found.patch_side, found.n_draws, found.seed)
                == (FORMAT, checksum, patch_side, n_draws, seed)
                && found.schedule == network.schedule.word()
                && found.levels.iter().zip(LEVELS).all(|(level, t)| level.t == t)
        };
        let schedule = network.schedule.word().to_owned();
        let nothing = Self {
            format: FORMAT,
            checksum,
            patch_side,
            n_draws,
            seed,
            schedule,
            levels: Vec::new(),
        };
        let saved = Self::read(path);
        // Floors of other draws, as 'mosaic compare --set' asks for, leave the run's own alone.
        let may_write = saved.as_ref().is_none_or(is_of_these_draws);
        let machines = FloorMachine::all(dictionaries, network.padding, patch_side, class)
            .context("building the machines whose errors are floors")?;
        let mut floors = saved.filter(is_of_these_draws).unwrap_or(nothing);
        for (index, t) in LEVELS.into_iter().enumerate() {
            let found = floors.levels.get(index);
            let is_missing = |machine: &&FloorMachine| {
                found.is_none_or(|found| !found.errors.contains_key(&machine.name))
            };
            let missing: Vec<&FloorMachine> = machines.iter().filter(is_missing).collect();
            if missing.is_empty() {
                continue;
            }
            let (level, draws) = (network.schedule.level(t), Draws::AtMost(n_draws));
            let floor = LevelFloor::measure(dataset, missing, level, draws, seed, stop)?;
            let measured = FloorErrors::from(floor);
            match floors.levels.get_mut(index) {
                Some(found) => found.errors.extend(measured.errors),
                None => floors.levels.push(measured),
            }
            if may_write {
                write_output(path, serde_json::to_string(&floors)?.as_bytes())
                    .with_context(|| format!("writing '{}'", path.display()))?;
            }
            progress(index + 1);
        }
        Ok(floors)
    }

    /// The floors in a file; `None` if there are none that can be read.
    pub fn read(path: &Path) -> Option<Self> {
        let text = if_there(std::fs::read_to_string(path)).ok()??;
        serde_json::from_str(&text).ok()
    }

    /// The mean squared errors of all levels, as an event.
    pub fn figures(&self) -> FloorFigures {
        let level = |level: &FloorErrors| FloorLevel {
            t: level.t,
            floors: level.means().map(|(name, error)| (name.to_owned(), error)).collect(),
        };
        FloorFigures { levels: self.levels.iter().map(level).collect() }
    }

    /// Largest number of draws per level of a machine.
    pub fn n_draws(&self) -> usize {
        let first = self.levels.first().into_iter().flat_map(|level| level.errors.values());
        first.map(Vec::len).max().unwrap_or(0)
    }
}

impl From<LevelFloor> for FloorErrors {
    fn from(floor: LevelFloor) -> Self {
        let single = |errors: Vec<f64>| errors.into_iter().map(|e| e as f32).collect();
        let errors = floor.errors.into_iter().map(|(name, errors)| (name, single(errors)));
        Self { t: floor.level.t, errors: errors.collect() }
    }
}
