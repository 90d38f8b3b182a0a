//! The charts of a report.

use super::report_figures::{MachineReport, Report};
use crate::evaluation::chart_curves::BLACK;
use crate::evaluation::chart_panels::{Marks, Panel, Series};
use crate::evaluation::samples::MapAgreement;

/// Agreement by step, final samples against the baseline's seed by seed, and attention entropy.
pub fn panels(report: &Report<'_>) -> Vec<Panel> {
    let by_step = |(colour, machine): (usize, &MachineReport<'_>)| {
        let points = machine.by_step.iter().map(|step| (step.t, step.r_squared));
        Series::line(machine.name, colour, points.collect())
    };
    let title = "x0hat at the network's states: R^2, mean over seeds".to_owned();
    let steps = Panel::over_time(title, report.machines.iter().enumerate().map(by_step).collect());
    let mut panels = vec![Panel { y_range: Some((-0.5, 1.02)), ..steps }];
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
        let series = Series::new(machine.name, colour, points, Marks::Dots);
        (machine.name != baseline.name).then_some(series)
    };
    Panel {
        title: "final samples: r with the network, one dot per seed".to_owned(),
        x: format!("r of {}", baseline.name),
        y: "r of the others".to_owned(),
        series: report.machines.iter().enumerate().filter_map(against).collect(),
        diagonal: true,
        ..Panel::default()
    }
}

/// Attention entropy over t, measured and predicted; `None` without predictions.
fn entropy(report: &Report<'_>) -> Option<Panel> {
    let line = |name: &str, colour, machine: &MachineReport<'_>, nats: fn(&MapAgreement) -> f64| {
        let points = machine.attention().map(|(t, map)| (t, nats(&map)));
        Series::line(name, colour, points.collect())
    };
    let (_, first) = report.predictors().next()?;
    let predicted = report.predictors();
    let predicted = predicted
        .map(|(colour, machine)| line(machine.name, colour, machine, |map| map.predicted_nats));
    let measured = line("network", BLACK, first, |map| map.measured_nats);
    let title = "attention entropy at the network's states, nats".to_owned();
    Some(Panel::over_time(title, predicted.chain([measured]).collect()))
}
