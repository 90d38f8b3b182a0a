//! A calibration as charts.

use std::path::Path;

use anyhow::Result;

use super::calibration_file::{Calibrated, Calibration, StepFit};
use super::machine_schedule::StepSettings;
use crate::evaluation::chart_panels::{self, Panel, Series};

impl Calibration {
    /// Draws [`Self::charts`] to `calibration.png` and `calibration.svg` in `folder`, replacing files that are there.
    ///
    /// # Errors
    ///
    /// If drawing fails or a file cannot be written.
    pub fn draw(&self, folder: &Path) -> Result<()> {
        chart_panels::write_png_and_svg(&self.charts(), 2, folder, "calibration")
    }

    /// Panels of k(t), lambda(t), gamma(t) and the fit, one line per machine. Panels without any machine are left out.
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
                shown.then(|| Series::line(&name, colour, points))
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
}
