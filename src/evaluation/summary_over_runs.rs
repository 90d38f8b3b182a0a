//! Several runs side by side: one row per run, and over the training seeds of an experiment means with intervals, beside the
//! ceiling (another training seed) and chance (another noise seed).

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::chart_panels::{self, Panel};
use super::floors::floors_chart::FloorsChart;
use super::markdown_table::{Table, cell, number};
use super::network_figures_over_runs::{
    excess_over_runs, excess_table, rates_over_runs, rates_table,
};
use super::report::{NetworkSamples, Report, json::to_json};
use super::spread_over_runs::{Spread, clamped, ends, format_interval, mean};
use crate::analysis::agreement_ceiling::{ceiling, chance, share_of_the_way};
use crate::analysis::confidence_intervals::Interval;
use crate::config::Experiment;
use crate::diffusion::Schedule;
use crate::evaluation::report::json::seen_seeds;
use crate::files::{make_folder, write_output};
use crate::image::ImageBatch;
use crate::runs::run_dir::RunDir;
use crate::runs::seen_held_out_seeds::in_words;

/// The report of one run, as a summary needs it.
#[derive(Clone, Debug)]
pub struct Row {
    pub run: String,
    pub experiment: String,
    training_seed: u64,
    schedule: Schedule,
    /// What decides the network and the comparison, but for the training seed: runs that agree in it are training seeds of
    /// one network.
    key: Vec<(String, String)>,
    pub report: Value,
    /// The network's samples; `None` if a report of an older version did not keep them.
    samples: Option<NetworkSamples>,
}

impl Row {
    pub fn new(report: &Report<'_>) -> Self {
        Self {
            run: report.context.run.clone(),
            experiment: report.context.experiment.name.to_string(),
            training_seed: report.context.experiment.training.seed,
            schedule: report.context.experiment.schedule,
            key: key(report.context.experiment, &to_json(report)),
            report: to_json(report),
            samples: Some(NetworkSamples::of(report)),
        }
    }

    /// The row of a finished run, from the files of its report.
    ///
    /// # Errors
    ///
    /// If the report or the run's settings cannot be read.
    pub fn read(run: &RunDir) -> Result<Self> {
        let folder = run.report_path();
        let path = folder.join("report.json");
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("reading '{}'", path.display()))?;
        let report: Value =
            serde_json::from_str(&text).with_context(|| format!("reading '{}'", path.display()))?;
        let experiment = run.experiment().context("reading the run's settings")?;
        Ok(Self {
            run: run.id(),
            experiment: experiment.name.to_string(),
            training_seed: experiment.training.seed,
            schedule: experiment.schedule,
            key: key(&experiment, &report),
            report,
            samples: NetworkSamples::read(&folder),
        })
    }

    fn number(&self, machine: &str, key: &str) -> Option<f64> {
        self.report["agreement"][machine][key].as_f64()
    }

    fn machines(&self) -> Vec<&str> {
        let machines = self.report["agreement"].as_object();
        machines.into_iter().flatten().map(|(name, _)| name.as_str()).collect()
    }
}

/// Settings of previews, checkpoints and lengths of comparisons do not count; the steps that were made, the machines and the
/// number of noise seeds are those of the report, which may have been made with other settings than the run's.
fn key(experiment: &Experiment, report: &Value) -> Vec<(String, String)> {
    let sections = ["dataset.", "network.", "training.", "diffusion.", "theory."];
    let decides = |key: &str| {
        key != "training.seed" && sections.iter().any(|section| key.starts_with(section))
    };
    let entries = experiment.entries().into_iter().filter(|entry| decides(entry.key));
    let mut key: Vec<_> = entries.map(|entry| (entry.key.to_owned(), entry.value)).collect();
    for fact in ["steps", "n_seeds", "noise_seed"] {
        key.push((fact.to_owned(), report[fact].to_string()));
    }
    let machines = report["agreement"].as_object().into_iter().flatten();
    key.extend(machines.map(|(name, _)| (name.clone(), String::new())));
    key
}

/// Figures of each machine: heading, key in a report, and smallest possible value. None is above one.
const FIGURES: [(&str, &str, f64); 5] = [
    ("median r", "r", -1.0),
    ("median r^2", "r2", 0.0),
    ("median R^2", "R2", f64::NEG_INFINITY),
    ("share won", "won", 0.0),
    ("R^2 of x0hat", "R2_along_network", f64::NEG_INFINITY),
];

