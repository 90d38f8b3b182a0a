//! What a tab shows, as files: its figures (CSV; of curves beyond 100,000 points the extremes, all are in `events.jsonl`),
//! charts and pictures (PNG), the screen as seen (text).
//!
//! Files go into `exports/` of the run's directory, numbered, so that none is overwritten. What is about the machine or
//! all runs, and whatever someone who only looks exports, goes into the current directory. All is written by a
//! thread of its own; an export that fails leaves nothing behind.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};

use super::app::{App, CHARTS, LOG, News, OpenRun, SAMPLES, SETTINGS, SYSTEM, Shown};
use super::curves::{Quantity, Recorded};
use super::pointer::Pane;
use super::screenshot::Screenshot;
use super::series::Series;
use super::words::run_state;
use crate::evaluation::charts::{self, Marks, Panel};
use crate::evaluation::inspect::picture::{At, film, sheet};
use crate::evaluation::inspect::{Trace, table};
use crate::evaluation::picture_text::write_labelled;
use crate::files::write_atomically;
use crate::hardware::system::Reading;
use crate::image::picture::contact_sheet;
use crate::runs::preview::Preview;
use crate::runs::runs_dir::RunSummary;

/// Where exports go inside a run's directory.
pub const FOLDER: &str = "exports";
/// A chart's columns as PNG: extremes of each are kept.
const PNG_COLUMNS: usize = 500;
/// Rows of the picture of samples.
const SEEDS_MAX: usize = 64;

/// What to write; work that takes time is left to the writer.
#[derive(Clone, Debug, PartialEq)]
pub struct Export {
    /// The run it belongs to; `None` for the current directory.
    pub run: Option<String>,
    /// The files' name before number and extension.
    pub stem: String,
    pub content: Content,
    /// What is seen of it, filled in by the shell, which has a screen.
    pub screen: Screenshot,
    pub pane: Option<Pane>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    Charts(Vec<Exported>),
    Samples(Box<Preview>, Vec<[String; 5]>),
    /// Rows, the head first; the picture is the screen.
    Table(Vec<Vec<String>>),
    /// A step and pixel of a seed's way.
    Inside(Arc<Trace>, At),
    /// Rows, and the machine's looks for the picture.
    Machine(Vec<Vec<String>>, Vec<[f64; 2]>),
}

/// One curve with all of its points.
#[derive(Clone, Debug, PartialEq)]
pub struct Exported {
    pub run: String,
    pub quantity: Quantity,
    pub name: String,
    /// Number of its colour, letter of its name.
    pub index: usize,
    pub points: Vec<(f64, f64)>,
    /// What the picture shows: smoothing and ends; `None` for curves that are in the table only.
    pub shown: Option<(f64, [f64; 2], bool)>,
}

impl App {
    /// The tab on screen as files.
    pub(super) fn export(&self) -> Option<Export> {
        let run = self.watched.as_ref().map(|watched| watched.id.clone());
        let own = run.filter(|_| !self.read_only);
        if let Some(look) = &self.look {
            let trace = look.trace.clone()?;
            let At { index, pixel: (row, column) } = look.at;
            let stem = format!("seed-{}-step-{}-pixel-{row}-{column}", look.seed, index + 1);
            let content = Content::Inside(trace, look.at);
            return Some(Export {
                run: own,
                stem,
                content,
                screen: Screenshot::default(),
                pane: None,
            });
        }
        let (run, stem, content, pane) = match self.tab {
            CHARTS => {
                let stem = format!("charts-{}", self.quantity.slug());
                (own, stem, Content::Charts(self.exported()), Some(Pane::Charts))
            }
            SAMPLES => {
                let shown = self.watched.as_ref()?.preview.as_ref()?;
                let stem = format!("samples-step-{}", shown.preview.step);
                let content = Content::Samples(Box::new(shown.preview.clone()), figures(shown));
                (own, stem, content, Some(Pane::Samples))
            }
            SETTINGS => (own, "settings".to_owned(), self.settings_table()?, Some(Pane::Settings)),
            LOG => (own, "log".to_owned(), news(self.watched.as_ref()?), None),
            SYSTEM => (None, "mosaic-machine".to_owned(), machine(&self.system), None),
            _ => (None, "mosaic-runs".to_owned(), runs(&self.shown()), None),
        };
        Some(Export { run, stem, content, screen: Screenshot::default(), pane })
    }

