//! Charts for reports: panels of lines or dots, as PNG or SVG files from the same drawing.
//!
//! Where there are several curves, each has a letter beside its colour ([`super::chart_curves`]). What lies beyond a fixed axis
//! is named below its panel.

use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

pub use super::chart_curves::{Marks, Series};
use super::chart_curves::{draw_legend_mark, draw_series};
use crate::files::write_output;
use crate::image::picture_text::{FIXED_FONT, FONT, register_fonts, write_drawn};

const PANEL: (u32, u32) = (560, 400);
/// Height of a row that names colours, where it begins, and what a name has besides its letters.
const LEGEND: u32 = 34;
const LEGEND_LEFT: i32 = 20;
const LEGEND_GAP: i32 = 54;
/// Width of a name's letter with the gap behind it.
const LEGEND_LETTER: i32 = 15;
/// Height of the line below a panel that says what its axis leaves out.
const FOOT: i32 = 20;

/// One chart of a figure.
#[derive(Clone, Debug, Default)]
pub struct Panel {
    pub title: String,
    pub x: String,
    pub y: String,
    pub series: Vec<Series>,
    /// The line y = x, and axes of the same range.
    pub diagonal: bool,
    /// Fixed ends of the y axis; otherwise those of the data.
    pub y_range: Option<(f64, f64)>,
    /// A logarithmic y axis. Curves fall to its lower end where a value is not positive.
    pub is_log: bool,
}

impl Panel {
    /// A chart over t.
    pub fn over_time(title: String, series: Vec<Series>) -> Self {
        Self { title, x: "t (1: pure noise)".to_owned(), series, ..Self::default() }
    }
}

/// Draws panels in rows of `n_columns` and writes them to `path`, replacing a file that is there: as SVG if its name ends in
/// `.svg`, else as PNG.
///
/// # Errors
/// If drawing fails or the file cannot be written.
pub fn write(panels: &[Panel], n_columns: usize, path: &Path) -> Result<()> {
    if path.extension().is_some_and(|ending| ending == "svg") {
        return Ok(write_output(path, svg(panels, n_columns)?.as_bytes())?);
    }
    let sheet = Sheet::new(panels, n_columns);
    let white = image::RgbImage::from_pixel(sheet.size.0, sheet.size.1, image::Rgb([255; 3]));
    write_drawn(white, path, |area| sheet.draw(area))
}

/// [`write()`] to `NAME.png` and `NAME.svg` in `folder`.
///
/// # Errors
/// As [`write()`].
pub fn write_png_and_svg(
    panels: &[Panel],
    n_columns: usize,
    folder: &Path,
    name: &str,
) -> Result<()> {
    ["png", "svg"].into_iter().try_for_each(|ending| {
        let path = folder.join(format!("{name}.{ending}"));
        write(panels, n_columns, &path).with_context(|| format!("drawing '{}'", path.display()))
    })
}

/// The panels as the text of an SVG file. Words stay text, in the reader's own font.
///
/// # Errors
/// If drawing fails.
pub fn svg(panels: &[Panel], n_columns: usize) -> Result<String> {
    // The sizes of words are those of the lab's own font.
    register_fonts();
    let sheet = Sheet::new(panels, n_columns);
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, sheet.size).into_drawing_area();
        area.fill(&WHITE)?;
        sheet.draw(&area)?;
        area.present()?;
    }
    Ok(text)
}

/// A legend above rows of panels.
struct Sheet<'a> {
    panels: &'a [Panel],
    n_columns: usize,
    n_rows: usize,
    names: Vec<LegendEntry<'a>>,
    /// Height of the legend.
    head: u32,
    /// Pixels.
    size: (u32, u32),
}

