//! A directory of a model's arrays as a run: opened in place of a trained network, and listed among the runs.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::external_toml::{self, ExternalToml};
use super::recorded_arrays::RecordedArrays;
use super::recorded_model::RecordedModel;
use crate::config::experiment_name::ExperimentName;
use crate::config::lab_file::Lab;
use crate::config::noise_seed_purposes::NoiseSeeds;
use crate::config::{Experiment, NamedMachine};
use crate::evaluation::noise_source::{GivenNoise, NoiseSource};
use crate::hardware::device_request::DeviceRequest;
use crate::image::ImageBatch;
use crate::network::network_config::NetworkConfig;
use crate::runs::event::{EventBody, NoticeLevel};
use crate::runs::event_log::EventLog;
use crate::runs::run_dir::RunDir;
use crate::runs::run_toml::{self, Origin, RunToml};
use crate::runs::runs_dir::RunsDir;
use crate::runs::status_json::{RunState, Status, now_ms};
use crate::theory::machine_spec::AttentionSource;

/// A model's record and its noise.
pub struct Record {
    pub model: RecordedModel,
    pub noise: NoiseSource,
}

/// The record that a run is of; `None` for a run with a network.
///
/// # Errors
///
/// If its description or its arrays cannot be read, or do not fit the experiment.
pub fn record_of(
    run: &RunDir,
    experiment: &Experiment,
    config: &NetworkConfig,
) -> Result<Option<Record>> {
    if !run.path().join(external_toml::FILE).exists() {
        return Ok(None);
    }
    let toml = ExternalToml::read(run.path())?;
    let directory = toml.directory.clone().unwrap_or_else(|| run.path().to_path_buf());
    let now = toml.digest_of(&directory)?;
    ensure!(
        toml.digest.as_ref().is_none_or(|then| *then == now),
        "the arrays in '{}' have changed since run {} was made of them; 'mosaic compare --external {}' makes a new run",
        directory.display(),
        run.id(),
        directory.display()
    );
    open(&directory, &toml, experiment, config).map(Some)
}

impl Record {
    /// The machines that can be compared with the record, and which cannot and why.
    pub fn machines(&self, machines: Vec<NamedMachine>) -> (Vec<NamedMachine>, Vec<String>) {
        let mut notes = Vec::new();
        let lacking = |machine: &NamedMachine| match machine.spec.kind.attention_source() {
            Some(AttentionSource::Trajectory) if !self.model.has_maps() => {
                Some("the record has no attention maps")
            }
            Some(AttentionSource::Measured) => {
                Some("a record cannot be asked for attention at the machine's states")
            }
            _ => None,
        };
        let kept = machines.into_iter().filter(|machine| match lacking(machine) {
            Some(reason) => {
                notes.push(format!("{} is left out: {reason}", machine.name));
                false
            }
            None => true,
        });
        let kept = kept.collect();
        (kept, notes)
    }
}

/// Opens the record in `directory`.
///
/// # Errors
///
/// If arrays are missing or damaged, or do not fit the experiment or each other.
pub fn open(
    directory: &Path,
    toml: &ExternalToml,
    experiment: &Experiment,
    config: &NetworkConfig,
) -> Result<Record> {
    let arrays = RecordedArrays::read(directory, toml, config, experiment.ddim())?;
    let n = arrays.n_samples;
    let wanted = experiment.calibrate.seeds.map_or(0, std::num::NonZeroUsize::get);
    let n_calibration = toml.calibration.unwrap_or(wanted.min(n / 8));
    ensure!(
        n_calibration + 2 <= n,
        "{}: calibration = {n_calibration} leaves fewer than 2 of the {n} samples held out; set it to at most {}",
        directory.join(external_toml::FILE).display(),
        n.saturating_sub(2)
    );
    let arrays = match (&arrays.labels, config.n_classes) {
        (Some(labels), Some(n_classes)) => {
            arrays.select(&by_class(labels, n_calibration, n_classes)?)
        }
        _ => arrays,
    };
    // The seed 0 of previews is of class 0, the first calibration sample of class 500 mod n_classes.
    let n_classes = config.n_classes.unwrap_or(1) as u64;
    let shift = (n_classes - NoiseSeeds::calibration(1).first() % n_classes) % n_classes;
    let values = arrays.noise.iter().map(|&v| f64::from(v)).collect();
    let noise = ImageBatch::new(config.image, values);
    let noise = NoiseSource::Given(GivenNoise {
        calibration: noise.slice(0, n_calibration),
        held_out: noise.slice(n_calibration, noise.len() - n_calibration),
        preview_shift: shift as usize,
    });
    // Estimates are what they are.
    let config = NetworkConfig { clamp: false, ..config.clone() };
    Ok(Record { model: RecordedModel::new(arrays, config), noise })
}