/// Several runs side by side, in every format.
#[derive(Clone, Debug)]
pub struct Summary {
    /// As a Markdown page.
    pub page: String,
    pub json: Value,
    /// Errors and floors of every group of training seeds.
    floor_panels: Vec<Panel>,
}

impl Summary {
    /// Errors and floors of every group of training seeds, for charts.
    pub fn floor_panels(&self) -> &[Panel] {
        &self.floor_panels
    }

    /// Writes `summary.md`, `summary.json` and, if there are training seeds with floors, `floors.png` and
    /// `floors.svg` into `folder`, which is made if it is missing.
    ///
    /// # Errors
    ///
    /// If a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        make_folder(folder).with_context(|| format!("making '{}'", folder.display()))?;
        for (name, text) in
            [("summary.md", &self.page), ("summary.json", &format!("{:#}\n", self.json))]
        {
            let path = folder.join(name);
            write_output(&path, text.as_bytes())
                .with_context(|| format!("writing '{}'", path.display()))?;
        }
        if !self.floor_panels.is_empty() {
            chart_panels::write_png_and_svg(&self.floor_panels, 2, folder, "floors")?;
        }
        Ok(())
    }
}

/// The summary of some runs. A group's figures are means over its runs, with the 95% interval over training seeds
/// (Student's t) where there are several.
pub fn summary(rows: &[Row]) -> Summary {
    let mut groups: Vec<Vec<&Row>> = Vec::new();
    let mut repeated: Vec<&str> = Vec::new();
    for row in rows {
        let is_same = |group: &&mut Vec<&Row>| group[0].key == row.key;
        match groups.iter_mut().find(is_same) {
            // A second run of one training seed is no further evidence.
            Some(group) if group.iter().any(|other| other.training_seed == row.training_seed) => {
                repeated.push(&row.run);
            }
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
    }
    let mut page = "# Comparison\n\n".to_owned();
    let mut found = Vec::new();
    let mut floor_panels = Vec::new();
    for runs in groups {
        let yardsticks = Yardsticks::new(&runs);
        page += &section(&runs, &yardsticks);
        let reports: Vec<&Value> = runs.iter().map(|row| &row.report).collect();
        // A single run's own report has the picture, with standard errors.
        let chart = FloorsChart::new(&reports, runs[0].schedule).filter(|_| runs.len() > 1);
        floor_panels.extend(chart.iter().flat_map(|chart| chart.panels(&runs[0].experiment)));
        found.push(json!({
            "experiment": runs[0].experiment,
            "runs": reports,
            "over_runs": over_runs(&runs, &yardsticks),
            "rates_over_runs": rates_over_runs(&reports),
            "excess_over_runs": excess_over_runs(&reports),
            "ceiling": yardsticks.ceiling.map(|c| json!({ "r": c.estimate, "interval95": ends(c) })),
            "chance": yardsticks.chance,
        }));
    }
    if !repeated.is_empty() {
        let runs = repeated.join(", ");
        page += &format!(
            "Not counted, since another run here has the same settings and training seed: {runs}.\n"
        );
    }
    let json = json!({ "format": 1, "experiments": found, "repeated": repeated });
    Summary { page, json, floor_panels }
}

/// What an r of this group can be compared with.
struct Yardsticks {
    /// Median r between training seeds.
    ceiling: Option<Interval>,
    /// Median r between noise seeds, mean over networks.
    chance: Option<f64>,
}

impl Yardsticks {
    fn new(runs: &[&Row]) -> Self {
        let samples: Vec<&NetworkSamples> =
            runs.iter().filter_map(|row| row.samples.as_ref()).collect();
        let chances: Vec<f64> = samples.iter().filter_map(|of| chance(&of.samples)).collect();
        let chance = (!chances.is_empty()).then(|| mean(&chances));
        Self {
            ceiling: common_samples(&samples)
                .and_then(|all| ceiling(&all))
                .map(|found| clamped(found, &(-1.0..=1.0))),
            chance,
        }
    }

    /// How far a machine is on the way from `from` to the ceiling.
    fn share(&self, r: Option<f64>, from: Option<f64>) -> Option<f64> {
        share_of_the_way(r?, from?, self.ceiling?.estimate)
    }
}

/// The samples of every network, if all are of the same noise seeds and number of sampling steps.
fn common_samples<'a>(samples: &[&'a NetworkSamples]) -> Option<Vec<&'a ImageBatch>> {
    let same = |a: &NetworkSamples, b: &NetworkSamples| {
        (a.first_seed, a.noise_seed, a.sampling_steps)
            == (b.first_seed, b.noise_seed, b.sampling_steps)
            && (a.samples.len(), a.samples.shape()) == (b.samples.len(), b.samples.shape())
    };
    let first = samples.first()?;
    let are_same = samples.iter().all(|other| same(first, other));
    are_same.then(|| samples.iter().map(|of| &of.samples).collect())
}

