//! The results of one finished run, read from the files of its report.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::analysis::agreement::share_won;
use crate::analysis::confidence_intervals::{Interval, Quartiles, quartiles};
use crate::config::Arm;
use crate::evaluation::calibration::Calibration;
use crate::evaluation::checkpoints_over_training::CheckpointFigures;
use crate::evaluation::copies_and_mosaics::MosaicFigures;
use crate::evaluation::interventions::InterventionFigures;
use crate::evaluation::report::report_samples::NetworkSamples;
use crate::runs::run_dir::RunDir;

/// A machine and its points (t, value).
pub type Curve = (String, Vec<(f64, f64)>);

/// A machine's attention at the network's states of one noise level: means over seeds.
#[derive(Clone, Debug, PartialEq)]
pub struct PredictedAttention {
    pub machine: String,
    pub t: f64,
    /// Entropies in nats.
    pub predicted: f64,
    pub measured: f64,
    /// Pearson's r of the logarithms of the weights.
    pub r_of_logs: Option<f64>,
}

/// One run of a study.
#[derive(Clone, Debug)]
pub struct RunResults {
    pub arm: Arm,
    pub run: String,
    /// `report.json`.
    pub(super) report: Value,
    /// Pearson's r of each machine's samples, per seed.
    pub(super) r: Vec<(String, Vec<Option<f64>>)>,
    /// `R^2` of x0hat along the network's trajectories by t, of each machine.
    pub by_step: Vec<Curve>,
    pub calibration: Option<Calibration>,
    pub mosaics: Vec<MosaicFigures>,
    /// The network's samples; `None` if they were not kept.
    pub samples: Option<NetworkSamples>,
    /// The network's checkpoints, in order of training; empty if they were not looked at.
    pub over_training: Vec<CheckpointFigures>,
    /// Attention that machines predict beside the network's; empty without any.
    pub predicted_attention: Vec<PredictedAttention>,
    /// What changes of attention do, if any were made.
    pub interventions: Option<InterventionFigures>,
}

impl RunResults {
    /// Reads the results of `run`, one arm of a study, from the files of its report.
    ///
    /// # Errors
    ///
    /// If a file of the report or the calibration cannot be read or is not of the expected format.
    pub fn read(arm: &Arm, run: &RunDir) -> Result<Self> {
        let folder = run.report_path();
        let text = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).with_context(|| format!("reading '{}'", path.display()))
        };
        let report: Value = serde_json::from_str(&text("report.json")?)
            .with_context(|| format!("reading the report of run {}", run.id()))?;
        let mosaics = serde_json::from_value(report["mosaics"].clone());
        let over_training = serde_json::from_value(report["over_training"].clone());
        let mut over_training: Vec<CheckpointFigures> = over_training.unwrap_or_default();
        if !over_training.is_empty() {
            read_copies(&text("copies_over_training.csv")?, &mut over_training);
        }
        Ok(Self {
            arm: arm.clone(),
            run: run.id(),
            r: by_machine(&text("agreement.csv")?, &folder, |[_, machine, r]| {
                (machine, r.parse().ok())
            })?,
            by_step: by_machine(&text("by_step.csv")?, &folder, |[machine, t, r_squared]| {
                let number = |text: &str| text.parse().unwrap_or(f64::NAN);
                (machine, (number(t), number(r_squared)))
            })?,
            calibration: Calibration::read(&run.calibration_path())?,
            mosaics: mosaics.unwrap_or_default(),
            samples: NetworkSamples::read(&folder),
            over_training,
            predicted_attention: predicted_attention(&text("predicted_attention.csv")?),
            interventions: serde_json::from_value(report["interventions"].clone()).ok(),
            report,
        })
    }

    pub fn machines(&self) -> impl Iterator<Item = &str> {
        self.r.iter().map(|(machine, _)| machine.as_str())
    }

    /// A machine's r for each seed; empty for a machine that did not take part.
    pub fn r(&self, machine: &str) -> &[Option<f64>] {
        let found = self.r.iter().find(|(name, _)| name == machine);
        found.map_or(&[], |(_, r)| r)
    }

    pub fn r_quartiles(&self, machine: &str) -> Option<Quartiles> {
        let r: Vec<f64> = self.r(machine).iter().flatten().copied().collect();
        quartiles(&r)
    }

    /// The median over seeds of another agreement, `r2` or `R2`; or `R2_along_network`.
    pub fn agreement(&self, machine: &str, key: &str) -> Option<f64> {
        self.report["agreement"][machine][key].as_f64()
    }

    /// Share of seeds on which a machine's r is above another's, with Wilson's 95% interval.
    pub fn won(&self, machine: &str, other: &str) -> Option<Interval> {
        share_won(self.r(machine), self.r(other))
    }

    /// A rate of the network's judged samples.
    pub fn rate(&self, name: &str) -> Option<Interval> {
        interval(&self.report["rates"], name)
    }

    /// A rate of a machine's judged samples.
    pub fn machine_rate(&self, machine: &str, name: &str) -> Option<Interval> {
        interval(&self.report["machine_rates"][machine], name)
    }

    pub fn judged(&self) -> Option<u64> {
        self.report["rates"]["n_samples"].as_u64()
    }

    /// Share of samples that are copies of training images; `who` is `network` or a machine.
    pub fn copies(&self, who: &str) -> Option<Interval> {
        self.mosaics.iter().find(|figures| figures.who == who).map(MosaicFigures::copies)
    }

    /// The errors by noise level, as the report has them; empty without floors.
    pub(super) fn floor_levels(&self) -> &[Value] {
        self.report["floors"]["levels"].as_array().map_or(&[], Vec::as_slice)
    }

    /// Number of training images.
    pub fn n_training_images(&self) -> u64 {
        let wanted = self.arm.experiment.dataset.n.map_or(0, |n| n.get() as u64);
        self.report["n_training_images"].as_u64().unwrap_or(wanted)
    }

    /// A setting of the run, as `lab.toml` would have it.
    pub fn setting(&self, key: &str) -> String {
        let found = self.arm.experiment.entries().into_iter().find(|entry| entry.key == key);
        found.map(|entry| entry.value).unwrap_or_default()
    }

    /// Whether the network has attention of any kind.
    pub fn has_attention(&self) -> bool {
        self.arm.experiment.network.attention.is_some()
    }

    /// Whether two runs differ in `key` and in nothing else.
    pub fn differs_only_in(&self, other: &Self, key: &str) -> bool {
        let (a, b) = (self.arm.experiment.entries(), other.arm.experiment.entries());
        let mut differing = a.iter().zip(&b).filter(|(a, b)| a.value != b.value);
        differing.next().is_some_and(|(a, _)| a.key == key) && differing.next().is_none()
    }
}

