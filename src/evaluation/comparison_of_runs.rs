//! Several runs side by side: one row a run, and the spread over the training seeds of an experiment.

use std::fmt;

use crate::evaluation::report::json::seen_seeds;
use crate::runs::{event::Rates, seen_held_out_seeds::in_words};
use serde_json::{Value, json};

use super::markdown_table::{Table, cell, rate_cell};
use super::report::{Report, json::to_json};

/// The report of one run, as a summary needs it.
#[derive(Clone, Debug)]
pub struct Row {
    pub run: String,
    pub experiment: String,
    pub report: Value,
    pub rates: Option<Rates>,
}

impl Row {
    pub fn new(report: &Report<'_>) -> Self {
        Self {
            run: report.context.run.clone(),
            experiment: report.context.experiment.name.to_string(),
            report: to_json(report),
            rates: report.comparison.rates.clone(),
        }
    }

    fn number(&self, machine: &str, key: &str) -> Option<f64> {
        self.report["agreement"][machine][key].as_f64()
    }

    fn machines(&self) -> Vec<&str> {
        let machines = self.report["agreement"].as_object();
        machines.into_iter().flatten().map(|(name, _)| name.as_str()).collect()
    }
}

/// Figures of each machine: heading and key in a report.
const FIGURES: [(&str, &str); 5] = [
    ("median r", "r"),
    ("median r^2", "r2"),
    ("median R^2", "R2"),
    ("share won", "won"),
    ("R^2 of x0hat", "R2_along_network"),
];

/// A Markdown page and the same as JSON. An experiment's figures are means over its runs, with the standard deviation
/// over runs where there are several.
pub fn summary(rows: &[Row]) -> (String, Value) {
    let mut experiments: Vec<&str> = Vec::new();
    for row in rows {
        if !experiments.contains(&row.experiment.as_str()) {
            experiments.push(&row.experiment);
        }
    }
    let mut page = "# Comparison\n\n".to_owned();
    let mut found = Vec::new();
    for experiment in experiments {
        let runs: Vec<&Row> = rows.iter().filter(|row| row.experiment == experiment).collect();
        page += &section(experiment, &runs);
        let reports: Vec<&Value> = runs.iter().map(|row| &row.report).collect();
        found.push(
            json!({ "experiment": experiment, "runs": reports, "over_runs": over_runs(&runs) }),
        );
    }
    (page, json!({ "format": 1, "experiments": found }))
}

fn over_runs(runs: &[&Row]) -> Value {
    let machines = runs.first().map(|row| row.machines()).unwrap_or_default();
    let figures = |machine: &str| -> Value {
        let entry = |(_, key): &(&str, &str)| {
            let spread = spread(runs, machine, key);
            let spread = spread.map(|s| json!({ "mean": s.mean, "sd": s.sd, "runs": s.n }));
            ((*key).to_owned(), json!(spread))
        };
        Value::Object(FIGURES.iter().map(entry).collect())
    };
    let each = machines.into_iter().map(|machine| (machine.to_owned(), figures(machine)));
    Value::Object(each.collect())
}

/// A line that names the seeds of a run's report that were seen before; empty if there are none.
pub fn seen_line(run: &str, report: &Value) -> String {
    let seen = seen_seeds(report);
    if seen.is_empty() {
        return String::new();
    }
    let words = in_words(&seen);
    format!(
        "\n**Seen before:** seeds {words} of run {run} were inspected or sampled by hand before.\n"
    )
}

fn section(experiment: &str, runs: &[&Row]) -> String {
    let names: Vec<&str> = runs.iter().map(|row| row.run.as_str()).collect();
    let first = runs[0];
    let head: Vec<&str> = ["machine"].into_iter().chain(FIGURES.map(|(head, _)| head)).collect();
    let mut table = Table::new(experiment, &head);
    for machine in first.machines() {
        let figures = FIGURES.iter().map(|(_, key)| cell(spread(runs, machine, key)));
        table.rows.push([machine.to_owned()].into_iter().chain(figures).collect());
    }
    let mut text = format!(
        "## {experiment}\n\nRuns: {}. {} held-out noise seeds each.\n\n{}",
        names.join(", "),
        first.report["n_seeds"],
        table.markdown()
    );
    runs.iter().for_each(|row| text += &seen_line(&row.run, &row.report));
    text += "\n";
    let judged = runs.iter().filter_map(|row| Some((&row.run, row.rates.as_ref()?)));
    let mut table = Table::new(
        "Judged samples",
        &["network of", "judged", "whole", "consistent", "novel", "creative", "hue purity"],
    );
    for (run, rates) in judged {
        let mut row = vec![run.clone(), rates.n_samples.to_string()];
        let names = ["whole", "consistent", "novel", "creative", "hue_purity"];
        row.extend(names.map(|name| rate_cell(rates, name)));
        table.rows.push(row);
    }
    if !table.rows.is_empty() {
        text += &table.markdown();
        text += "\n";
    }
    text
}

struct Spread {
    mean: f64,
    /// Standard deviation over runs; of one run there is none.
    sd: Option<f64>,
    n: usize,
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.mean)?;
        self.sd.map_or(Ok(()), |sd| write!(f, " ± {sd:.3}"))
    }
}

/// The spread of one figure of a machine; `None` if no run has it.
fn spread(runs: &[&Row], machine: &str, key: &str) -> Option<Spread> {
    let values: Vec<f64> = runs.iter().filter_map(|row| row.number(machine, key)).collect();
    let n = values.len();
    if n == 0 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    let sum = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
    Some(Spread { mean, sd: (n > 1).then(|| (sum / (n - 1) as f64).sqrt()), n })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(run: &str, experiment: &str, r: f64) -> Row {
        let figures =
            json!({ "r": r, "r2": r * r, "R2": null, "won": 0.5, "R2_along_network": 0.1 });
        Row {
            run: run.into(),
            experiment: experiment.into(),
            report: json!({ "n_seeds": 4, "agreement": { "els": figures } }),
            rates: None,
        }
    }

    #[test]
    fn runs_of_one_experiment_are_one_row_with_their_spread() {
        let rows = [row("a-1", "a", 0.4), row("a-2", "a", 0.6), row("b-1", "b", 0.9)];
        let (page, json) = summary(&rows);
        assert!(page.contains("| els | 0.500 ± 0.141 |"), "{page}");
        assert!(page.contains("Runs: a-1, a-2.") && page.contains("| els | 0.900 |"), "{page}");
        let over = &json["experiments"][0]["over_runs"]["els"];
        assert_eq!((over["r"]["runs"].as_u64(), over["R2"].is_null()), (Some(2), true));
    }
}
