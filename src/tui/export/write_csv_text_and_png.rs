//! Writes an export into files: CSV, text, PNG and, of charts, SVG.
//!
//! A curve of more than 100,000 points is written with its extremes; `events.jsonl` has all points.

use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context, anyhow};

use super::exported_tables_and_curves::{Content, Export, ExportedChart, ExportedCharts};
use crate::evaluation::chart_panels::{self, Marks, Panel};
use crate::evaluation::inspect::pixel_picture_and_film::{film, sheet};
use crate::files::write_atomically;
use crate::image::{contact_sheet, picture_file};
use crate::runs::preview_files::Preview;
use crate::tui::curve_points::Series;

/// The directory for exports inside a run's directory.
pub const EXPORTS_DIR: &str = "exports";
/// Columns of a chart as PNG; the smallest and largest value of each are kept.
const PNG_COLUMNS: usize = 500;
/// Most rows of the picture of samples.
const SEEDS_MAX: usize = 64;

impl Export {
    /// Writes the files into `folder`, which is made if necessary, and returns their paths.
    ///
    /// # Errors
    ///
    /// If a file cannot be written; those written before are removed.
    pub fn write(&self, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
        fs::create_dir_all(folder).with_context(|| format!("making '{}'", folder.display()))?;
        let name = self.free_name(folder)?;
        let path = |extension: &str| folder.join(format!("{name}.{extension}"));
        let mut written = Vec::new();
        let result = self.files(path, &mut written);
        if result.is_err() {
            // Half an export is useless; a file that cannot be removed either is small.
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
        write(path("csv"), &csv(&self.content.rows()))?;
        write(path("txt"), &self.screen.text())?;
        let png = path("png");
        if self.draw(&png).with_context(|| format!("drawing '{}'", png.display()))? {
            written.push(png);
        }
        if let Some((panels, n_columns)) = self.charts() {
            let svg = path("svg");
            chart_panels::write(&panels, n_columns, &svg)
                .with_context(|| format!("drawing '{}'", svg.display()))?;
            written.push(svg);
        }
        if let Content::Inside(trace, _) = &self.content {
            let whole = path("film.png");
            film(trace, &whole).with_context(|| format!("drawing '{}'", whole.display()))?;
            written.push(whole);
        }
        Ok(())
    }

    /// The name with the first number that no file has.
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

    /// Draws the picture; returns false if there is nothing to draw.
    fn draw(&self, path: &Path) -> anyhow::Result<bool> {
        match &self.content {
            Content::Table(_) => self.screen.draw(path)?,
            Content::Inside(trace, at) => sheet(trace, *at, path)?,
            Content::Samples(preview, _) => {
                let Preview { seeds, network, machines, first_seed, .. } = &**preview;
                let seeds = (*first_seed, seeds);
                let sheet = contact_sheet::with_differences(seeds, network, machines, SEEDS_MAX);
                picture_file::write(&sheet, path)?;
            }
            Content::Machine(..) | Content::Charts(_) => match self.charts() {
                Some((panels, n_columns)) => chart_panels::write(&panels, n_columns, path)?,
                None => return Ok(false),
            },
        }
        Ok(true)
    }

    /// The charts, and in how many columns they are drawn; `None` if the export is of something else or there is none.
    fn charts(&self) -> Option<(Vec<Panel>, usize)> {
        match &self.content {
            Content::Machine(_, percent) => Some((vec![machine_panel(percent)], 1)),
            Content::Charts(ExportedCharts { charts, .. }) => {
                (!charts.is_empty()).then(|| (panels(charts), 2))
            }
            _ => None,
        }
    }
}

/// Processor and memory use in percent.
fn machine_panel(percent: &[[f64; 2]]) -> Panel {
    let series = |(colour, name): (usize, &str)| {
        let points = percent.iter().enumerate().map(|(i, both)| (i as f64, both[colour]));
        chart_panels::Series::new(name, colour, points.collect(), Marks::Curve)
    };
    Panel {
        title: "the machine".to_owned(),
        x: "look".to_owned(),
        y: "%".to_owned(),
        series: ["processors", "memory"].into_iter().enumerate().map(series).collect(),
        y_range: Some((0.0, 100.0)),
        ..Panel::default()
    }
}

/// The charts of the screen. No two curves have the same colour, even in different charts.
fn panels(charts: &[ExportedChart]) -> Vec<Panel> {
    let mut colours = 0..;
    charts.iter().map(|chart| panel(chart, &mut colours)).collect()
}

fn panel(chart: &ExportedChart, colours: &mut impl Iterator<Item = usize>) -> Panel {
    let ExportedChart { quantity, smoothing, range, log_scale, .. } = *chart;
    let series = chart.curves.iter().zip(colours).map(|((name, points), colour)| {
        let visible = Series::of(points.clone()).visible(smoothing, range, PNG_COLUMNS);
        let mut drawn = Vec::new();
        for piece in &visible.pieces {
            drawn.extend_from_slice(piece);
            drawn.push((f64::NAN, f64::NAN));
        }
        chart_panels::Series::new(name, colour, drawn, Marks::Curve)
    });
    let title = match &chart.run {
        Some(run) => format!("{}: {run}", quantity.name()),
        None => quantity.name().to_owned(),
    };
    let x = if quantity.is_calibrated() { "t" } else { "training step" };
    Panel {
        title,
        x: x.to_owned(),
        series: series.collect(),
        is_log: log_scale,
        ..Panel::default()
    }
}

/// Rows as CSV, with fields quoted where they must be (RFC 4180).
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
    use crate::runs::event::{AgreementFigure, Event, EventBody, Metrics, PreviewSummary};
    use crate::runs::format_versions::RUN_FORMAT;
    use crate::tui::export::exported_tables_and_curves::collect;
    use crate::tui::recorded_curves::Quantity;
    use crate::tui::screenshot::capture;
    use crate::tui::state::{App, OpenRun};
    use crate::tui::tabs::Tab;

