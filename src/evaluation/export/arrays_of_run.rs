//! Training images and calibration of a run as arrays.

use std::io;

use crate::arrays::{ArraySpool, Numbers};
use crate::dataset::Dataset;
use crate::evaluation::calibration::{Calibration, StepFit, StepSettings};

/// Writes `training_images [M, C, H, W]` (bytes 0 to 255) and, if there are any, `training_labels [M]`.
///
/// # Errors
///
/// If an array cannot be written.
pub fn write_data(dataset: &Dataset, spool: &mut ArraySpool) -> io::Result<()> {
    let (n, shape) = (dataset.len(), dataset.shape());
    let sizes = [shape.channels, shape.height, shape.width];
    for i in 0..n {
        let image = Numbers::U8(dataset.image(i).to_vec());
        spool.put_item("training_images", (&[n], i), &sizes, image)?;
    }
    if let Some(labels) = dataset.labels() {
        let labels = labels.iter().map(|&label| i64::from(label)).collect();
        spool.put("training_labels", &[n], Numbers::I64(labels))?;
    }
    Ok(())
}

/// A number of a machine at one sampling step.
pub type OfStep = fn(&StepFit, &StepSettings) -> f64;

/// What is known of a machine at one sampling step, with its names in arrays and tables.
pub const COLUMNS: [(&str, OfStep); 7] = [
    ("k", |_, settings| settings.k as f64),
    ("lambda", |_, settings| settings.lambda),
    ("gamma", |_, settings| settings.gamma),
    ("tau", |_, settings| settings.tau),
    ("cosine", |fit, _| fit.cosine),
    ("r_squared", |fit, _| fit.r_squared),
    ("r_squared_sd", |fit, _| fit.r_squared_sd),
];

/// Writes `calibration/t [T]` and `calibration/MACHINE/NAME [T]` for the settings of each machine and how they fit.
///
/// # Errors
///
/// If an array cannot be written.
pub fn write_calibration(calibration: &Calibration, spool: &mut ArraySpool) -> io::Result<()> {
    if let Some(machine) = calibration.machines.first() {
        let t: Vec<f64> = machine.steps.iter().map(|fit| fit.t).collect();
        spool.put("calibration/t", &[t.len()], Numbers::F64(t))?;
    }
    for machine in &calibration.machines {
        for (name, number) in COLUMNS {
            let pairs = machine.steps.iter().zip(machine.schedule());
            let all: Vec<f64> = pairs.map(|(fit, settings)| number(fit, settings)).collect();
            let name = format!("calibration/{}/{name}", machine.machine);
            spool.put(&name, &[all.len()], Numbers::F64(all))?;
        }
    }
    Ok(())
}