impl<'a> Sheet<'a> {
    fn new(panels: &'a [Panel], n_columns: usize) -> Self {
        let n_columns = n_columns.clamp(1, panels.len().max(1));
        let n_rows = panels.len().div_ceil(n_columns).max(1);
        let width = PANEL.0 * n_columns as u32;
        let names = legend(panels, width);
        let head = LEGEND * (names.last().map_or(0, |entry| entry.place.0) + 1);
        let size = (width, PANEL.1 * n_rows as u32 + head);
        Self { panels, n_columns, n_rows, names, head, size }
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<()>
    where
        B::ErrorType: 'static,
    {
        let (head, body) = area.split_vertically(self.head);
        draw_legend(&self.names, &head)?;
        let places = body.split_evenly((self.n_rows, self.n_columns));
        for (panel, area) in self.panels.iter().zip(places) {
            draw(panel, &self.names, &area)
                .map_err(|error| anyhow!("drawing '{}': {error}", panel.title))?;
        }
        Ok(())
    }
}

/// A curve or kind of dots in the legend.
struct LegendEntry<'a> {
    name: &'a str,
    colour: usize,
    /// Tells the curve from others without colour; `None` where it is the only one.
    letter: Option<char>,
    /// Row, and pixels from the left.
    place: (u32, i32),
}

/// The legend's entries, each name of the panels once, in rows of `width` pixels.
fn legend<'a>(panels: &'a [Panel], width: u32) -> Vec<LegendEntry<'a>> {
    let mut all: Vec<LegendEntry<'a>> = Vec::new();
    for series in panels.iter().flat_map(|panel| &panel.series) {
        if !all.iter().any(|known| known.name == series.name) {
            let (colour, letter) = (series.colour, None);
            all.push(LegendEntry { name: &series.name, colour, letter, place: (0, 0) });
        }
    }
    let has_letters = all.len() > 1;
    let (mut row, mut x) = (0, LEGEND_LEFT);
    for (letter, entry) in ('A'..='Z').cycle().zip(&mut all) {
        entry.letter = has_letters.then_some(letter);
        // About the width of a letter of this size; too much rather than too little.
        let length = LEGEND_GAP + 9 * entry.name.chars().count() as i32;
        if x > LEGEND_LEFT && x + length > width as i32 {
            (row, x) = (row + 1, LEGEND_LEFT);
        }
        entry.place = (row, x);
        x += length;
    }
    all
}

