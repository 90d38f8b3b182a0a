//! Builds everything that training and comparing need from a run's settings.

use std::sync::Arc;

use anyhow::{Context, Result};
use candle_core::Device;

use crate::analysis::creativity_judge::Judge;
use crate::config::Experiment;
use crate::dataset::Dataset;
use crate::evaluation::choose_gpu_or_cpu;
use crate::evaluation::load_networks_and_data::network_of;
use crate::evaluation::network_and_machines_of_run::Trained;
use crate::evaluation::network_and_machines_of_run::solver_of;
use crate::evaluation::noise_source::NoiseSource;
use crate::evaluation::samples::MachineSet;
use crate::image::ImageBatch;
use crate::network::network_config::NetworkConfig;
use crate::optimum::CachedSolver;
use crate::runs::event::NoticeLevel;
use crate::runs::run_dir::RunDir;
use crate::runs::run_toml::RunToml;
use crate::runs::status_and_heartbeat::StatusBoard;
use crate::theory::TrainingImages;
use crate::training::Trainer;
use crate::training::checkpoint::{self, Latest};

/// State shared by the phases of a run.
pub struct RunContext {
    pub run: RunDir,
    pub experiment: Experiment,
    pub dataset: Arc<Dataset>,
    pub network: NetworkConfig,
    pub trainer: Trainer,
    pub machine_set: Arc<MachineSet>,
    /// Solves for `attention-optimal`.
    pub solver: Arc<CachedSolver>,
    /// `Some` for crafted sets only.
    pub judge: Option<Judge>,
    /// `Some` for networks with attention.
    pub probe: Option<Probe>,
}

/// The inputs on which attention is measured during training, and on which machines predict it.
#[derive(Clone)]
pub struct Probe {
    pub network: NetworkConfig,
    pub images: ImageBatch,
    /// Classes of the images if the network is class-conditional; otherwise empty.
    pub labels: Vec<u32>,
}

impl RunContext {
    /// The trained network with all that it is compared with; `device` describes where it was trained.
    ///
    /// # Errors
    ///
    /// If the averaged weights cannot be taken.
    pub fn trained(self, device: String) -> Result<Trained> {
        Ok(Trained {
            network: self.trainer.ema_denoiser().context("taking the averaged weights")?.into(),
            noise: NoiseSource::Drawn(self.experiment.noise_seed),
            step: self.trainer.n_steps_done(),
            device,
            run: self.run,
            experiment: self.experiment,
            dataset: self.dataset,
            machine_set: self.machine_set,
            solver: self.solver,
            judge: self.judge,
            notes: Vec::new(),
        })
    }
}

/// Number of training images in the attention probe.
const PROBE_IMAGES: usize = 4;

/// Opens the data, builds network and machines, and loads the newest valid checkpoint.
///
/// # Errors
///
/// If the data or the device cannot be opened, if the network or the machines cannot be built from the
/// settings, or if the checkpoint cannot be loaded.
pub fn prepare(
    run: &RunDir,
    description: &RunToml,
    board: &Arc<StatusBoard>,
) -> Result<RunContext> {
    let experiment = description.experiment.clone();
    let (network, dataset) = network_of(&experiment)?;
    for notice in dataset.notices() {
        board.notice(NoticeLevel::Warning, notice);
    }
    let dataset = Arc::new(dataset);
    let (machines, notes) = experiment.machines(&network);
    for note in notes {
        board.notice(NoticeLevel::Info, note);
    }
    if let Some(n) = network.n_classes {
        let text = format!(
            "conditional network: seed i uses class i mod {n}, and machines use only that class's images"
        );
        board.notice(NoticeLevel::Info, text);
    }
    for warning in experiment.geometry_warnings(&network) {
        board.notice(NoticeLevel::Warning, warning);
    }
    let told = board.clone();
    let mut opened = choose_gpu_or_cpu::open(&description.device, move |problem| {
        told.notice(NoticeLevel::Warning, problem);
    })?;
    if experiment.trains_on_cpu_only() && !opened.tensors.is_cpu() {
        experiment.check_device(&description.device)?;
        let optimizer: &str = experiment.training.optimizer.into();
        let notice = format!(
            "training.optimizer '{optimizer}' works on the CPU only: the network is trained there, not on {}",
            opened.words
        );
        board.notice(NoticeLevel::Warning, notice);
        opened = opened.with_network_on_cpu();
    }
    board.update(|status| status.device = opened.words.clone());
    let mut trainer = open_trainer(run, &experiment, &network, &dataset, &opened.tensors, board)?;
    if let Some(note) = trainer.take_warning() {
        board.notice(NoticeLevel::Info, note);
    }
    let images = TrainingImages::from_dataset(&dataset)
        .and_then(|images| images.augmented(experiment.dictionary_augmentation()))
        .context("reading the images for theory")?;
    let solver = solver_of(run);
    let images = opened.images(images).with_optimum_solver(solver.clone());
    let machine_set = MachineSet::new(experiment.ddim(), images, machines, network.n_classes)
        .context("building the score machines")?;
    Ok(RunContext {
        run: run.clone(),
        probe: network.attention.is_some().then(|| Probe {
            labels: match (network.n_classes, dataset.labels()) {
                (Some(_), Some(labels)) => {
                    labels.iter().take(PROBE_IMAGES).map(|&label| u32::from(label)).collect()
                }
                _ => Vec::new(),
            },
            images: dataset.batch(0, PROBE_IMAGES.min(dataset.len())),
            network: network.clone(),
        }),
        judge: Judge::new(&dataset),
        machine_set: Arc::new(machine_set),
        solver,
        experiment,
        dataset,
        network,
        trainer,
    })
}

fn open_trainer(
    run: &RunDir,
    experiment: &Experiment,
    network: &NetworkConfig,
    dataset: &Arc<Dataset>,
    device: &Device,
    board: &StatusBoard,
) -> Result<Trainer> {
    let (config, settings) = (experiment.training.clone(), experiment.deciding_settings());
    let Latest { found, refused } =
        checkpoint::latest_valid(&run.state_path()).context("looking for checkpoints")?;
    for problem in refused {
        board.notice(NoticeLevel::Warning, format!("skipping a checkpoint: {problem}"));
    }
    let Some((place, saved)) = found else {
        return Trainer::new(config, network, dataset.clone(), settings, device)
            .context("building the network");
    };
    board.update(|status| status.step = place.step);
    board.notice(NoticeLevel::Info, format!("resuming from the checkpoint of step {}", place.step));
    Trainer::resume(config, network, dataset.clone(), settings, device, saved)
        .with_context(|| format!("resuming from '{}'", place.path.display()))
}