fn over_runs(runs: &[&Row], yardsticks: &Yardsticks) -> Value {
    let baseline = baseline(runs).and_then(|name| spread(runs, name, "r")).map(|s| s.mean);
    let figures = |machine: &str| -> Value {
        let entry = |(_, key, _): &(&str, &str, f64)| {
            let spread = spread(runs, machine, key);
            ((*key).to_owned(), json!(spread.map(Spread::to_json)))
        };
        let mut figures: Map<String, Value> = FIGURES.iter().map(entry).collect();
        let r = spread(runs, machine, "r").map(|s| s.mean);
        let of_the_way = json!({
            "from_chance": yardsticks.share(r, yardsticks.chance),
            "from_baseline": yardsticks.share(r, baseline),
        });
        figures.insert("share_of_the_way".to_owned(), of_the_way);
        Value::Object(figures)
    };
    let each = machines(runs).into_iter().map(|machine| (machine.to_owned(), figures(machine)));
    Value::Object(each.collect())
}

/// The spread of one figure of a machine; `None` if no run has it.
fn spread(runs: &[&Row], machine: &str, key: &str) -> Option<Spread> {
    let values: Vec<f64> = runs.iter().filter_map(|row| row.number(machine, key)).collect();
    let least = FIGURES.iter().find(|(_, name, _)| *name == key).map(|(_, _, least)| *least);
    Spread::within(&values, least.unwrap_or(f64::NEG_INFINITY)..=1.0)
}

fn machines<'a>(runs: &[&'a Row]) -> Vec<&'a str> {
    runs.first().map(|row| row.machines()).unwrap_or_default()
}

/// The machine without attention that others are measured against.
fn baseline<'a>(runs: &[&'a Row]) -> Option<&'a str> {
    runs.first()?.report["baseline"].as_str()
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

