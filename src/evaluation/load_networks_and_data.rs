//! Opens the data sets and networks of experiments and runs.

use std::num::NonZeroUsize;
use std::path::Path;

use anyhow::{Context, Result, bail};
use candle_core::Device;

use crate::config::Experiment;
use crate::dataset::{self, Dataset};
use crate::network::network_config::NetworkConfig;
use crate::runs::run_dir::RunDir;
use crate::training::checkpoint::{self, Latest};

/// The experiment's network configuration, which depends on the data (shape, classes), and the data set.
///
/// # Errors
///
/// If the data set cannot be opened, or the network's settings are invalid or do not fit it.
pub fn network_of(experiment: &Experiment) -> Result<(NetworkConfig, Dataset)> {
    let dataset = open_dataset(experiment)?;
    let n_classes = dataset
        .labels()
        .map(|labels| labels.iter().max().map_or(1, |&largest| usize::from(largest) + 1));
    Ok((experiment.network_config(dataset.shape(), n_classes)?, dataset))
}

/// Opens the experiment's data set.
///
/// # Errors
///
/// If files are missing, unreadable or not of the expected format, or if the number of images or their size
/// is out of range.
pub fn open_dataset(experiment: &Experiment) -> Result<Dataset> {
    experiment.check_files()?;
    let settings = &experiment.dataset;
    let limit = settings.n.filter(|_| settings.kind.is_read()).map(NonZeroUsize::get);
    dataset::open(&experiment.name, &experiment.dataset_source(), limit, settings.seed)
        .with_context(|| format!("opening the data set of experiment '{}'", experiment.name))
}

/// Up to `n` images of the experiment's set that are not training images; `None` if there are none.
///
/// # Errors
///
/// As [`open_dataset`].
pub fn open_held_out(experiment: &Experiment, n: usize) -> Result<Option<Dataset>> {
    let settings = &experiment.dataset;
    let limit = settings.n.filter(|_| settings.kind.is_read()).map(NonZeroUsize::get);
    let (name, source) = (&experiment.name, experiment.dataset_source());
    dataset::open_held_out(name, &source, limit, settings.seed, n)
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
) -> Result<(u64, crate::network::Network)> {
    let Latest { found, .. } = checkpoint::latest_valid(&RunDir::open(run).state_path())?;
    let Some((place, saved)) = found else {
        bail!("run '{}' has no complete checkpoint yet", RunDir::open(run).id());
    };
    let source = crate::network::parameters::Source::Frozen(&saved.ema);
    let network = crate::network::Network::build(network, source, candle_core::DType::F32, device)?;
    Ok((place.step, network))
}
