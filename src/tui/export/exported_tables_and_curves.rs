//! What an export of each tab contains, collected from the state: the columns of its table, and curves.

use std::sync::Arc;

use crate::config::SettingEntry;
use crate::evaluation::inspect::Trace;
use crate::evaluation::inspect::pixel_picture_and_film::At;
use crate::evaluation::inspect::pixel_table;
use crate::hardware::system_load::Reading;
use crate::runs::preview_files::{NETWORK, Preview};
use crate::runs::runs_dir::RunSummary;
use crate::tui::recorded_curves::{Quantity, Recorded};
use crate::tui::screenshot::Screenshot;
use crate::tui::state::chart_curves::{ChartCurve, full_range};
use crate::tui::state::open_run::News;
use crate::tui::state::{App, Inspector, OpenRun, Pane, ScoredPreview};
use crate::tui::tabs::Tab;

/// A tab to write; work that takes time is left to the writer.
#[derive(Clone, Debug, PartialEq)]
pub struct Export {
    /// The run whose directory it is written to; `None` for the current directory.
    pub run: Option<String>,
    /// The files' name, before number and extension.
    pub stem: String,
    pub content: Content,
    /// The pane that `screen` shows; `None` for the whole screen.
    pub pane: Option<Pane>,
    /// Filled in by the shell, which knows the size of the screen.
    pub screen: Screenshot,
}

/// What is written.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    Charts(ExportedCharts),
    /// A preview, and rows of the figures of its samples.
    Samples(Box<Preview>, Vec<Vec<String>>),
    /// Rows, the head first; the picture is the screen.
    Table(Vec<Vec<String>>),
    /// A step and pixel of a noise seed's trace.
    Inside(Arc<Trace>, At),
    /// Rows of readings of this computer, and processor and memory use in percent for the picture.
    Machine(Vec<Vec<String>>, Vec<[f64; 2]>),
}

impl Content {
    /// The table in the CSV file, the head first.
    pub(super) fn rows(&self) -> Vec<Vec<String>> {
        match self {
            Self::Table(rows) | Self::Machine(rows, _) | Self::Samples(_, rows) => rows.clone(),
            Self::Inside(trace, at) => {
                table(&pixel_table::HEAD, pixel_table::rows(trace, *at).into_iter().map(Vec::from))
            }
            Self::Charts(charts) => {
                let rows = charts.curves.iter().flat_map(|curve| {
                    let (run, name) = (&curve.run, &curve.name);
                    let what = curve.quantity.slug();
                    curve.points.iter().map(move |(x, y)| {
                        let (x, y) = (x.to_string(), y.to_string());
                        vec![run.clone(), what.to_owned(), name.clone(), x, y]
                    })
                });
                table(&["run", "quantity", "curve", "x", "value"], rows)
            }
        }
    }
}

/// Every curve of the open run, those of the marked runs of the quantity shown, and the charts on the screen.
#[derive(Clone, Debug, PartialEq)]
pub struct ExportedCharts {
    /// For the table.
    pub curves: Vec<ExportedCurve>,
    /// For the picture: the upper chart, then the lower one.
    pub charts: Vec<ExportedChart>,
}

/// One curve with all of its points.
#[derive(Clone, Debug, PartialEq)]
pub struct ExportedCurve {
    pub run: String,
    pub quantity: Quantity,
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

/// One chart as the screen shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct ExportedChart {
    pub quantity: Quantity,
    /// The run that all curves are of; `None` if each curve is named after its run.
    pub run: Option<String>,
    /// Share of its past that the moving average of a curve keeps per point.
    pub smoothing: f64,
    /// First and last x.
    pub range: [f64; 2],
    pub log_scale: bool,
    /// Names and points of the curves.
    pub curves: Vec<(String, Vec<(f64, f64)>)>,
}

