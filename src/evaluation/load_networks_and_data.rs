//! Opens the data sets and networks of experiments and runs.

use std::path::Path;

use anyhow::{Context, Result, bail};
use candle_core::Device;

use crate::config::{Experiment, SettingError};
use crate::dataset::{self, Dataset};
use crate::network::Network;
use crate::network::network_config::NetworkConfig;
use crate::runs::run_dir::RunDir;
use crate::training::checkpoint::{self, Latest};

/// The experiment's network configuration, which depends on the data (shape, classes), and the data set.
///
/// # Errors
///
/// If the data set cannot be opened, or the network's settings are invalid or do not fit it; for a conditional network
/// also if a class has no images.
pub fn network_of(experiment: &Experiment) -> Result<(NetworkConfig, Dataset)> {
    let dataset = open_dataset(experiment)?;
    experiment.check_augmentation(dataset.shape())?;
    let network = experiment.network_config(dataset.shape(), dataset.n_classes())?;
    if network.n_classes.is_some() {
        check_classes(&dataset)?;
    }
    Ok((network, dataset))
}

/// Refuses classes without images: noise seeds go round all classes, and no machine has a dictionary for such a class.
fn check_classes(dataset: &Dataset) -> Result<(), SettingError> {
    let empty = dataset.classes_without_images();
    let (Some(n), false) = (dataset.n_classes(), empty.is_empty()) else { return Ok(()) };
    let empty: Vec<String> = empty.iter().map(u8::to_string).collect();
    let problem = format!(
        "of the classes 0 to {} of data set '{}', these have no images: {}; number the labels consecutively from 0, \
         or, if dataset.n left those images out, increase it",
        n - 1,
        dataset.name,
        empty.join(", ")
    );
    Err(SettingError::combination("network.conditional", problem))
}

/// Opens the experiment's data set.
///
/// # Errors
///
/// If files are missing, unreadable or not of the expected format, or if the number of images or their size
/// is out of range.
pub fn open_dataset(experiment: &Experiment) -> Result<Dataset> {
    experiment.check_files()?;
    dataset::open(&experiment.name, &experiment.dataset_source(), experiment.selection())
        .with_context(|| format!("opening the data set of experiment '{}'", experiment.name))
}

/// Up to `n` images of the experiment's set that are not training images; `None` if there are none.
///
/// # Errors
///
/// As [`open_dataset`].
pub fn open_held_out(experiment: &Experiment, n: usize) -> Result<Option<Dataset>> {
    let (name, source) = (&experiment.name, experiment.dataset_source());
    dataset::open_held_out(name, &source, experiment.selection(), n)
        .with_context(|| format!("opening held-out images of experiment '{name}'"))
}

/// The averaged network of a run's newest whole checkpoint, with its training step.
///
/// # Errors
/// If the run has no whole checkpoint, or its weights do not fit the configuration.
pub fn load_network(
    run: &Path,
    network: &NetworkConfig,
    device: &Device,
) -> Result<(u64, Network)> {
    let (step, saved) = load_checkpoint(&RunDir::open(run), None)?;
    Ok((step, averaged_network(&saved, network, device)?))
}

/// The averaged network of a run's checkpoint of training step `step`.
///
/// # Errors
/// If the run has no checkpoint of that step, or it is damaged, or its weights do not fit the configuration.
pub fn load_network_at(
    run: &RunDir,
    step: u64,
    network: &NetworkConfig,
    device: &Device,
) -> Result<Network> {
    averaged_network(&load_checkpoint(run, Some(step))?.1, network, device)
}

/// A run's checkpoint of training step `step`, or its newest whole one, with its training step.
///
/// # Errors
/// If the run has no such checkpoint, or that of `step` is damaged.
pub fn load_checkpoint(run: &RunDir, step: Option<u64>) -> Result<(u64, checkpoint::Contents)> {
    let Some(step) = step else {
        let Latest { found, .. } = checkpoint::latest_valid(&run.state_path())?;
        let Some((place, saved)) = found else {
            bail!("run '{}' has no complete checkpoint yet", run.id());
        };
        return Ok((place.step, saved));
    };
    let kept = checkpoint::list(&run.state_path())?;
    let Some(place) = kept.iter().find(|kept| kept.step == step) else {
        let steps: Vec<String> = kept.iter().rev().map(|kept| kept.step.to_string()).collect();
        if steps.is_empty() {
            bail!("run '{}' has no complete checkpoint yet", run.id());
        }
        bail!(
            "run '{}' has no checkpoint of step {step}; it has those of {} (training.keep_every keeps more)",
            run.id(),
            steps.join(", ")
        );
    };
    Ok((step, place.load()?))
}

fn averaged_network(
    saved: &checkpoint::Contents,
    network: &NetworkConfig,
    device: &Device,
) -> Result<Network> {
    let source = crate::network::parameters::Source::Frozen(&saved.ema);
    Ok(Network::build(network, source, candle_core::DType::F32, device)?)
}