    /// Everything the run on screen recorded, and of marked runs what is drawn.
    fn exported(&self) -> Vec<Exported> {
        let charted = self.charted();
        let (past, part) = (self.past(self.quantity), self.seen_part(&charted));
        let is_log = self.log_scale && self.quantity.has_log_scale();
        let shown = |quantity| (quantity == self.quantity).then_some((past, part, is_log));
        let runs = self.watched.iter().map(|run| (0, run));
        let runs = runs.chain(self.beside().map(|(number, run)| (number + 1, run)));
        let mut all = Vec::new();
        for (number, run) in runs {
            let request = |recorded: &&Recorded| number == 0 || recorded.quantity == self.quantity;
            for recorded in run.curves.all().iter().filter(request) {
                let place = run.curves.of(recorded.quantity).position(|o| o.name == recorded.name);
                let is_drawn = number == 0 || self.quantity.is_single();
                all.push(Exported {
                    run: run.id.clone(),
                    quantity: recorded.quantity,
                    name: recorded.name.clone(),
                    index: number + place.unwrap_or(0),
                    points: recorded.series.to_vec(),
                    shown: shown(recorded.quantity).filter(|_| is_drawn),
                });
            }
        }
        all
    }

    fn settings_table(&self) -> Option<Content> {
        let runs = self.watched.iter().chain(self.beside().map(|(_, run)| run));
        let runs: Vec<_> = runs.filter(|run| run.experiment.is_some()).collect();
        let entries: Vec<_> =
            runs.iter().filter_map(|run| run.experiment.as_ref()).map(|e| e.entries()).collect();
        let head = std::iter::once("setting".to_owned()).chain(runs.iter().map(|r| r.id.clone()));
        let row = |index: usize, key: &str| {
            let values =
                entries.iter().map(|all| all.get(index).map_or(String::new(), |e| e.value.clone()));
            std::iter::once(key.to_owned()).chain(values).collect()
        };
        let rows = entries.first()?.iter().enumerate().map(|(index, entry)| row(index, entry.key));
        Some(Content::Table(std::iter::once(head.collect()).chain(rows).collect()))
    }
}

/// Seed, column, r, R^2 and label of every sample.
fn figures(shown: &Shown) -> Vec<[String; 5]> {
    let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    let label = |name: &str, seed: usize| {
        let labels = shown.preview.labels_of(name).and_then(|labels| labels.get(seed));
        labels.map_or(String::new(), |label| label.to_string())
    };
    let mut rows = Vec::new();
    for seed in 0..shown.preview.seeds.len() {
        let first = (shown.preview.first_seed + seed as u64).to_string();
        let network = crate::runs::preview::NETWORK;
        let none = String::new;
        rows.push([first.clone(), network.to_owned(), none(), none(), label(network, seed)]);
        for ((name, _), found) in shown.preview.machines.iter().zip(&shown.agreement) {
            let Some(found) = found.get(seed) else { continue };
            let (r, cod) = (number(found.r), number(found.cod));
            rows.push([first.clone(), name.clone(), r, cod, label(name, seed)]);
        }
    }
    rows
}

fn runs(shown: &[&RunSummary]) -> Content {
    let head = ["run", "experiment", "state", "step", "steps", "loss", "tags", "note"];
    let row = |run: &&RunSummary| {
        let status = run.status.as_ref();
        let of = |value: Option<String>| value.unwrap_or_default();
        vec![
            run.id.clone(),
            run.experiment.clone(),
            run_state(run).to_owned(),
            of(status.map(|status| status.step.to_string())),
            of(status.map(|status| status.steps.to_string())),
            of(status.and_then(|status| status.loss).map(|loss| loss.to_string())),
            run.about.tags.join(" "),
            run.about.note.clone(),
        ]
    };
    let head = head.map(str::to_owned).to_vec();
    Content::Table(std::iter::once(head).chain(shown.iter().map(row)).collect())
}

