//! The section "The clamp" of a report: how often the network's estimates are clamped to the pixel range, whether those
//! of machines leave it, and the agreement with the network without its clamp.

use serde_json::{Value, json};

use super::controls_section::{interval, median_of, r_with};
use crate::analysis::confidence_intervals::Interval;
use crate::config::NamedMachine;
use crate::evaluation::final_comparison_of_a_run::Comparison;
use crate::evaluation::markdown_table::{Table, cell, text_or};
use crate::evaluation::samples::OutsideRange;
use crate::theory::machine_spec::AttentionSource;

/// What the clamp does.
pub struct ClampFigures<'a> {
    /// The network, then the machines: by step, cleanest first, t and the share of values of x0hat outside the pixel
    /// range at the network's states. Of the network these are the clamped ones.
    pub outside: Vec<(&'a str, Vec<(f64, f64)>)>,
    /// Median r with the network with and without its clamp: of the clamped network, then of the machines whose samples do
    /// not depend on the network. Empty if the network has no clamp.
    pub agreement: Vec<WithoutClamp<'a>>,
}

/// Agreement with the network with its clamp and without.
pub struct WithoutClamp<'a> {
    pub who: &'a str,
    /// `None` for the network, which is itself.
    pub clamped: Option<Interval>,
    pub unclamped: Option<Interval>,
}

impl<'a> ClampFigures<'a> {
    pub fn new(comparison: &'a Comparison, machines: &[NamedMachine]) -> Self {
        let by_step = &comparison.by_step;
        let shares = |steps: &mut dyn Iterator<Item = OutsideRange>| -> Vec<(f64, f64)> {
            by_step.times.iter().zip(steps).map(|(&t, found)| (t, found.share())).collect()
        };
        let network = ("network", shares(&mut by_step.clamped.iter().copied()));
        let of_machines = by_step.machines.iter().map(|machine| {
            let mut steps = machine.steps.iter().map(|step| step.outside);
            (machine.machine.as_str(), shares(&mut steps))
        });
        let outside = std::iter::once(network).chain(of_machines).collect();
        Self { outside, agreement: agreement(comparison, machines) }
    }

    /// The section of the page; nothing if nothing was sampled step by step.
    pub fn section(&self) -> String {
        let mut shares = self.outside.iter().map(|(who, steps)| format!("{who} {}", range(steps)));
        let Some(network) = shares.next().filter(|_| !self.outside[0].1.is_empty()) else {
            return String::new();
        };
        let machines: Vec<String> = shares.collect();
        let title = "The clamp";
        let text = format!(
            "Values of x0hat outside the pixel range at the network's own states, least and largest share over steps: {network} (clamped to the range if network.clamp is set), {} (of machines, only attention-optimal is clamped, as its network is). clamp.csv has them step by step.\n\n",
            machines.join(", ")
        );
        if self.agreement.is_empty() {
            return format!("## {title}\n\n{text}");
        }
        let head = ["who", "r with the network", "r with the network without its clamp"];
        let mut table = Table::new(title, &head);
        for row in &self.agreement {
            let unclamped = text_or(row.unclamped, "undefined");
            table.rows.push(vec![row.who.to_owned(), cell(row.clamped), unclamped]);
        }
        format!("{}\nMedians over seeds [95%]. {text}", table.section())
    }

    /// `clamp.csv`.
    pub fn csv(&self) -> String {
        let mut text = "who,t,outside\n".to_owned();
        for (who, steps) in &self.outside {
            for (t, share) in steps {
                text += &format!("{who},{t:.6},{share:.6}\n");
            }
        }
        text
    }

    /// The clamp in `report.json`.
    pub fn to_json(&self) -> Value {
        let shares = |steps: &[(f64, f64)]| -> Vec<f64> { steps.iter().map(|s| s.1).collect() };
        let outside: serde_json::Map<String, Value> = self
            .outside
            .iter()
            .map(|(who, steps)| ((*who).to_owned(), json!(shares(steps))))
            .collect();
        let row = |row: &WithoutClamp<'_>| {
            json!({
                "who": row.who,
                "r": row.clamped.map(interval),
                "r_without_clamp": row.unclamped.map(interval),
            })
        };
        let agreement: Vec<Value> = self.agreement.iter().map(row).collect();
        json!({ "outside_by_step": outside, "without_clamp": agreement })
    }
}

fn agreement<'a>(comparison: &'a Comparison, machines: &[NamedMachine]) -> Vec<WithoutClamp<'a>> {
    let Some(unclamped) = &comparison.unclamped else { return Vec::new() };
    let uses_network = |name: &str| {
        let machine = machines.iter().find(|machine| machine.name == name);
        let source = machine.and_then(|machine| machine.spec.kind.attention_source());
        matches!(source, Some(AttentionSource::Trajectory | AttentionSource::Measured))
    };
    let samples = &comparison.samples;
    let median = |made| median_of(&r_with(unclamped, made));
    let network =
        WithoutClamp { who: "network", clamped: None, unclamped: median(&samples.network) };
    let free = samples.machines.iter().filter(|(name, _)| !uses_network(name));
    let machines = free.map(|(name, made)| WithoutClamp {
        who: name,
        clamped: median_of(&r_with(&samples.network, made)),
        unclamped: median(made),
    });
    std::iter::once(network).chain(machines).collect()
}

/// The least and the largest share over steps.
fn range(steps: &[(f64, f64)]) -> String {
    let shares = steps.iter().map(|step| step.1);
    let (low, high) = (shares.clone().fold(f64::INFINITY, f64::min), shares.fold(0.0, f64::max));
    match high {
        0.0 => "0".to_owned(),
        _ => format!("{:.1}% to {:.1}%", 100.0 * low, 100.0 * high),
    }
}