/// An order in which noise seed i is of class `i mod n_classes`, as everywhere: `n_calibration` samples of calibration, then
/// held-out ones as long as there are samples of the next class.
///
/// # Errors
///
/// If a class has too few samples.
fn by_class(labels: &[u32], n_calibration: usize, n_classes: usize) -> Result<Vec<usize>> {
    let mut left: Vec<VecDeque<usize>> = vec![VecDeque::new(); n_classes];
    labels.iter().enumerate().for_each(|(i, &label)| left[label as usize].push_back(i));
    let mut order = Vec::new();
    for (seeds, n) in
        [(NoiseSeeds::calibration(1), n_calibration), (NoiseSeeds::held_out(1), usize::MAX)]
    {
        let (first, n_before) = (seeds.first(), order.len());
        while order.len() - n_before < n {
            let class = ((first + (order.len() - n_before) as u64) % n_classes as u64) as usize;
            let Some(i) = left[class].pop_front() else {
                ensure!(
                    n == usize::MAX && order.len() - n_before >= 2,
                    "there are too few samples of class {class}: noise seeds go round all {n_classes} classes, for {n_calibration} \
                     samples of calibration and at least 2 that are held out"
                );
                break;
            };
            order.push(i);
        }
    }
    Ok(order)
}

/// The run of the record in `directory`: the one that is there already with the same settings, or a new one.
///
/// # Errors
///
/// If `external.toml` or the experiment that it names cannot be used, or the run cannot be written.
pub fn run_of(
    directory: &Path,
    lab: &Lab,
    runs: &RunsDir,
    device: &DeviceRequest,
) -> Result<(RunDir, bool)> {
    let toml = ExternalToml::read(directory)?;
    let directory = std::path::absolute(directory)
        .with_context(|| format!("finding '{}'", directory.display()))?;
    let experiment = experiment_of(&toml, lab)
        .with_context(|| format!("reading '{}'", directory.join(external_toml::FILE).display()))?;
    let kept = toml.clone().in_directory(&directory)?;
    for run in runs.list() {
        let is_it = ExternalToml::read(run.dir.path()).is_ok_and(|known| known == kept);
        let same = run.dir.experiment().is_ok_and(|known| known.entries() == experiment.entries());
        if is_it && same {
            return Ok((run.dir, false));
        }
    }
    let place = || format!("creating a run in '{}'", runs.path().display());
    let run = runs.create(&experiment.name).with_context(place)?;
    match fill(&run, &directory, &kept, experiment, device) {
        Ok(()) => Ok((run, true)),
        Err(error) => {
            // The first error is the one to report.
            let _ = std::fs::remove_dir_all(run.path());
            Err(error).with_context(place)
        }
    }
}

/// The experiment that describes a record's data set, machines and comparison.
///
/// # Errors
///
/// If the lab has no such experiment or a setting is refused.
pub fn experiment_of(toml: &ExternalToml, lab: &Lab) -> Result<Experiment> {
    let mut experiment = lab.experiment(&toml.experiment)?.clone();
    experiment.set_pairs(&toml.set)?;
    experiment.check()?;
    experiment.name = ExperimentName::like(&toml.name);
    experiment.description = format!("the record of '{}'", toml.name).into();
    Ok(experiment)
}

fn fill(
    run: &RunDir,
    directory: &Path,
    toml: &ExternalToml,
    experiment: Experiment,
    device: &DeviceRequest,
) -> Result<()> {
    let origin = format!("samples of another program, from '{}'", directory.display());
    let description = RunToml {
        parent: None,
        created_ms: now_ms(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        device: device.clone(),
        origin: Origin::Recorded(directory.to_owned()),
        experiment,
    };
    run_toml::write(&run.run_toml_path(), &description)?;
    let text = toml::to_string(toml)?;
    let path: PathBuf = run.path().join(external_toml::FILE);
    crate::files::write_atomically(&path, text.as_bytes())?;
    let mut log = EventLog::open(&run.events_path())?;
    log.append(0, EventBody::Notice { level: NoticeLevel::Info, text: origin.clone() })?;
    log.append(0, EventBody::State { state: RunState::Finished, reason: None })?;
    let status = Status { message: Some(origin), ..Status::new(RunState::Finished, 0) };
    status.write(&run.status_path())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_put_in_the_order_of_classes() {
        // Calibration seeds start at 500, held-out ones at 1000: classes 2, 0, 1, ... and 1, 2, 0, ... Sorted labels are no
        // obstacle.
        let labels = [0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2];
        let order = by_class(&labels, 3, 3).unwrap();
        let classes: Vec<u32> = order.iter().map(|&i| labels[i]).collect();
        assert_eq!(classes, [2, 0, 1, 1, 2, 0, 1, 2, 0]);
        assert_eq!(order.iter().collect::<std::collections::BTreeSet<_>>().len(), order.len());
        let error = by_class(&[0, 0, 0, 1, 1, 2], 3, 3).unwrap_err().to_string();
        assert!(error.contains("too few samples of class 2"), "{error}");
    }
}