/// Everything the run had to tell.
fn news(watched: &OpenRun) -> Content {
    let head = ["time_ms", "step", "level", "text"].map(str::to_owned).to_vec();
    let row = |news: &News| {
        let level = format!("{:?}", news.level).to_lowercase();
        vec![news.time_ms.to_string(), news.step.to_string(), level, news.text.clone()]
    };
    Content::Table(std::iter::once(head).chain(watched.notices.iter().map(row)).collect())
}

fn machine(looks: &[Reading]) -> Content {
    let head = [
        "look",
        "cpu_percent",
        "memory_used_bytes",
        "memory_bytes",
        "disk_left_bytes",
        "worker_cpu_percent",
        "worker_memory_bytes",
    ];
    let of = |value: Option<String>| value.unwrap_or_default();
    let row = |(index, look): (usize, &Reading)| {
        vec![
            index.to_string(),
            of(look.cpu_percent.map(|percent| percent.to_string())),
            of(look.memory.map(|memory| memory.used.to_string())),
            of(look.memory.map(|memory| memory.total.to_string())),
            of(look.disk.map(|disk| disk.left().to_string())),
            of(look.worker.as_ref().and_then(|worker| worker.cpu_percent).map(|p| p.to_string())),
            of(look.worker.as_ref().map(|worker| worker.memory_bytes.to_string())),
        ]
    };
    let head = head.map(str::to_owned).to_vec();
    let rows = std::iter::once(head).chain(looks.iter().enumerate().map(row)).collect();
    let shares = looks.iter().map(|look| {
        let memory = look.memory.map_or(f64::NAN, |memory| 100.0 * memory.share());
        [look.cpu_percent.unwrap_or(f64::NAN), memory]
    });
    Content::Machine(rows, shares.collect())
}

impl Export {
    /// Writes the files into `folder` and returns their names.
    pub fn write(&self, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
        fs::create_dir_all(folder).with_context(|| format!("making '{}'", folder.display()))?;
        let name = self.free_name(folder)?;
        let path = |extension: &str| folder.join(format!("{name}.{extension}"));
        let mut written = Vec::new();
        let result = self.files(path, &mut written);
        if result.is_err() {
            // Half an export is none; what cannot be removed either is small.
            written.iter().for_each(|path| drop(fs::remove_file(path)));
        }
        result.map(|()| written)
    }

    fn files(
        &self,
        path: impl Fn(&str) -> PathBuf,
        written: &mut Vec<PathBuf>,
    ) -> anyhow::Result<()> {
        let mut write = |path: PathBuf, content: &str| {
            let done = write_atomically(&path, content.as_bytes());
            done.with_context(|| format!("writing '{}'", path.display()))?;
            written.push(path);
            anyhow::Ok(())
        };
        write(path("csv"), &csv(&self.rows()))?;
        write(path("txt"), &self.screen.text())?;
        let png = path("png");
        if self.draw(&png).with_context(|| format!("drawing '{}'", png.display()))? {
            written.push(png);
        }
        if let Content::Inside(trace, _) = &self.content {
            let whole = path("film.png");
            film(trace, &whole).with_context(|| format!("drawing '{}'", whole.display()))?;
            written.push(whole);
        }
        Ok(())
    }