/// The tab on screen as files; `None` if it has no content yet.
pub fn collect(app: &App) -> Option<Export> {
    let open = app.open_run.as_ref();
    // The open run, if its directory may be written to.
    let run = open.map(|open| open.id.clone()).filter(|_| !app.read_only);
    let screen = Screenshot::default();
    if let Some(Inspector { seed, at, trace, .. }) = &app.inspector {
        let At { index, pixel: (row, column) } = at;
        let stem = format!("seed-{seed}-step-{}-pixel-{row}-{column}", index + 1);
        let content = Content::Inside(trace.clone()?, *at);
        return Some(Export { run, stem, content, pane: None, screen });
    }
    let (run, stem, content, pane) = match app.screen.tab {
        Tab::Charts => {
            let stem = format!("charts-{}", app.charts.quantity.slug());
            (run, stem, Content::Charts(exported_charts(app)), Some(Pane::Charts))
        }
        Tab::Samples => {
            let open = open?;
            let scored = open.shown_samples()?;
            let stem = match open.shows_results() {
                true => "samples-held-out".to_owned(),
                false => format!("samples-step-{}", scored.preview.step),
            };
            let rows = sample_table(scored);
            let content = Content::Samples(Box::new(scored.preview.clone()), rows);
            (run, stem, content, Some(Pane::Samples))
        }
        Tab::Settings => (run, "settings".to_owned(), settings_table(app)?, Some(Pane::Settings)),
        Tab::Log => (run, "log".to_owned(), news_table(open?), None),
        Tab::System => (None, "mosaic-machine".to_owned(), machine_table(&app.readings), None),
        Tab::Results => {
            let report = open?.written_report()?;
            let rows = report.agreement.iter().map(|found| {
                let figures = [found.r, found.r2, found.cod].map(field);
                std::iter::once(found.machine.clone()).chain(figures).collect()
            });
            let rows = table(&["machine", "r", "r2", "R2"], rows);
            (run, "results".to_owned(), Content::Table(rows), Some(Pane::Results))
        }
        Tab::Overview => (None, "mosaic-runs".to_owned(), runs_table(&app.runs.listed()), None),
    };
    Some(Export { run, stem, content, pane, screen })
}

fn exported_charts(app: &App) -> ExportedCharts {
    let quantity = app.charts.quantity;
    let mut curves = Vec::new();
    let others = app.other_marked().map(|(_, run)| (false, run));
    for (is_open, run) in app.open_run.iter().map(|run| (true, run)).chain(others) {
        let is_exported = |recorded: &&Recorded| is_open || recorded.quantity == quantity;
        curves.extend(run.curves.all().iter().filter(is_exported).map(|recorded| ExportedCurve {
            run: run.id.clone(),
            quantity: recorded.quantity,
            name: recorded.name.clone(),
            points: recorded.series.to_vec(),
        }));
    }
    let charts = [quantity, app.lower_quantity()].map(|quantity| chart(app, quantity));
    let charts = charts.into_iter().flatten().filter(|chart| !chart.curves.is_empty()).collect();
    ExportedCharts { curves, charts }
}

/// The chart of a quantity as the screen shows it, if a run is open.
fn chart(app: &App, quantity: Quantity) -> Option<ExportedChart> {
    let open = app.open_run.as_ref()?;
    let curves = app.curves_of(quantity);
    let range = match quantity.is_calibrated() == app.charts.quantity.is_calibrated() {
        true => app.visible_range(&curves),
        false => full_range(&curves),
    };
    // The curve of a single run has no name.
    let is_named = curves.iter().any(|curve| !curve.name.is_empty());
    let name = |curve: &ChartCurve<'_>| match curve.name.as_str() {
        "" => open.id.clone(),
        name => name.to_owned(),
    };
    Some(ExportedChart {
        quantity,
        run: (is_named && !quantity.is_single()).then(|| open.id.clone()),
        smoothing: app.charts.smoothing_of(quantity),
        range,
        log_scale: !app.charts.linear_scale && quantity.has_log_scale(),
        curves: curves.iter().map(|curve| (name(curve), curve.series.to_vec())).collect(),
    })
}

