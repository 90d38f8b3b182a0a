//! Calibration: the settings of each machine that fit one network best, step by step.
//!
//! ```text
//! trajectories of the network (seeds of their own) -> errors over a grid, per step -> schedules
//!                                  schedules, sampled from the same seeds -> the one that is kept
//! ```
//!
//! A machine without attention gets the patch side of the best median cosine of the predicted noise, as Kamb &
//! Ganguli choose their scales; the attention machine gets (k, lambda, gamma, tau) of the least mean squared
//! error over seeds. Both are fitted twice: at the network's states, and at the states that the machine itself
//! has come to with the settings of the steps before. What fits best where the network is need not keep a machine
//! on its way, so the schedule that is kept is the one whose *final samples* have the largest mean r with the network's;
//! or that one with its lambdas times 1.5, 2 or 4, the most of these that r does not tell from it (by a standard error of
//! the difference over seeds). One patch side at every step competes too (without attention); of pooled attention, whose
//! least error is a hedge, only one lambda and gamma at every step do. All of that sees the calibration seeds only: no
//! preview and no report ever shows one of them.
//!
//! Entry `i - 1` of a schedule belongs to `t = i / T`, both here and where a machine uses it (the public code of Kamb
//! & Ganguli is off by one there).

mod fit;
mod search;

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use fit::{Families, Family};
pub use search::{Network, Subject, calibrate};

use super::charts::{Marks, Panel, Series};
use crate::config::NamedMachine;
use crate::files::write_output;
use crate::theory::spec::{
    AttentionSettings, AttentionSource, MachineKind, MachineSpec, PatchSize, Scheduled,
};

/// What a run's `calibration.json` holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    pub format: u32,
    /// Training step of the network.
    pub step: u64,
    pub noise_seed: u64,
    pub first_seed: u64,
    pub n_seeds: usize,
    /// DDIM steps, T.
    pub n_steps: usize,
    pub machines: Vec<Calibrated>,
}

/// One machine's schedule and how it was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibrated {
    pub machine: String,
    /// The schedules that competed: the one that is kept, then the others by the mean r of their final samples.
    pub candidates: Vec<Candidate>,
    /// How the first candidate does at the network's states; entry `i - 1` for `t = i / T`.
    pub steps: Vec<StepFit>,
}

/// A schedule and how well it samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    pub origin: Origin,
    /// Factor on the fitted lambdas.
    pub boost: f64,
    /// Mean squared error of final samples against the network's, over calibration seeds.
    pub error: f64,
    /// Median over calibration seeds of Pearson's r of final samples.
    pub r: Option<f64>,
    /// Their mean, of which the contest is: less noisy where a machine is either right or wrong.
    pub r_mean: f64,
    pub settings: Vec<StepSettings>,
}

/// Where a schedule comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Fitted along the network's trajectories.
    Network,
    /// Fitted along the machine's own.
    Own,
    /// The same settings at every step.
    Constant,
}

/// Settings of one step; `lambda`, `gamma` and `tau` are 0 where a machine has none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepSettings {
    pub k: usize,
    pub lambda: f64,
    pub gamma: f64,
    pub tau: f64,
}

/// How well a schedule fits at one step, at the network's states.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepFit {
    pub t: f64,
    /// Median over seeds of the cosine of the angle between predicted noises.
    pub cosine: f64,
    /// Mean over seeds of `R^2` of x0hat, and its standard deviation.
    pub r_squared: f64,
    pub r_squared_sd: f64,
}

#[derive(Debug, Error)]
pub enum CalibrationError {
    #[error("reading the calibration '{}'", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "the calibration '{}' cannot be used: {problem}; 'mosaic calibrate' writes it anew",
        path.display()
    )]
    Unusable { path: PathBuf, problem: String },
}