    /// The first number that no file of this name has.
    fn free_name(&self, folder: &Path) -> anyhow::Result<String> {
        let taken: Vec<String> = fs::read_dir(folder)
            .and_then(|all| all.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>())
            .with_context(|| format!("reading '{}'", folder.display()))?
            .iter()
            .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
            .collect();
        let names = (1_u32..).map(|number| format!("{}-{number}", self.stem));
        let free = names.into_iter().find(|name| !taken.contains(name));
        free.ok_or_else(|| anyhow!("no free name like '{}' in '{}'", self.stem, folder.display()))
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let head = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        match &self.content {
            Content::Table(rows) | Content::Machine(rows, _) => rows.clone(),
            Content::Samples(_, figures) => {
                let rows = figures.iter().map(|row| row.to_vec());
                std::iter::once(head(&["seed", "column", "r", "R2", "label"])).chain(rows).collect()
            }
            Content::Inside(trace, at) => {
                let rows = table::rows(trace, *at).into_iter().map(Vec::from);
                std::iter::once(head(&table::HEAD)).chain(rows).collect()
            }
            Content::Charts(curves) => {
                let rows = curves.iter().flat_map(|curve| {
                    let (run, name) = (&curve.run, &curve.name);
                    let what = curve.quantity.slug();
                    curve.points.iter().map(move |(x, y)| {
                        let (x, y) = (x.to_string(), y.to_string());
                        vec![run.clone(), what.to_owned(), name.clone(), x, y]
                    })
                });
                let first = head(&["run", "quantity", "curve", "x", "value"]);
                std::iter::once(first).chain(rows).collect()
            }
        }
    }

    /// Draws what there is to draw; whether there was anything.
    fn draw(&self, path: &Path) -> anyhow::Result<bool> {
        match &self.content {
            Content::Table(_) => self.screen.draw(path)?,
            Content::Inside(trace, at) => sheet(trace, *at, path)?,
            Content::Samples(preview, _) => {
                let Preview { seeds, network, machines, .. } = &**preview;
                let sheet = contact_sheet(seeds, network, machines, SEEDS_MAX);
                write_labelled(sheet, &[], path)?;
            }
            Content::Machine(_, looks) => {
                let series = |(colour, name): (usize, &str)| charts::Series {
                    name: name.to_owned(),
                    colour,
                    points: looks
                        .iter()
                        .enumerate()
                        .map(|(i, both)| (i as f64, both[colour]))
                        .collect(),
                    marks: Marks::Curve,
                };
                let panel = Panel {
                    title: "the machine".to_owned(),
                    x: "look".to_owned(),
                    y: "%".to_owned(),
                    series: ["processors", "memory"].into_iter().enumerate().map(series).collect(),
                    y_range: Some((0.0, 100.0)),
                    ..Panel::default()
                };
                charts::write(&[panel], 1, path)?;
            }
            Content::Charts(curves) => {
                let shown: Vec<Quantity> = curves
                    .iter()
                    .filter(|c| c.shown.is_some())
                    .map(|c| c.quantity)
                    .take(1)
                    .collect();
                // The lower chart goes with it.
                let request = shown.into_iter().chain([Quantity::Entropy]);
                let panels = request.map(|quantity| panel(curves, quantity));
                let panels: Vec<Panel> = panels.filter(|panel| !panel.series.is_empty()).collect();
                if panels.is_empty() {
                    return Ok(false);
                }
                charts::write(&panels, 2, path)?;
            }
        }
        Ok(true)
    }
}

fn panel(curves: &[Exported], quantity: Quantity) -> Panel {
    let all = || curves.iter().filter(|curve| curve.quantity == quantity);
    let is_log = all().any(|curve| curve.shown.is_some_and(|(_, _, is_log)| is_log));
    let series = all().map(|curve| {
        let ends = [curve.points.first(), curve.points.last()].map(|p| p.map_or(0.0, |p| p.0));
        let (past, part, _) = curve.shown.unwrap_or((0.0, ends, false));
        let seen = Series::of(curve.points.clone()).seen(past, part, PNG_COLUMNS);
        let mut points = Vec::new();
        for piece in &seen.pieces {
            points.extend(piece.iter().map(|(x, y)| (*x, if is_log { y.log10() } else { *y })));
            points.push((f64::NAN, f64::NAN));
        }
        let name = match curve.name.as_str() {
            "" => curve.run.clone(),
            name => name.to_owned(),
        };
        charts::Series { name, colour: curve.index, points, marks: Marks::Curve }
    });
    let series = series.collect();
    let name = quantity.name();
    let title = if is_log { format!("log10 of {name}") } else { name.to_owned() };
    let x = if quantity.is_calibrated() { "t" } else { "training step" };
    Panel { title, x: x.to_owned(), series, ..Panel::default() }
}

