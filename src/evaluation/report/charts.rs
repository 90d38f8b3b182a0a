//! The charts of a report.

use super::contents::{MachineReport, PredictedAttention, Report};
use crate::evaluation::charts::{Marks, Panel, Series};

/// Colour of the network's line.
const BLACK: usize = 7;

/// Agreement by step, final samples against the baseline's seed by seed, and attention entropy.
pub fn panels(report: &Report<'_>) -> Vec<Panel> {
    let by_step = |(colour, machine): (usize, &MachineReport<'_>)| Series {
        name: machine.name.to_owned(),
        colour,
        points: machine.by_step.iter().map(|step| (step.t, step.r_squared)).collect(),
        marks: Marks::Line,
    };
    let steps = Panel {
        title: "x0hat at the network's states: R^2, mean over seeds".to_owned(),
        x: "t (1: pure noise)".to_owned(),
        y_range: Some((-0.5, 1.02)),
        series: report.machines.iter().enumerate().map(by_step).collect(),
        ..Panel::default()
    };
    let mut panels = vec![steps];
    if let Some(at) = report.baseline {
        panels.push(scatter(report, &report.machines[at]));
        panels.extend(entropy(report));
    }
    panels
}

/// r of final samples against the baseline's, a dot per seed.
fn scatter(report: &Report<'_>, baseline: &MachineReport<'_>) -> Panel {
    let against = |(colour, machine): (usize, &MachineReport<'_>)| {
        let pairs = baseline.agreement.r.iter().zip(&machine.agreement.r);
        let points = pairs.filter_map(|(base, r)| Some(((*base)?, (*r)?))).collect();
        let name = machine.name.to_owned();
        let series = Series { name, colour, points, marks: Marks::Dots };
        (machine.name != baseline.name).then_some(series)
    };
    Panel {
        title: "final samples: r with the network, a dot a seed".to_owned(),
        x: format!("r of {}", baseline.name),
        y: "r of the others".to_owned(),
        series: report.machines.iter().enumerate().filter_map(against).collect(),
        diagonal: true,
        ..Panel::default()
    }
}

/// Attention entropy over t, measured and predicted; `None` without predictions.
fn entropy(report: &Report<'_>) -> Option<Panel> {
    let line = |name: &str, colour, steps: &[PredictedAttention], measured: bool| {
        let nats = |step: &PredictedAttention| match measured {
            true => step.measured_nats,
            false => step.predicted_nats,
        };
        let points = steps.iter().map(|step| (step.t, nats(step))).collect();
        Series { name: name.to_owned(), colour, points, marks: Marks::Line }
    };
    let first = report.predictors().next()?;
    let machines = report.machines.iter().enumerate();
    let mut series: Vec<Series> = machines
        .filter(|(_, machine)| !machine.predicted_attention.is_empty())
        .map(|(colour, machine)| line(machine.name, colour, &machine.predicted_attention, false))
        .collect();
    series.push(line("network", BLACK, &first.predicted_attention, true));
    Some(Panel {
        title: "attention entropy at the network's states, nats".to_owned(),
        x: "t (1: pure noise)".to_owned(),
        series,
        ..Panel::default()
    })
}