    fn app(n_points: u64) -> App {
        let mut app = App::new(Vec::new(), String::new());
        app.screen.tab = Tab::Charts;
        let mut open = OpenRun::new("a-run, \"noted\"".to_owned());
        for step in 0..n_points {
            let metrics = Metrics {
                loss: (step != 3).then_some(0.1 + 1.0 / (step + 1) as f64),
                grad_norm: None,
                learning_rate: 0.1,
                steps_per_s: 1.0,
                images_per_s: 1.0,
            };
            let body = EventBody::Metrics(metrics);
            open.apply(Event { v: RUN_FORMAT, time_ms: 0, step, body });
        }
        app.open_run = Some(open);
        app
    }

    fn names(paths: &[PathBuf]) -> Vec<String> {
        paths.iter().map(|p| p.file_name().unwrap().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn charts_come_as_every_point_as_a_picture_and_as_text_and_never_overwrite() {
        let mut app = app(5000);
        let mut export = collect(&app).unwrap();
        export.screen = capture(&mut app, (80, 24), None);
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join(EXPORTS_DIR);
        let paths = export.write(&folder).unwrap();
        let expected = ["csv", "txt", "png", "svg"].map(|ending| format!("charts-loss-1.{ending}"));
        assert_eq!(names(&paths), expected);
        assert!(fs::read_to_string(&paths[3]).unwrap().contains("training step"));
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

    fn run(id: &str, machines: &[&str], r: f64) -> OpenRun {
        let mut run = OpenRun::new(id.to_owned());
        for step in [10, 20] {
            let figure = |machine: &&str| AgreementFigure {
                machine: (*machine).to_owned(),
                r: vec![Some(r + machine.len() as f64 / 100.0); 2],
                r_squared_cod: vec![None; 2],
            };
            let summary = PreviewSummary {
                path: String::new(),
                n_seeds: 2,
                figures: machines.iter().map(figure).collect(),
                rates: None,
                seconds: 0.0,
            };
            let metrics = Metrics {
                loss: Some(r),
                grad_norm: None,
                learning_rate: 0.1,
                steps_per_s: 1.0,
                images_per_s: 1.0,
            };
            for body in [EventBody::Preview(Box::new(summary)), EventBody::Metrics(metrics)] {
                run.apply(Event { v: RUN_FORMAT, time_ms: 0, step, body });
            }
        }
        run
    }

    #[test]
    fn exported_charts_show_the_runs_and_machines_that_they_name() {
        let mut app = app(0);
        let (open, other) = (run("one", &["els", "wiener"], 0.5), run("two", &["ideal"], 0.1));
        app.marked = vec![other, open.for_comparison()];
        app.open_run = Some(open);
        let charts = |app: &App| match collect(app).unwrap().content {
            Content::Charts(found) => found.charts,
            other => panic!("{other:?}"),
        };
        let curve = |name: &str, y: f64| (name.to_owned(), vec![(10.0, y), (20.0, y)]);
        app.charts.quantity = Quantity::Correlation;
        let found = charts(&app);
        // Machines have one colour and letter each, so that the chart is of one run, which it names.
        assert_eq!(found[0].run.as_deref(), Some("one"));
        assert_eq!(found[0].curves, [curve("els", 0.53), curve("wiener", 0.56)]);
        app.charts.quantity = Quantity::Loss;
        let found = charts(&app);
        assert_eq!(found[0].run, None);
        assert_eq!(found[0].curves, [curve("one", 0.5), curve("two", 0.1)]);
        // Of what is drawn, and of nothing else.
        for quantity in [Quantity::Loss, Quantity::SquaredCorrelation, Quantity::Excess] {
            app.charts.quantity = quantity;
            for chart in charts(&app) {
                let shown = app.curves_of(chart.quantity);
                let shown: Vec<_> = shown.iter().map(|curve| curve.series.to_vec()).collect();
                let points: Vec<_> = chart.curves.into_iter().map(|(_, points)| points).collect();
                assert_eq!(points, shown);
            }
            let panels = panels(&charts(&app));
            let colours = panels.iter().flat_map(|panel| &panel.series).map(|one| one.colour);
            let colours: Vec<_> = colours.collect();
            let distinct: std::collections::HashSet<_> = colours.iter().collect();
            assert_eq!(distinct.len(), colours.len());
        }
    }

    #[test]
    fn an_export_that_fails_says_where_and_leaves_nothing() {
        let export = collect(&app(10)).unwrap();
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        fs::write(&file, "").unwrap();
        let error = format!("{:#}", export.write(&file.join(EXPORTS_DIR)).unwrap_err());
        assert!(error.contains("making '") && error.contains("file/exports'"), "{error}");
        // The picture cannot be written: a directory is in its place once the others are there.
        let folder = place.path().join(EXPORTS_DIR);
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
        assert_eq!(collect(&app).unwrap().run.as_deref(), Some("a-run, \"noted\""));
        app.read_only = true;
        assert_eq!(collect(&app).unwrap().run, None);
    }
}