/// Lines of fields, quoted where they must be (RFC 4180).
fn csv(rows: &[Vec<String>]) -> String {
    let field = |text: &String| match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.clone(),
    };
    let line = |row: &Vec<String>| row.iter().map(field).collect::<Vec<_>>().join(",") + "\n";
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::event::{Event, EventBody, Metrics};
    use crate::runs::format::RUN_FORMAT;
    use crate::tui::app::OpenRun;

    fn app(n_points: u64) -> App {
        let mut app = App::new(Vec::new(), String::new());
        app.tab = CHARTS;
        let mut watched = OpenRun::new("a-run, \"noted\"".to_owned());
        for step in 0..n_points {
            let metrics = Metrics {
                loss: (step != 3).then_some(0.1 + 1.0 / (step + 1) as f64),
                grad_norm: None,
                learning_rate: 0.1,
                steps_per_s: 1.0,
                images_per_s: 1.0,
            };
            let body = EventBody::Metrics(metrics);
            watched.take(Event { v: RUN_FORMAT, time_ms: 0, step, body });
        }
        app.watched = Some(watched);
        app
    }

    fn names(paths: &[PathBuf]) -> Vec<String> {
        paths.iter().map(|p| p.file_name().unwrap().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn charts_come_as_every_point_as_a_picture_and_as_text_and_never_overwrite() {
        let mut app = app(5000);
        let mut export = app.export().unwrap();
        export.screen = Screenshot::take(&mut app, (80, 24), None);
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join(FOLDER);
        let paths = export.write(&folder).unwrap();
        assert_eq!(names(&paths), ["charts-loss-1.csv", "charts-loss-1.txt", "charts-loss-1.png"]);
        let table = fs::read_to_string(&paths[0]).unwrap();
        let losses = table.lines().filter(|line| line.contains(",loss,"));
        assert_eq!(losses.count(), 5000, "nothing is thinned");
        assert!(table.contains("\"a-run, \"\"noted\"\"\",loss,,0,1.1\n"));
        assert!(table.contains(",loss,,3,NaN\n"), "a gap is said");
        assert!(!table.contains("gradient"), "what was not recorded is not there");
        assert!(fs::read_to_string(&paths[1]).unwrap().contains("loss"));
        let picture = image::open(&paths[2]).unwrap().into_rgb8();
        assert!(picture.pixels().filter(|pixel| pixel.0 == [0, 114, 178]).count() > 200);
        assert_eq!(names(&export.write(&folder).unwrap())[0], "charts-loss-2.csv");
    }

    #[test]
    fn an_export_that_fails_says_where_and_leaves_nothing() {
        let export = app(10).export().unwrap();
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        fs::write(&file, "").unwrap();
        let error = format!("{:#}", export.write(&file.join(FOLDER)).unwrap_err());
        assert!(error.contains("making '") && error.contains("file/exports'"), "{error}");
        // The picture cannot be written: a directory is in its place once the others are there.
        let folder = place.path().join(FOLDER);
        fs::create_dir_all(folder.join("charts-loss-1.png/inside")).unwrap();
        fs::create_dir_all(folder.join("charts-loss-1.csv")).unwrap();
        let mut written = Vec::new();
        let path = |extension: &str| folder.join(format!("charts-loss-1.{extension}"));
        assert!(export.files(path, &mut written).is_err());
        fs::remove_dir(folder.join("charts-loss-1.csv")).unwrap();
        assert!(export.files(path, &mut written).is_err());
        assert_eq!(names(&written), ["charts-loss-1.csv", "charts-loss-1.txt"]);
    }

    #[test]
    fn whoever_only_looks_writes_nothing_into_the_runs_directory() {
        let mut app = app(10);
        assert_eq!(app.export().unwrap().run.as_deref(), Some("a-run, \"noted\""));
        app.read_only = true;
        assert_eq!(app.export().unwrap().run, None);
    }
}
