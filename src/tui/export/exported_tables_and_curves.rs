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
    Charts(Vec<ExportedCurve>),
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
            Self::Charts(curves) => {
                let rows = curves.iter().flat_map(|curve| {
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

/// One curve with all of its points.
#[derive(Clone, Debug, PartialEq)]
pub struct ExportedCurve {
    pub run: String,
    pub quantity: Quantity,
    pub name: String,
    /// Index of its colour and letter.
    pub index: usize,
    pub points: Vec<(f64, f64)>,
    /// How the picture shows it; `None` for curves that are in the table only.
    pub drawn: Option<DrawnCurve>,
}

/// How the picture of an export shows a curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DrawnCurve {
    /// Share of its past that the moving average keeps per point.
    pub smoothing: f64,
    /// First and last x.
    pub range: [f64; 2],
    pub log_scale: bool,
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
            (run, stem, Content::Charts(exported_curves(app)), Some(Pane::Charts))
        }
        Tab::Samples => {
            let scored = open?.preview.as_ref()?;
            let stem = format!("samples-step-{}", scored.preview.step);
            let rows = sample_table(scored);
            let content = Content::Samples(Box::new(scored.preview.clone()), rows);
            (run, stem, content, Some(Pane::Samples))
        }
        Tab::Settings => (run, "settings".to_owned(), settings_table(app)?, Some(Pane::Settings)),
        Tab::Log => (run, "log".to_owned(), news_table(open?), None),
        Tab::System => (None, "mosaic-machine".to_owned(), machine_table(&app.readings), None),
        Tab::Overview => (None, "mosaic-runs".to_owned(), runs_table(&app.runs.listed()), None),
    };
    Some(Export { run, stem, content, pane, screen })
}

/// All curves of the open run, and those of the marked runs that are drawn.
fn exported_curves(app: &App) -> Vec<ExportedCurve> {
    let quantity = app.charts.quantity;
    let drawn = DrawnCurve {
        smoothing: app.charts.smoothing_of(quantity),
        range: app.visible_range(&app.chart_curves()),
        log_scale: !app.charts.linear_scale && quantity.has_log_scale(),
    };
    let others = app.other_marked().map(|(number, run)| (number + 1, run));
    let runs = app.open_run.iter().map(|run| (0, run)).chain(others);
    let mut all = Vec::new();
    for (number, run) in runs {
        let is_exported = |recorded: &&Recorded| number == 0 || recorded.quantity == quantity;
        for recorded in run.curves.all().iter().filter(is_exported) {
            let place = run.curves.of(recorded.quantity).position(|o| o.name == recorded.name);
            let is_drawn = recorded.quantity == quantity && (number == 0 || quantity.is_single());
            all.push(ExportedCurve {
                run: run.id.clone(),
                quantity: recorded.quantity,
                name: recorded.name.clone(),
                index: number + place.unwrap_or(0),
                points: recorded.series.to_vec(),
                drawn: is_drawn.then_some(drawn),
            });
        }
    }
    all
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
