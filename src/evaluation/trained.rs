//! A run's network as it stands in its newest checkpoint, with its data and its machines: what sampling, calibrating
//! and comparing need without training.

use std::num::NonZeroUsize;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail};

use super::calibration::{Calibration, Network, calibrate};
use super::loading::{load_network, network_of};
use super::samples::{MachineSet, with_classes};
use crate::analysis::consistency::Judge;
use crate::config::Experiment;
use crate::config::noise_seeds::FIRST_CALIBRATION_SEED;
use crate::dataset::Dataset;
use crate::diffusion::DenoiseError;
use crate::evaluation::devices;
use crate::network::{AttentionDetail, NetworkDenoiser};
use crate::random::noise_seeds;
use crate::runs::run_dir::RunDir;
use crate::runs::run_toml;
use crate::theory::TrainingImages;

/// What a run has made.
pub struct Trained {
    pub run: RunDir,
    pub experiment: Experiment,
    pub device: String,
    /// Training step of the weights.
    pub step: u64,
    pub dataset: Dataset,
    pub network: NetworkDenoiser,
    /// With the settings of the experiment.
    pub machine_set: MachineSet,
    pub judge: Option<Judge>,
    /// Machines that were left out, and why.
    pub notes: Vec<String>,
}

impl Trained {
    /// Opens a run's averaged weights; `changes` (`KEY=VALUE`) are for settings that the weights do not depend on.
    pub fn open(run: &RunDir, changes: &[String]) -> Result<Self> {
        let description = run_toml::read(&run.run_toml_path())?;
        let mut experiment = description.experiment.clone();
        experiment.set_pairs(changes)?;
        if let Some(key) = changed_making(&description.experiment, &experiment) {
            bail!(
                "'{key}' made the network of run '{}' what it is and cannot be changed now; 'mosaic run' trains another",
                run.id()
            );
        }
        experiment.check()?;
        let opened = devices::open(&description.device, |problem| crate::errorln!("{problem}"))?;
        let (config, dataset) = network_of(&experiment)?;
        let (step, network) = load_network(run.path(), &config, &opened.tensors)?;
        let (machines, notes) = experiment.machines(&config);
        let images =
            TrainingImages::from_dataset(&dataset).context("reading the images for theory")?;
        let images = opened.images(images);
        let machine_set = MachineSet::new(experiment.ddim(), images, machines, config.n_classes)
            .context("building the score machines")?;
        Ok(Self {
            run: run.clone(),
            judge: Judge::new(&dataset),
            network: NetworkDenoiser::new(std::sync::Arc::new(network)),
            device: opened.words,
            experiment,
            step,
            dataset,
            machine_set,
            notes,
        })
    }
}

/// The first setting that differs and that training depended on.
fn changed_making(before: &Experiment, after: &Experiment) -> Option<&'static str> {
    let making = ["dataset.", "network.", "training."];
    let pairs = before.entries().into_iter().zip(after.entries());
    let mut changed = pairs.filter(|(before, after)| before.value != after.value);
    changed.find(|(b, _)| making.iter().any(|m| b.key.starts_with(m))).map(|(b, _)| b.key)
}

/// Fits the machines to a network from calibration seeds; the settings are the experiment's. Nothing where these want no
/// seeds, or no machine has settings that could be fitted.
pub fn calibrate_machines(
    experiment: &Experiment,
    machine_set: &MachineSet,
    network: &NetworkDenoiser,
    step: u64,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(&str),
) -> Result<Option<Calibration>, DenoiseError> {
    let Some(n_seeds) = experiment.calibrate.seeds.map(NonZeroUsize::get) else { return Ok(None) };
    let subjects = machine_set.subjects(FIRST_CALIBRATION_SEED);
    if subjects.is_empty() {
        return Ok(None);
    }
    let config = network.network().config();
    let detail =
        if config.attention.is_some() { AttentionDetail::Maps } else { AttentionDetail::Nothing };
    let told = with_classes(network, FIRST_CALIBRATION_SEED, n_seeds).recording(detail);
    let seeds = noise_seeds(experiment.noise_seed, FIRST_CALIBRATION_SEED, n_seeds, config.image);
    let target = Network { denoiser: &told, ddim: machine_set.ddim(), seeds };
    let grid = experiment.calibration_grid(config);
    Ok(Some(Calibration {
        format: 1,
        step,
        noise_seed: experiment.noise_seed,
        first_seed: FIRST_CALIBRATION_SEED,
        n_seeds,
        n_steps: machine_set.ddim().n_steps,
        machines: calibrate(&target, &subjects, &grid, stop, progress)?,
    }))
}