fn section(runs: &[&Row], yardsticks: &Yardsticks) -> String {
    let names: Vec<&str> = runs.iter().map(|row| row.run.as_str()).collect();
    let first = runs[0];
    let baseline_name = baseline(runs);
    let way = [
        "r normalised: 0 chance, 1 ceiling".to_owned(),
        format!("0 {}, 1 ceiling", baseline_name.unwrap_or("the baseline")),
    ];
    let mut head: Vec<&str> =
        ["machine"].into_iter().chain(FIGURES.map(|(head, ..)| head)).collect();
    head.splice(2..2, way.iter().map(String::as_str));
    let mut table = Table::new(&first.experiment, &head);
    let from = baseline_name.and_then(|name| spread(runs, name, "r")).map(|s| s.mean);
    for machine in first.machines() {
        let r = spread(runs, machine, "r").map(|s| s.mean);
        let share =
            |from: Option<f64>| cell(yardsticks.share(r, from).map(|share| format!("{share:.2}")));
        let mut row = vec![machine.to_owned()];
        row.extend(FIGURES.iter().map(|(_, key, _)| cell(spread(runs, machine, key))));
        let from = from.filter(|_| baseline_name != Some(machine));
        row.splice(2..2, [share(yardsticks.chance), share(from)]);
        table.rows.push(row);
    }
    let blank = || vec!["-".to_owned(); head.len() - 2];
    let mut add = |name: &str, r: String| {
        table.rows.push([name.to_owned(), r].into_iter().chain(blank()).collect());
    };
    let of_ceiling = yardsticks.ceiling.map(|found| format_interval(found.estimate, Some(found)));
    add("*another training seed (ceiling)*", cell(of_ceiling));
    add("*another noise seed (chance)*", number(yardsticks.chance));
    let what = match (runs.len(), yardsticks.ceiling) {
        (1, _) => "One training seed: no interval over training seeds, and no ceiling.",
        (_, None) => {
            "Means over runs with 95% intervals over training seeds. No ceiling: a report without samples, or of other noise seeds; compare the runs again, together."
        }
        _ => {
            "Means over runs with 95% intervals over training seeds. Ceiling: what another training seed of the same network reaches. Normalised r is 0 at chance (or at the machine without attention) and 1 at the ceiling."
        }
    };
    let mut text = format!(
        "## {}\n\nRuns: {}. {} held-out noise seeds each. {what}\n\n{}",
        first.experiment,
        names.join(", "),
        first.report["n_seeds"],
        table.markdown()
    );
    runs.iter().for_each(|row| text += &seen_line(&row.run, &row.report));
    text += "\n";
    let reports: Vec<&Value> = runs.iter().map(|row| &row.report).collect();
    text += &rates_table(&names, &reports);
    text += &excess_table(&reports);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::ImageShape;
    use crate::random::noise_seeds;

    /// A run whose `els` has this r; its network's samples are partly those of all networks.
    fn row(run: &str, experiment: &str, r: f64) -> Row {
        let figures =
            json!({ "r": r, "r2": r * r, "R2": null, "won": 0.5, "R2_along_network": 0.1 });
        let shape = ImageShape::new(1, 8, 8);
        let (common, own) =
            (noise_seeds(1, 0, 9, shape), noise_seeds(run.len() as u64 + r.to_bits(), 0, 9, shape));
        let values = common.values().iter().zip(own.values()).map(|(a, b)| 2.0 * a + b).collect();
        Row {
            run: run.into(),
            experiment: experiment.into(),
            training_seed: r.to_bits(),
            schedule: Schedule::Cosine,
            key: vec![("name".into(), experiment.into())],
            report: json!({ "n_seeds": 9, "agreement": { "els": figures }, "baseline": "els" }),
            samples: Some(NetworkSamples {
                first_seed: 1000,
                noise_seed: 0,
                sampling_steps: 20,
                samples: ImageBatch::new(shape, values),
            }),
        }
    }

    #[test]
    fn runs_of_one_experiment_are_one_group_with_its_interval() {
        let rows = [row("a-1", "a", 0.4), row("a-2", "a", 0.6), row("b-1", "b", 0.9)];
        let Summary { page, json, .. } = summary(&rows);
        // The standard error is .1, and Student's t of one degree of freedom 12.706.
        assert!(page.contains("| els | 0.500 [-0.771, 1.000] |"), "{page}");
        assert!(page.contains("Runs: a-1, a-2.") && page.contains("| els | 0.900 |"), "{page}");
        let over = &json["experiments"][0]["over_runs"]["els"];
        assert_eq!((over["r"]["runs"].as_u64(), over["R2"].is_null()), (Some(2), true));
    }

    #[test]
    fn the_ceiling_is_another_training_seed() {
        let mut rows: Vec<Row> = [0.2, 0.3, 0.4, 0.5].map(|r| row("a", "a", r)).into();
        let Summary { page, json, .. } = summary(&rows);
        let group = &json["experiments"][0];
        // Four fifths of the variance are common to all networks.
        let (ceiling, chance) =
            (group["ceiling"]["r"].as_f64().unwrap(), group["chance"].as_f64().unwrap());
        assert!((ceiling - 0.8).abs() < 0.06 && chance.abs() < 0.1, "{ceiling} {chance}");
        let share = group["over_runs"]["els"]["share_of_the_way"]["from_chance"].as_f64().unwrap();
        assert!((share - (0.35 - chance) / (ceiling - chance)).abs() < 1e-12);
        assert!(page.contains("another training seed (ceiling)"), "{page}");

        // The same run twice is one training seed.
        let twice: Vec<Row> = rows.iter().chain(&rows).cloned().collect();
        assert_eq!(summary(&twice).json["experiments"][0], *group);
        rows[1].samples.as_mut().unwrap().noise_seed = 7;
        assert!(summary(&rows).json["experiments"][0]["ceiling"].is_null());
        rows[0].key = vec![("training.steps".into(), "5".into())];
        assert_eq!(summary(&rows).json["experiments"].as_array().unwrap().len(), 2);
    }
}