/// The settings of the open run and of the marked runs, a column per run.
fn settings_table(app: &App) -> Option<Content> {
    let runs = app.known_settings();
    let head: Vec<&str> =
        std::iter::once("setting").chain(runs.iter().map(|(run, _)| run.id.as_str())).collect();
    let row = |(index, entry): (usize, &SettingEntry)| {
        let values = runs.iter().map(|(_, all)| all[index].value.clone());
        std::iter::once(entry.key.to_owned()).chain(values).collect()
    };
    let (_, first) = runs.first()?;
    Some(Content::Table(table(&head, first.iter().enumerate().map(row))))
}

/// A row per sample.
fn sample_table(scored: &ScoredPreview) -> Vec<Vec<String>> {
    let ScoredPreview { preview, agreement } = scored;
    let label = |name: &str, seed: usize| {
        field(preview.labels_of(name).and_then(|labels| labels.get(seed)))
    };
    let mut rows = Vec::new();
    for seed in 0..preview.seeds.len() {
        let first = (preview.first_seed + seed as u64).to_string();
        let none = String::new;
        rows.push(vec![first.clone(), NETWORK.to_owned(), none(), none(), label(NETWORK, seed)]);
        for ((name, _), found) in preview.machines.iter().zip(agreement) {
            let Some(found) = found.get(seed) else { continue };
            let (r, cod) = (field(found.r), field(found.cod));
            rows.push(vec![first.clone(), name.clone(), r, cod, label(name, seed)]);
        }
    }
    table(&["seed", "column", "r", "R2", "label"], rows.into_iter())
}

/// The listed runs, a row per run.
fn runs_table(listed: &[&RunSummary]) -> Content {
    let row = |run: &&RunSummary| {
        let status = run.status.as_ref();
        vec![
            run.id.clone(),
            run.experiment.clone(),
            run.listed_state().word().to_owned(),
            field(status.map(|status| status.step)),
            field(status.map(|status| status.steps)),
            field(status.and_then(|status| status.loss)),
            run.about.tags.join(" "),
            run.about.note.clone(),
        ]
    };
    let head = ["run", "experiment", "state", "step", "steps", "loss", "tags", "note"];
    Content::Table(table(&head, listed.iter().map(row)))
}

/// The news of a run, a row per entry.
fn news_table(open: &OpenRun) -> Content {
    let row = |news: &News| {
        let level: &str = news.level.into();
        vec![news.time_ms.to_string(), news.step.to_string(), level.to_owned(), news.text.clone()]
    };
    Content::Table(table(&["time_ms", "step", "level", "text"], open.news.iter().map(row)))
}

/// The readings of this computer, a row per reading.
fn machine_table(readings: &[Reading]) -> Content {
    let row = |(index, reading): (usize, &Reading)| {
        let worker = reading.worker.as_ref();
        vec![
            index.to_string(),
            field(reading.cpu_percent),
            field(reading.memory.map(|memory| memory.used)),
            field(reading.memory.map(|memory| memory.total)),
            field(reading.disk.map(|disk| disk.left())),
            field(worker.and_then(|worker| worker.cpu_percent)),
            field(worker.map(|worker| worker.memory_bytes)),
        ]
    };
    let head = [
        "look",
        "cpu_percent",
        "memory_used_bytes",
        "memory_bytes",
        "disk_left_bytes",
        "worker_cpu_percent",
        "worker_memory_bytes",
    ];
    let percent = readings.iter().map(|reading| {
        let memory = reading.memory.map_or(f64::NAN, |memory| 100.0 * memory.share());
        [reading.cpu_percent.unwrap_or(f64::NAN), memory]
    });
    Content::Machine(table(&head, readings.iter().enumerate().map(row)), percent.collect())
}

/// A field of a table; empty if there is no value.
fn field(value: Option<impl ToString>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}

/// Rows after their head.
fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Vec<Vec<String>> {
    let head = head.iter().map(|name| (*name).to_owned()).collect();
    std::iter::once(head).chain(rows).collect()
}
