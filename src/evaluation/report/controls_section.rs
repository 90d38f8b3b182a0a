//! The section "Controls" of a report: attention machines against themselves without sharing and with wrong maps.

use serde_json::{Value, json};

use crate::analysis::agreement::{agreement, share_won};
use crate::analysis::confidence_intervals::{Interval, mean_interval, median_interval};
use crate::config::noise_seed_purposes::NoiseSeeds;
use crate::evaluation::final_comparison_of_a_run::Comparison;
use crate::evaluation::markdown_table::{Table, cell, text_or};
use crate::evaluation::samples::Control;
use crate::image::ImageBatch;

/// One machine under one control; without one, the machine itself.
pub struct ControlFigures<'a> {
    pub machine: &'a str,
    pub control: Option<Control>,
    /// Pearson's r of final samples with the network's, per seed.
    pub r: Vec<Option<f64>>,
    /// Median of r over seeds.
    pub median: Option<Interval>,
    /// Mean over seeds of the machine's r minus the control's.
    pub difference: Option<Interval>,
    /// Share of seeds on which the machine has the larger r.
    pub won: Option<Interval>,
}

/// Every controlled machine, followed by its controls; empty without controls.
pub fn figures(comparison: &Comparison) -> Vec<ControlFigures<'_>> {
    let network = &comparison.samples.network;
    let mut all: Vec<ControlFigures<'_>> = Vec::new();
    for found in &comparison.controls {
        let machine = found.machine.as_str();
        let figure = comparison.figures.iter().find(|figure| figure.machine == machine);
        let own = figure.map_or(&[][..], |figure| &figure.r);
        if all.last().is_none_or(|last| last.machine != machine) {
            all.push(ControlFigures {
                machine,
                control: None,
                r: own.to_vec(),
                median: median_of(own),
                difference: None,
                won: None,
            });
        }
        let r = r_with(network, &found.samples);
        let gaps: Vec<f64> = own.iter().zip(&r).filter_map(|(a, b)| Some((*a)? - (*b)?)).collect();
        all.push(ControlFigures {
            machine,
            control: Some(found.control),
            median: median_of(&r),
            difference: mean_interval(&gaps),
            won: share_won(own, &r),
            r,
        });
    }
    all
}

/// Pearson's r of samples with the network's, per seed.
pub fn r_with(network: &ImageBatch, samples: &ImageBatch) -> Vec<Option<f64>> {
    samples.iter().zip(network.iter()).map(|(a, b)| agreement(a, b).r).collect()
}

/// The median of those that are defined.
pub fn median_of(r: &[Option<f64>]) -> Option<Interval> {
    median_interval(&r.iter().copied().flatten().collect::<Vec<f64>>())
}

impl ControlFigures<'_> {
    /// The control as in files, `none` for the machine itself.
    fn name(&self) -> &'static str {
        self.control.map_or("none", Into::into)
    }

    /// Whether the machine is better than the control, as far as the interval of the difference says.
    fn verdict(&self) -> &'static str {
        match self.difference {
            Some(Interval { low, .. }) if low > 0.0 => "better",
            Some(Interval { high, .. }) if high < 0.0 => "worse",
            _ => "undecided",
        }
    }
}

/// The section of the page; nothing without controls.
pub fn section(all: &[ControlFigures<'_>]) -> String {
    if all.is_empty() {
        return String::new();
    }
    let head = [
        "machine",
        "changed",
        "median r [95%]",
        "machine minus control, mean r [95%]",
        "seeds won",
        "the machine is",
    ];
    let mut table = Table::new("Controls: is it the maps?", &head);
    for figures in all {
        let is_itself = figures.control.is_none();
        table.rows.push(vec![
            figures.machine.to_owned(),
            figures.control.map_or("nothing", Control::words).to_owned(),
            text_or(figures.median, "undefined"),
            cell(figures.difference),
            cell(figures.won.map(|won| format!("{:.0}%", 100.0 * won.estimate))),
            if is_itself { "-" } else { figures.verdict() }.to_owned(),
        ]);
    }
    table.section()
        + "\nThe same machine with the same fitted settings, but for what is changed, from the same seeds; no setting was fitted to a control. If a machine is not better with the network's maps than with another seed's or with shuffled ones, its r does not come from where the network looks. Sharing that is off leaves the patch sides of the attention machine, which `els` or `bbels` may choose otherwise.\n\n"
}

/// `controls.csv`: r per seed of every controlled machine (`none`) and its controls; undefined values are empty.
pub fn csv(all: &[ControlFigures<'_>]) -> String {
    let mut text = "seed,machine,control,r\n".to_owned();
    for figures in all {
        for (seed, r) in NoiseSeeds::held_out(figures.r.len()).range().zip(&figures.r) {
            let r = text_or(r.map(|r| format!("{r:.6}")), "");
            text += &format!("{seed},{},{},{r}\n", figures.machine, figures.name());
        }
    }
    text
}

/// The controls in `report.json`, in the order of the table.
pub fn to_json(all: &[ControlFigures<'_>]) -> Value {
    let one = |figures: &ControlFigures<'_>| {
        json!({
            "machine": figures.machine,
            "control": figures.name(),
            "r": figures.median.map(interval),
            "difference": figures.difference.map(interval),
            "won": figures.won.map(interval),
            "verdict": figures.control.map(|_| figures.verdict()),
        })
    };
    all.iter().map(one).collect()
}

/// An estimate with its 95% interval; infinite ends become null.
pub fn interval(found: Interval) -> Value {
    json!({ "estimate": found.estimate, "interval95": [found.low, found.high] })
}