fn interval(rates: &Value, name: &str) -> Option<Interval> {
    let ends = &rates["intervals95"][name];
    Some(Interval {
        estimate: rates[name].as_f64()?,
        low: ends[0].as_f64()?,
        high: ends[1].as_f64()?,
    })
}

/// The lines of `predicted_attention.csv`; lines of another form are left out.
fn predicted_attention(text: &str) -> Vec<PredictedAttention> {
    let line = |line: &str| {
        let [machine, t, predicted, measured, r] = line.split(',').collect::<Vec<_>>()[..] else {
            return None;
        };
        Some(PredictedAttention {
            machine: machine.to_owned(),
            t: t.parse().ok()?,
            predicted: predicted.parse().ok()?,
            measured: measured.parse().ok()?,
            r_of_logs: r.parse().ok(),
        })
    };
    text.lines().skip(1).filter_map(line).collect()
}

/// Adds which samples are copies, from `copies_over_training.csv`, whose lines are in the order of the checkpoints.
fn read_copies(text: &str, checkpoints: &mut [CheckpointFigures]) {
    for line in text.lines().skip(1) {
        let (step, is_copy) = (line.split(',').next(), line.ends_with(",1"));
        let step = step.and_then(|step| step.parse().ok());
        if let Some(found) = checkpoints.iter_mut().find(|found| Some(found.step) == step) {
            found.is_copy.push(is_copy);
        }
    }
}

/// The values of each machine, in the file's order, of which `read` finds the machine and one value in the first three
/// cells of a line.
fn by_machine<T>(
    text: &str,
    folder: &Path,
    read: impl for<'a> Fn([&'a str; 3]) -> (&'a str, T),
) -> Result<Vec<(String, Vec<T>)>> {
    let mut found: Vec<(String, Vec<T>)> = Vec::new();
    for line in text.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let [a, b, c, ..] = cells[..] else {
            bail!("'{}' has the line '{line}'; compare the run again", folder.display());
        };
        let (machine, value) = read([a, b, c]);
        match found.iter_mut().find(|(name, _)| name == machine) {
            Some((_, all)) => all.push(value),
            None => found.push((machine.to_owned(), vec![value])),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::confidence_intervals::wilson;

    #[test]
    fn predicted_attention_is_read_line_by_line() {
        let found = predicted_attention("head\nm,0.5,4.1,4.2,0.3\nm,1,5,5,\nbroken\n");
        let (first, second) = (&found[0], &found[1]);
        assert_eq!((first.t, first.predicted, first.measured), (0.5, 4.1, 4.2));
        assert_eq!((first.r_of_logs, second.r_of_logs, found.len()), (Some(0.3), None, 2));
    }

    #[test]
    fn seeds_without_r_are_left_out_of_the_share_won() {
        let csv =
            "seed,machine,r,r2,R2\n0,a,0.5,,\n1,a,,,\n0,b,0.4,,\n1,b,0.1,,\n2,b,0.2,,\n2,a,0.1,,\n";
        let read = |csv: &str| -> Result<Vec<(String, Vec<Option<f64>>)>> {
            by_machine(csv, Path::new("x"), |[_, machine, r]| (machine, r.parse().ok()))
        };
        let r = read(csv).unwrap();
        assert_eq!(r[0].1, [Some(0.5), None, Some(0.1)]);
        assert_eq!(share_won(&r[0].1, &r[1].1), Some(wilson(1, 2)));
        assert_eq!(share_won(&[None], &[Some(1.0)]), None);
        assert!(read("x\nbroken\n").is_err());
    }
}
