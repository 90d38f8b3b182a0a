//! The result of a calibration, and its file: a run's `calibration.json`.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::machine_schedule::{StepSettings, with_schedule};
use crate::config::NamedMachine;
use crate::files::{if_there, write_output};
use crate::image::Augmentation;
use crate::theory::patch_window::PatchWindow;

/// The schedules of all machines that were calibrated against one network.
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
    /// Candidate patch sides in pixels. Empty in calibrations of earlier versions, which fitted by other criteria and are
    /// made anew.
    #[serde(default)]
    pub sides: Vec<usize>,
    /// Window and copies of the dictionary with which the machine was fitted, in words; empty for square windows and no
    /// copies. A fit is used under the same ones only.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// The schedules that competed: the one that is kept, then the others by the mean r of their final samples.
    pub candidates: Vec<Candidate>,
    /// How the first candidate does at the network's states; entry `i - 1` for `t = i / T`.
    pub steps: Vec<StepFit>,
    /// Standard error over calibration seeds of the growth of patch sides with the noise, in pixels
    /// ([`super::patch_side_growth`]), of the schedule that was fitted along the network's trajectories. Only of machines
    /// without attention; earlier calibrations do not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch_growth_error: Option<f64>,
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
    /// Mean of r, by which candidates are ranked: less noisy than the median where a machine is either right or wrong.
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

/// How well a schedule fits at one step, at the network's states, over calibration seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepFit {
    pub t: f64,
    /// Median over seeds of the cosine of the angle between predicted noises.
    pub cosine: f64,
    /// Mean over seeds of `R^2` of x0hat, and its standard deviation.
    pub r_squared: f64,
    pub r_squared_sd: f64,
}

/// Why a calibration file cannot be used.
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
    /// Writes the calibration to `path`, replacing a file that is there.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        write_output(path, format!("{}\n", serde_json::to_string_pretty(self)?).as_bytes())?;
        Ok(())
    }

    /// Reads the calibration in `path`; `None` if there is no such file.
    ///
    /// # Errors
    /// If the file cannot be read, is of another format, or lacks a step of a schedule.
    pub fn read(path: &Path) -> Result<Option<Self>, CalibrationError> {
        let bytes = if_there(std::fs::read(path))
            .map_err(|source| CalibrationError::Read { path: path.to_owned(), source })?;
        let Some(bytes) = bytes else { return Ok(None) };
        let unusable =
            |problem: String| CalibrationError::Unusable { path: path.to_owned(), problem };
        let found: Self =
            serde_json::from_slice(&bytes).map_err(|error| unusable(error.to_string()))?;
        if found.format != 1 {
            return Err(unusable(format!("its format is {}, not 1", found.format)));
        }
        let is_whole = |machine: &Calibrated| {
            let schedule = machine.candidates.first().map(|candidate| candidate.settings.len());
            schedule == Some(found.n_steps) && machine.steps.len() == found.n_steps
        };
        if !found.machines.iter().all(is_whole) {
            return Err(unusable("it does not hold one setting per step".to_owned()));
        }
        Ok(Some(found))
    }

    /// The machines with their calibrated schedules; those that were not calibrated, or with other copies in the dictionary
    /// or another window, stay as they are.
    pub fn apply(
        &self,
        machines: &[NamedMachine],
        augmentation: Augmentation,
    ) -> Vec<NamedMachine> {
        let calibrated = |machine: &NamedMachine| {
            let variant = variant_in_words(machine.spec.window, augmentation);
            let is_of =
                |found: &&Calibrated| found.machine == machine.name && found.variant == variant;
            let found = self.machines.iter().find(is_of);
            NamedMachine {
                name: machine.name.clone(),
                spec: found.map_or_else(
                    || machine.spec.clone(),
                    |found| with_schedule(&machine.spec, found.schedule()),
                ),
            }
        };
        machines.iter().map(calibrated).collect()
    }
}

/// See [`Calibrated::variant`].
pub fn variant_in_words(window: PatchWindow, augmentation: Augmentation) -> String {
    let window = match window {
        PatchWindow::Square => None,
        PatchWindow::Gaussian { width } => Some(format!("gaussian window of {width} k")),
    };
    let copies = (augmentation != Augmentation::None).then(|| {
        let word: &str = augmentation.into();
        format!("{word} copies")
    });
    window.into_iter().chain(copies).collect::<Vec<_>>().join(", ")
}

impl Calibrated {
    /// The schedule that is kept, cleanest step first.
    pub fn schedule(&self) -> &[StepSettings] {
        self.candidates.first().map_or(&[], |candidate| &candidate.settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theory::machine_spec::{MachineKind, MachineSpec, PatchSize};

    #[test]
    fn a_fit_is_applied_under_the_window_and_copies_that_it_was_made_with_only() {
        let gaussian = PatchWindow::Gaussian { width: 0.25 };
        let settings = vec![StepSettings { k: 7, lambda: 0.0, gamma: 0.0, tau: 0.0 }];
        let candidate = Candidate {
            origin: Origin::Network,
            boost: 1.0,
            error: 0.0,
            r: None,
            r_mean: 0.0,
            settings,
        };
        let of = |window, augmentation| Calibration {
            format: 1,
            step: 1,
            noise_seed: 0,
            first_seed: 500,
            n_seeds: 1,
            n_steps: 1,
            machines: vec![Calibrated {
                machine: "els".to_owned(),
                sides: vec![7],
                variant: variant_in_words(window, augmentation),
                candidates: vec![candidate.clone()],
                steps: Vec::new(),
                patch_growth_error: None,
            }],
        };
        let variants = [
            (PatchWindow::Square, Augmentation::None),
            (gaussian, Augmentation::None),
            (PatchWindow::Square, Augmentation::Flip),
            (gaussian, Augmentation::Dihedral),
        ];
        for made in variants {
            for used in variants {
                let plain = MachineSpec::new(MachineKind::EquivariantLocal, PatchSize::Fixed(3));
                let machine =
                    NamedMachine { name: "els".to_owned(), spec: plain.with_window(used.0) };
                let found = of(made.0, made.1).apply(&[machine], used.1).remove(0).spec;
                let expected = if made == used { 7 } else { 3 };
                assert_eq!((*found.k.at(1.0), found.window), (expected, used.0), "{made:?}");
            }
        }
    }

    #[test]
    fn a_fit_with_square_windows_and_no_copies_is_written_as_before() {
        assert_eq!(variant_in_words(PatchWindow::Square, Augmentation::None), "");
        let words = variant_in_words(PatchWindow::Gaussian { width: 0.5 }, Augmentation::Flip);
        assert_eq!(words, "gaussian window of 0.5 k, flip copies");
    }
}
