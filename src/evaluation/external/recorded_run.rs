//! A directory of a model's arrays as a run: opened in place of a trained network, and listed among the runs.

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
    let arrays =
        RecordedArrays::read(directory, toml, config.image, experiment.ddim(), config.n_classes)?;
    let n = arrays.n_samples;
    let wanted = experiment.calibrate.seeds.map_or(0, std::num::NonZeroUsize::get);
    let n_calibration = toml.calibration.unwrap_or(wanted.min(n / 8));
    ensure!(
        n_calibration + 1 < n,
        "{}: calibration = {n_calibration} leaves none of the {n} samples held out",
        directory.join(external_toml::FILE).display()
    );
    let (order, n_calibration) = match (&arrays.labels, config.n_classes) {
        (Some(labels), Some(n_classes)) => by_class(labels, n_calibration, n_classes),
        _ => ((0..n).collect(), n_calibration),
    };
    let arrays = arrays.select(&order);
    let values = arrays.noise.iter().map(|&v| f64::from(v)).collect();
    let noise = ImageBatch::new(config.image, values);
    let noise = NoiseSource::Given(GivenNoise {
        calibration: noise.slice(0, n_calibration),
        held_out: noise.slice(n_calibration, noise.len() - n_calibration),
    });
    // Estimates are what they are.
    let config = NetworkConfig { clamp: false, ..config.clone() };
    Ok(Record { model: RecordedModel::new(arrays, config), noise })
}

/// An order in which noise seed i is of class `i mod n_classes`, as everywhere: samples of calibration first, from the first
/// `n_calibration`, then held-out ones; and the number of the former. Samples that a class has too many of are left out.
fn by_class(labels: &[u32], n_calibration: usize, n_classes: usize) -> (Vec<usize>, usize) {
    let take = |range: std::ops::Range<usize>, first: u64| {
        let mut left: Vec<usize> = range.rev().collect();
        let mut order = Vec::new();
        loop {
            let class = (first + order.len() as u64) % n_classes as u64;
            // From the end, where the first are.
            let Some(at) = left.iter().rposition(|&i| u64::from(labels[i]) == class) else { break };
            order.push(left.remove(at));
        }
        order
    };
    let mut order = take(0..n_calibration, NoiseSeeds::calibration(1).first());
    let n = order.len();
    order.extend(take(n_calibration..labels.len(), NoiseSeeds::held_out(1).first()));
    (order, n)
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
    for run in runs.list() {
        let is_it = ExternalToml::read(run.dir.path())
            .is_ok_and(|known| known == toml.clone().in_directory(&directory));
        let same = run.dir.experiment().is_ok_and(|known| known.entries() == experiment.entries());
        if is_it && same {
            return Ok((run.dir, false));
        }
    }
    let place = || format!("creating a run in '{}'", runs.path().display());
    let run = runs.create(&experiment.name).with_context(place)?;
    match fill(&run, &directory, toml, experiment, device) {
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
    toml: ExternalToml,
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
    let text = toml::to_string(&toml.in_directory(directory))?;
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
        // Calibration seeds start at 500, held-out ones at 1000: classes 2, 0, 1, ... and 1, 2, 0, ...
        let labels = [0, 1, 2, 2, 0, 0, 1, 2, 1];
        let (order, n) = by_class(&labels, 3, 3);
        assert_eq!(n, 3);
        assert_eq!(order[..3], [2, 0, 1]);
        let held_out: Vec<u32> = order[3..].iter().map(|&i| labels[i]).collect();
        assert_eq!(held_out, [1, 2, 0, 1, 2, 0]);
        assert_eq!(order.iter().collect::<std::collections::BTreeSet<_>>().len(), order.len());
    }
}