impl Calibration {
    /// Replaces the file.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        write_output(path, format!("{}\n", serde_json::to_string_pretty(self)?).as_bytes())?;
        Ok(())
    }

    /// The calibration in `path`, if there is one.
    pub fn read(path: &Path) -> Result<Option<Self>, CalibrationError> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(CalibrationError::Read { path: path.to_owned(), source }),
        };
        let unusable =
            |problem: String| CalibrationError::Unusable { path: path.to_owned(), problem };
        let found: Self =
            serde_json::from_slice(&bytes).map_err(|error| unusable(error.to_string()))?;
        if found.format != 1 {
            return Err(unusable(format!("its format is {}, not 1", found.format)));
        }
        let whole = |machine: &Calibrated| {
            let schedule = machine.candidates.first().map(|candidate| candidate.settings.len());
            schedule == Some(found.n_steps) && machine.steps.len() == found.n_steps
        };
        if !found.machines.iter().all(whole) {
            return Err(unusable("it does not hold one setting per step".to_owned()));
        }
        Ok(Some(found))
    }

    /// The machines with their calibrated schedules; those that were not calibrated stay as they are.
    pub fn apply(&self, machines: &[NamedMachine]) -> Vec<NamedMachine> {
        let calibrated = |machine: &NamedMachine| {
            let found = self.machines.iter().find(|found| found.machine == machine.name);
            NamedMachine {
                name: machine.name.clone(),
                spec: found.map_or_else(|| machine.spec.clone(), |found| found.spec(&machine.spec)),
            }
        };
        machines.iter().map(calibrated).collect()
    }

    /// k(t), lambda(t), gamma(t) and the fit, a line a machine; what no machine has is left out.
    pub fn charts(&self) -> Vec<Panel> {
        type Number = fn(&StepFit, &StepSettings) -> f64;
        let panels: [(&str, bool, Number); 4] = [
            ("patch side k", false, |_, settings| settings.k as f64),
            ("votes lambda", true, |_, settings| settings.lambda),
            ("value mixing gamma", true, |_, settings| settings.gamma),
            ("R^2 of x0hat at the network's states", false, |fit, _| fit.r_squared),
        ];
        let panel = |(title, attention_only, number): (&str, bool, Number)| {
            let series = |(colour, machine): (usize, &Calibrated)| {
                let shown = !attention_only || machine.machine.starts_with("attention");
                let pairs = machine.steps.iter().zip(machine.schedule());
                let points = pairs.map(|(fit, settings)| (fit.t, number(fit, settings)));
                let (name, points) = (machine.machine.clone(), points.collect());
                shown.then_some(Series { name, colour, points, marks: Marks::Line })
            };
            Panel {
                title: title.to_owned(),
                x: "t (1: pure noise)".to_owned(),
                series: self.machines.iter().enumerate().filter_map(series).collect(),
                ..Panel::default()
            }
        };
        panels.into_iter().map(panel).filter(|panel| !panel.series.is_empty()).collect()
    }

    /// `machine,t,k,lambda,gamma,tau,cosine,R2,R2_sd`, cleanest first.
    pub fn to_csv(&self) -> String {
        let mut text = "machine,t,k,lambda,gamma,tau,cosine,R2,R2_sd\n".to_owned();
        for machine in &self.machines {
            for (fit, settings) in machine.steps.iter().zip(machine.schedule()) {
                let StepFit { t, cosine, r_squared, r_squared_sd, .. } = fit;
                let StepSettings { k, lambda, gamma, tau } = settings;
                text += &format!(
                    "{},{t:.6},{k},{lambda},{gamma},{tau},{cosine:.6},{r_squared:.6},{r_squared_sd:.6}\n",
                    machine.machine
                );
            }
        }
        text
    }
}

impl Calibrated {
    /// The settings that are kept, cleanest first.
    pub fn schedule(&self) -> &[StepSettings] {
        self.candidates.first().map_or(&[], |candidate| &candidate.settings)
    }

    /// The schedule as settings of a machine like `plain`.
    fn spec(&self, plain: &MachineSpec) -> MachineSpec {
        with_schedule(plain, self.schedule())
    }
}

/// `plain` with these settings, cleanest first.
pub fn with_schedule(plain: &MachineSpec, settings: &[StepSettings]) -> MachineSpec {
    let kind = match (&plain.kind, plain.kind.attention_source()) {
        (MachineKind::Attention { pool, .. }, Some(source)) => {
            let step = |settings: &StepSettings| settings.attention(source);
            let settings = Scheduled::PerStep(settings.iter().map(step).collect());
            MachineKind::Attention { pool: *pool, settings }
        }
        (kind, _) => kind.clone(),
    };
    MachineSpec { kind, k: PatchSize::PerStep(settings.iter().map(|step| step.k).collect()) }
}

impl StepSettings {
    /// As the attention machine takes them; `source` without its own tau.
    pub fn attention(&self, source: AttentionSource) -> AttentionSettings {
        let source = match source {
            AttentionSource::Similarity { .. } => AttentionSource::Similarity { tau: self.tau },
            other => other,
        };
        AttentionSettings { lambda: self.lambda, gamma: self.gamma, source }
    }
}
