//! A run's network from its newest checkpoint or an earlier one, with its data set and machines: for sampling, calibrating and comparing
//! without training.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};

use super::external::recorded_run;
use super::load_networks_and_data::{load_network, load_network_at, network_of};
use super::network_or_recorded_model::Model;
use super::noise_source::NoiseSource;
use super::samples::MachineSet;
use crate::analysis::creativity_judge::Judge;
use crate::config::Experiment;
use crate::dataset::Dataset;
use crate::evaluation::choose_gpu_or_cpu;
use crate::network::NetworkDenoiser;
use crate::optimum::CachedSolver;
use crate::runs::{run_dir::RunDir, run_toml};
use crate::theory::TrainingImages;

/// Folder of solutions in a directory of runs, which runs of the same data set and class share.
pub const SOLUTIONS: &str = "attention-optimal";

/// Solves for `attention-optimal` and keeps the solutions beside the run.
pub fn solver_of(run: &RunDir) -> Arc<CachedSolver> {
    let runs = run.path().parent().unwrap_or(Path::new("."));
    Arc::new(CachedSolver::new(runs.join(SOLUTIONS)))
}

/// A trained network with all that belongs to it.
pub struct Trained {
    pub run: RunDir,
    pub experiment: Experiment,
    pub device: String,
    /// Training step of the weights.
    pub step: u64,
    pub dataset: Arc<Dataset>,
    pub network: Model,
    /// Where the noise of samples comes from.
    pub noise: NoiseSource,
    /// The machines under the settings of the experiment, not calibrated.
    pub machine_set: Arc<MachineSet>,
    /// Solves for `attention-optimal` when that is first asked for an estimate.
    pub solver: Arc<CachedSolver>,
    pub judge: Option<Judge>,
    /// Machines that were left out, and why.
    pub notes: Vec<String>,
}

impl Trained {
    /// Opens a run's averaged weights; `changes` (`KEY=VALUE`) are changed settings that the weights do not depend on.
    ///
    /// # Errors
    /// If the run has no whole checkpoint, its data set cannot be opened, or a change concerns the weights.
    pub fn open(run: &RunDir, changes: &[String]) -> Result<Self> {
        Self::open_at(run, changes, None)
    }

    /// As [`Self::open`], of the checkpoint of this training step; `None`: of the newest.
    ///
    /// # Errors
    /// As [`Self::open`], and if there is no checkpoint of this step.
    pub fn open_at(run: &RunDir, changes: &[String], step: Option<u64>) -> Result<Self> {
        let description = run_toml::read(&run.run_toml_path())?;
        let mut experiment = description.experiment.clone();
        experiment.set_pairs(changes)?;
        experiment.check_fixed(&description.experiment, &run.id())?;
        experiment.check()?;
        let opened =
            choose_gpu_or_cpu::open(&description.device, |problem| crate::errorln!("{problem}"))?;
        let (config, dataset) = network_of(&experiment)?;
        let noise = NoiseSource::Drawn(experiment.noise_seed);
        let (mut machines, mut notes) = experiment.machines(&config);
        let record = recorded_run::record_of(run, &experiment, &config)?;
        if let Some(record) = &record {
            let (kept, more) = record.machines(machines);
            machines = kept;
            notes.extend(more);
        }
        let (step, network, noise) = match (record, step) {
            (Some(_), Some(step)) => {
                bail!("{} is a record and has no checkpoint of step {step}", run.id())
            }
            (Some(record), None) => (0, Model::Recorded(record.model), record.noise),
            (None, Some(step)) => {
                let network = load_network_at(run, step, &config, &opened.tensors)?;
                (step, NetworkDenoiser::new(Arc::new(network)).into(), noise)
            }
            (None, None) => {
                let (step, network) = load_network(run.path(), &config, &opened.tensors)?;
                (step, NetworkDenoiser::new(Arc::new(network)).into(), noise)
            }
        };
        let images = TrainingImages::from_dataset(&dataset)
            .and_then(|images| images.augmented(experiment.dictionary_augmentation()))
            .context("reading the images for theory")?;
        let solver = solver_of(run);
        let images = opened.images(images).with_optimum_solver(solver.clone());
        let machine_set = MachineSet::new(experiment.ddim(), images, machines, config.n_classes)
            .context("building the score machines")?;
        Ok(Self {
            run: run.clone(),
            judge: Judge::new(&dataset),
            network,
            noise,
            device: opened.words,
            experiment,
            step,
            dataset: Arc::new(dataset),
            machine_set: Arc::new(machine_set),
            solver,
            notes,
        })
    }
}