fn draw_legend<B: DrawingBackend>(
    all: &[LegendEntry<'_>],
    area: &DrawingArea<B, Shift>,
) -> Result<()>
where
    B::ErrorType: 'static,
{
    for LegendEntry { name, colour, letter, place: (row, x) } in all {
        let y = (*row * LEGEND) as i32;
        draw_legend_mark(area, *colour, (*x, y + 20))?;
        let mut x = x + 20;
        if let Some(letter) = letter {
            let style = (FIXED_FONT, 15).into_text_style(area);
            area.draw_text(&letter.to_string(), &style, (x, y + 12))?;
            x += LEGEND_LETTER;
        }
        area.draw_text(name, &(FONT, 16).into_text_style(area), (x, y + 12))?;
    }
    Ok(())
}

fn draw<B: DrawingBackend>(
    panel: &Panel,
    legend: &[LegendEntry<'_>],
    area: &DrawingArea<B, Shift>,
) -> Result<(), Box<dyn std::error::Error>>
where
    B::ErrorType: 'static,
{
    let scaled = |value: f64| match panel.is_log {
        true if value <= 0.0 => f64::NEG_INFINITY,
        true => value.log10(),
        false if value.is_infinite() => f64::NAN,
        false => value,
    };
    let all: Vec<Series> = panel.series.iter().map(|series| series.map_values(scaled)).collect();
    let is_finite = |point: &&(f64, f64)| point.0.is_finite() && point.1.is_finite();
    let points = || all.iter().flat_map(|series| series.points.iter().filter(is_finite));
    let mut x = range(points().map(|p| p.0));
    // A logarithmic axis has no end at 0.
    let fixed = panel.y_range.map(|(low, high)| scaled(low)..scaled(high));
    let fixed = fixed.filter(|ends| ends.start.is_finite() && ends.end.is_finite());
    let mut y = fixed.unwrap_or_else(|| range(points().map(|p| p.1)));
    if panel.diagonal {
        x = x.start.min(y.start)..x.end.max(y.end);
        y = x.clone();
    }
    let place = |series: &Series| legend.iter().position(|entry| entry.name == series.name);
    let cut: Vec<String> = all
        .iter()
        .filter(|series| series.is_cut(&y))
        .map(|series| match place(series).and_then(|place| legend[place].letter) {
            Some(letter) => letter.to_string(),
            None => series.name.clone(),
        })
        .collect();
    let (area, foot) = match cut.is_empty() {
        true => (area.clone(), None),
        false => {
            let height = i32::try_from(area.dim_in_pixel().1).unwrap_or(i32::MAX);
            let (above, foot) = area.split_vertically(height - FOOT);
            (above, Some(foot))
        }
    };
    if let Some(foot) = foot {
        let style = (FONT, 13).into_text_style(&foot);
        foot.draw_text(
            &format!("reaches beyond the vertical axis: {}", cut.join(", ")),
            &style,
            (LEGEND_LEFT, 2),
        )?;
    }
    draw_axes_and_series(panel, &all, (x, y), legend, &area)
}

fn draw_axes_and_series<B: DrawingBackend>(
    panel: &Panel,
    all: &[Series],
    (x, y): (Range<f64>, Range<f64>),
    legend: &[LegendEntry<'_>],
    area: &DrawingArea<B, Shift>,
) -> Result<(), Box<dyn std::error::Error>>
where
    B::ErrorType: 'static,
{
    let font = |size: i32| (FONT, size);
    let mut chart = ChartBuilder::on(area)
        .caption(&panel.title, font(19))
        .margin(12)
        .x_label_area_size(38)
        .y_label_area_size(if panel.is_log { 64 } else { 60 })
        .build_cartesian_2d(x.clone(), y.clone())?;
    let mut mesh = chart.configure_mesh();
    mesh.light_line_style(WHITE)
        .bold_line_style(RGBColor(225, 225, 225))
        .x_desc(&panel.x)
        .y_desc(&panel.y)
        .label_style(font(14))
        .axis_desc_style(font(15));
    if x.end >= 100.0 {
        // Steps; fewer, since their numbers are long.
        mesh.x_labels(7).x_label_formatter(&|value| format!("{value:.0}"));
    }
    if panel.is_log {
        // One label per power of ten.
        mesh.y_labels((y.end - y.start).ceil() as usize + 1).y_label_formatter(&power_of_ten);
    }
    mesh.draw()?;
    if panel.diagonal {
        let line = [(x.start, x.start), (x.end, x.end)];
        chart.draw_series(LineSeries::new(line, RGBColor(150, 150, 150)))?;
    }
    for series in all {
        let place = legend.iter().position(|entry| entry.name == series.name);
        // Each letter on another part of its curve, so that letters do not cover each other.
        let share = |place: usize| (2 * place + 1) as f64 / (2 * legend.len()) as f64;
        let letter = place.and_then(|place| Some((legend[place].letter?, share(place))));
        draw_series(&mut chart, series, &y, letter)?;
    }
    Ok(())
}

/// The label of a power of ten on a logarithmic axis; between two of them a number of two digits.
fn power_of_ten(exponent: &f64) -> String {
    let (nearest, value) = (exponent.round(), 10_f64.powf(*exponent));
    let is_whole = (nearest - exponent).abs() < 1e-6;
    match (nearest < -4.0, is_whole) {
        (true, true) => format!("1e{nearest}"),
        (true, false) => format!("{value:.1e}"),
        (false, true) => format!("{}", 10_f64.powi(nearest as i32)),
        (false, false) => {
            let n_decimals = (1.0 - exponent.floor()).max(0.0) as usize;
            format!("{value:.n_decimals$}")
        }
    }
}

/// The range of some values with a margin of 5%; without values, 0 to 1.
fn range(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    values.for_each(|v| (low, high) = (low.min(v), high.max(v)));
    if low > high {
        return 0.0..1.0;
    }
    let room = if high > low { (high - low) * 0.05 } else { 0.5 };
    low - room..high + room
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_has_a_panel_for_each_chart_and_survives_odd_points() {
        let points = vec![(0.0, 1.0), (1.0, f64::NAN), (2.0, 3.0), (f64::INFINITY, 0.0)];
        let series = |marks| Series::new("a", 0, points.clone(), marks);
        let panel = Panel {
            title: "r".into(),
            series: vec![series(Marks::Line), series(Marks::Dots)],
            diagonal: true,
            ..Panel::default()
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        write(&[panel.clone(), Panel::default(), panel], 2, &path).unwrap();
        let image = image::open(&path).unwrap().into_rgb8();
        assert_eq!(image.dimensions(), (2 * PANEL.0, 2 * PANEL.1 + LEGEND));
        let blue = image.pixels().filter(|p| p.0 == [0, 114, 178]).count();
        assert!(blue > 20, "{blue} pixels of the first colour");
    }

    #[test]
    fn an_svg_file_has_words_and_curves_and_survives_signs_of_its_own() {
        let points = vec![(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)];
        let panel = Panel {
            title: "r < 1 & \"more\" <script>".into(),
            series: vec![
                Series::new("els", 0, points.clone(), Marks::Line),
                Series::new("<b>", 1, points, Marks::Curve),
            ],
            ..Panel::default()
        };
        let folder = tempfile::tempdir().unwrap();
        write_png_and_svg(&[panel], 1, folder.path(), "a").unwrap();
        assert!(image::open(folder.path().join("a.png")).is_ok());
        let text = std::fs::read_to_string(folder.path().join("a.svg")).unwrap();
        assert!(text.starts_with("<svg ") && text.trim_end().ends_with("</svg>"), "{text}");
        assert!(text.contains("r &lt; 1 &amp; ") && !text.contains("<script>"), "{text}");
        assert!(text.contains("&lt;b&gt;") && text.contains("\nels\n"), "{text}");
        assert!(text.contains("font-family=\"sans-serif\""), "{text}");
        assert!(text.contains("<polyline") && text.contains("#0072B2"), "{text}");
    }

    #[test]
    fn labels_of_a_logarithmic_axis_are_the_values() {
        for (exponent, label) in [
            (-1.0, "0.1"),
            (0.0, "1"),
            (2.0, "100"),
            (-6.0, "1e-6"),
            (-5.5, "3.2e-6"),
            (-0.5, "0.32"),
            (-1.5, "0.032"),
            (1.5, "32"),
            (2.5, "316"),
        ] {
            assert_eq!(power_of_ten(&exponent), label);
        }
    }

    #[test]
    fn a_chart_says_which_curves_its_axis_cuts() {
        let series = |name: &str, high: f64| {
            Series::new(name, 0, vec![(0.0, 0.5), (1.0, high)], Marks::Line)
        };
        let chart = |all: Vec<Series>, y_range| {
            svg(&[Panel { series: all, y_range, ..Panel::default() }], 1).unwrap()
        };
        let both = || vec![series("a", 0.7), series("b", 7.0)];
        let cut = chart(both(), Some((0.0, 1.0)));
        assert!(cut.contains("reaches beyond the vertical axis: B\n"), "{cut}");
        let whole = chart(both(), Some((0.0, 8.0)));
        assert!(!whole.contains("beyond"), "{whole}");
        assert!(!chart(both(), None).contains("beyond"));
        assert!(chart(vec![series("only", -1.0)], Some((0.0, 1.0))).contains("axis: only"));
    }

    #[test]
    fn a_legend_has_a_letter_for_each_name_and_as_many_rows_as_it_needs() {
        let series = |name: &str, colour| {
            let points = vec![(0.0, colour as f64), (1.0, 2.0)];
            Series::new(name, colour, points, Marks::Curve)
        };
        let names: Vec<String> = (0..10).map(|i| format!("glyphs-attention-3lq{i}")).collect();
        let all = names.iter().enumerate().map(|(i, name)| series(name, i)).collect();
        let panel = Panel { series: all, ..Panel::default() };
        let found = legend(std::slice::from_ref(&panel), PANEL.0);
        let letters: String = found.iter().filter_map(|entry| entry.letter).collect();
        assert_eq!(letters, "ABCDEFGHIJ");
        assert!(found.iter().all(|entry| entry.place.1 + 120 < PANEL.0 as i32));
        let n_rows = found.last().unwrap().place.0 + 1;
        assert_eq!(n_rows, 5);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        write(&[panel], 1, &path).unwrap();
        let size = image::open(&path).unwrap().into_rgb8().dimensions();
        assert_eq!(size, (PANEL.0, PANEL.1 + n_rows * LEGEND));
        assert_eq!(
            legend(&[Panel { series: vec![series("a", 0)], ..Panel::default() }], 500)[0].letter,
            None
        );
    }
}
