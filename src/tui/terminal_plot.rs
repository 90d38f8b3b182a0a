//! Draws curves with axes into cells. Letters tell the curves apart without colour.
//!
//! ```text
//! 1.28│⡀               A glyphs-cnn      letters are at a curve's end and along it, as in the list of runs
//!     │⠈⠢⣀     ┊                         the crosshair, and the anchor of differences
//!     │   ⠉A⠒⠒⠤┊⠤⣀A
//! 0.01│     •  ┊  ⠉                      a value that is not finite
//!     └───────────
//!     0       1500
//! ```

use std::sync::Arc;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;
use ratatui::widgets::canvas::{Canvas, Line as Stroke, Points};

use super::chart_arithmetic::bounds;
use super::colour_theme::{Strokes, Theme};
use super::curve_points::VisibleCurve;
use super::number_and_text_format::{clipped_name, number};
use super::state::Dots;

/// Smallest width and height of a chart with axes.
const AXES: (u16, u16) = (16, 5);

/// One curve.
#[derive(Clone, Debug)]
pub struct Curve {
    /// The name in the legend; empty for a curve that is not in it.
    pub name: String,
    /// The letter drawn at its end and along it.
    pub letter: Option<char>,
    pub style: Style,
    pub strokes: Strokes,
    /// Whether it is drawn under all others.
    pub is_faint: bool,
    pub visible: Arc<VisibleCurve>,
}

impl Curve {
    /// A curve under all others, without a letter.
    pub fn faint(name: &str, theme: Theme, visible: Arc<VisibleCurve>) -> Self {
        Self {
            name: name.to_owned(),
            letter: None,
            style: theme.faint(),
            strokes: Strokes::Continuous,
            is_faint: true,
            visible,
        }
    }
}

/// Curves and the window that is drawn.
#[derive(Clone, Debug, Default)]
pub struct Plot {
    pub curves: Vec<Curve>,
    pub x: [f64; 2],
    pub has_log_scale: bool,
    pub dots: Dots,
    /// The x of the crosshair, and of the anchor of differences.
    pub crosshair: Option<f64>,
    pub anchor: Option<f64>,
}

impl Plot {
    pub fn is_empty(&self) -> bool {
        self.curves.iter().all(|curve| curve.visible.pieces.is_empty())
    }

    /// Draws the plot into `area`.
    pub fn draw(&self, theme: Theme, area: Rect, buffer: &mut Buffer) {
        let area = area.intersection(buffer.area);
        if area.is_empty() {
            return;
        }
        let y = self.range();
        let graph = self.axes(theme, y, area, buffer);
        if graph.is_empty() {
            return;
        }
        let place = Place { graph, x: self.x, y };
        for (at, symbol) in [(self.anchor, "┊"), (self.crosshair, "│")] {
            let Some(column) = at.and_then(|x| place.column(x)) else { continue };
            for row in graph.top()..graph.bottom() {
                buffer[(column, row)].set_symbol(symbol).set_style(theme.faint());
            }
        }
        for is_faint in [true, false] {
            self.strokes(theme, is_faint, &place, buffer);
        }
        let has_gaps = self.gaps(theme, &place, buffer);
        self.letters(&place, buffer);
        self.legend(theme, has_gaps, graph, buffer);
    }

    fn scaled(&self, y: f64) -> f64 {
        if self.has_log_scale { y.log10() } else { y }
    }

    /// The smallest and largest visible value, scaled, with a margin.
    fn range(&self) -> [f64; 2] {
        let within = |x: f64| (self.x[0]..=self.x[1]).contains(&x);
        let all = || self.curves.iter().flat_map(|curve| curve.visible.points());
        let inside = all().any(|point| within(point.0));
        let values =
            all().filter(|point| !inside || within(point.0)).map(|point| self.scaled(point.1));
        bounds(values, 0.05)
    }

    /// Draws the axes and returns the area within them.
    fn axes(&self, theme: Theme, y: [f64; 2], area: Rect, buffer: &mut Buffer) -> Rect {
        if area.width < AXES.0 || area.height < AXES.1 {
            return area;
        }
        let value = |y: f64| number(if self.has_log_scale { 10_f64.powf(y) } else { y });
        let labels = [y[1], f64::midpoint(y[0], y[1]), y[0]].map(value);
        let gutter = labels.iter().map(|label| label.len()).max().unwrap_or(0) as u16;
        let (left, foot) = (area.x + gutter, area.bottom() - 2);
        let graph = Rect::new(left + 1, area.y, area.width - gutter - 1, area.height - 2);
        let rows = [graph.top(), graph.top() + (graph.height - 1) / 2, graph.bottom() - 1];
        for (label, row) in labels.iter().zip(rows) {
            buffer.set_stringn(area.x, row, label, usize::from(gutter), theme.faint());
        }
        for row in graph.top()..graph.bottom() {
            buffer[(left, row)].set_symbol("│").set_style(theme.faint());
        }
        let line = format!("└{}", "─".repeat(usize::from(graph.width)));
        buffer.set_stringn(left, foot, line, usize::from(graph.width) + 1, theme.faint());
        let digits = if self.x[1] - self.x[0] > 10.0 { 0 } else { 2 };
        let [first, last] = self.x.map(|x| format!("{x:.digits$}"));
        let room = usize::from(graph.width);
        buffer.set_stringn(graph.x, foot + 1, &first, room, theme.faint());
        if first.len() + last.len() < room {
            let x = graph.right() - last.len() as u16;
            buffer.set_stringn(x, foot + 1, &last, last.len(), theme.faint());
        }
        graph
    }

    /// Draws all faint or all other curves in one pass, so that curves which share a cell keep their dots.
    fn strokes(&self, theme: Theme, is_faint: bool, place: &Place, buffer: &mut Buffer) {
        let mut sheet = Buffer::empty(place.graph);
        let curves = || self.curves.iter().filter(|curve| curve.is_faint == is_faint);
        Canvas::default()
            .x_bounds(place.x)
            .y_bounds(place.y)
            .marker(marker(self.dots))
            .paint(|context| {
                for curve in curves() {
                    let color = curve.style.fg.unwrap_or(Color::Reset);
                    for piece in &curve.visible.pieces {
                        if let [(x, y)] = piece[..] {
                            let coords = &[(x, self.scaled(y))];
                            context.draw(&Points { coords, color });
                        }
                        for pair in piece.windows(2) {
                            let [y1, y2] = [pair[0].1, pair[1].1].map(|y| self.scaled(y));
                            // A logarithmic axis has no zero.
                            if !y1.is_finite() || !y2.is_finite() {
                                continue;
                            }
                            let (x1, x2) = (pair[0].0, pair[1].0);
                            for [a, b] in place.strokes(curve.strokes, [x1, x2]) {
                                let at = |x: f64| match x {
                                    _ if x == x1 => y1,
                                    _ if x == x2 => y2,
                                    _ => y1 + (y2 - y1) * (x - x1) / (x2 - x1),
                                };
                                let last = if x1 == x2 { y2 } else { at(b) };
                                context.draw(&Stroke::new(a, at(a), b, last, color));
                            }
                        }
                    }
                }
            })
            .render(place.graph, &mut sheet);
        // Without colours, faint curves are dim.
        let dim = if is_faint { theme.faint().add_modifier } else { Default::default() };
        for (drawn, cell) in sheet.content.iter().zip(place.graph.positions()) {
            if !matches!(drawn.symbol(), " " | "\u{2800}") {
                let style = Style::reset().fg(drawn.fg).add_modifier(dim);
                buffer[cell].set_symbol(drawn.symbol()).set_style(style);
            }
        }
    }

    /// Marks values that are not finite at the bottom. Returns whether there are any.
    fn gaps(&self, theme: Theme, place: &Place, buffer: &mut Buffer) -> bool {
        let broken = self.curves.iter().flat_map(|curve| &curve.visible.broken);
        let mut any = false;
        for column in broken.filter_map(|x| place.column(*x)) {
            any = true;
            let row = place.graph.bottom() - 1;
            buffer[(column, row)].set_symbol("•").set_style(theme.bad());
        }
        any
    }

    /// Draws each curve's letter at its end and, if there is room, along it.
    fn letters(&self, place: &Place, buffer: &mut Buffer) {
        let mut taken: Vec<(u16, u16)> = Vec::new();
        let width = f64::from(place.graph.width);
        let shares: &[f64] = if width < 30.0 { &[1.0] } else { &[1.0, 0.65, 0.3] };
        for share in shares {
            for curve in self.curves.iter().filter(|curve| !curve.is_faint) {
                let Some(letter) = curve.letter else { continue };
                // If the cell is taken, a little earlier on the same curve.
                let tries = (0..8).map(|shift| share * width - 1.5 - 3.0 * f64::from(shift));
                let found = tries.filter_map(|at| self.cell_before(curve, at, place));
                let free = |cell: &(u16, u16)| !taken.contains(cell);
                let Some(cell) = found.into_iter().find(free) else { continue };
                taken.push(cell);
                buffer[cell].set_char(letter).set_style(curve.style);
            }
        }
    }

    /// The cell of the curve at `column` of the graph, or at its last point before that.
    fn cell_before(&self, curve: &Curve, column: f64, place: &Place) -> Option<(u16, u16)> {
        let share = column / f64::from(place.graph.width);
        let x = place.x[0] + share * (place.x[1] - place.x[0]);
        let piece = curve.visible.pieces.iter().rfind(|piece| piece[0].0 <= x)?;
        let after = piece.partition_point(|point| point.0 <= x);
        let (x1, y1) = piece[after - 1];
        // Between two points the curve is a line.
        let (x, y) = match piece.get(after) {
            Some((x2, y2)) => {
                let (a, b) = (self.scaled(y1), self.scaled(*y2));
                (x, a + (b - a) * (x - x1) / (x2 - x1))
            }
            None => (x1, self.scaled(y1)),
        };
        Some((place.column(x)?, place.row(y)?))
    }

    fn legend(&self, theme: Theme, has_gaps: bool, graph: Rect, buffer: &mut Buffer) {
        let room = usize::from(graph.width) * 3 / 5;
        let entry = |curve: &Curve| {
            let mark = curve.letter.map_or("─ ".to_owned(), |letter| format!("{letter} "));
            let name = clipped_name(&curve.name, room.saturating_sub(2));
            Line::from(vec![Span::styled(mark, curve.style), Span::styled(name, curve.style)])
        };
        let named = self.curves.iter().filter(|curve| !curve.name.is_empty());
        let mut entries: Vec<Line> = named.map(entry).collect();
        if has_gaps {
            entries.push(Line::styled("• not finite", theme.bad()));
        }
        let width = entries.iter().map(Line::width).max().unwrap_or(0);
        if width > room || entries.len() * 3 > usize::from(graph.height) * 2 {
            Self::legend_line(&entries, graph, buffer);
            return;
        }
        for (row, line) in entries.iter().enumerate() {
            let (x, y) = (graph.right() - width as u16, graph.y + row as u16);
            let under = Rect::new(x, y, width as u16, 1);
            under.positions().for_each(|cell| buffer[cell].reset());
            buffer.set_line(x, y, line, width as u16);
        }
    }

    /// Draws the legend of a low chart in one line at the top. It may cover points, but letters without a legend would mean
    /// nothing.
    fn legend_line(entries: &[Line<'_>], graph: Rect, buffer: &mut Buffer) {
        let width = entries.iter().map(|entry| entry.width() + 2).sum::<usize>();
        if entries.len() < 2 || width > usize::from(graph.width) || graph.height < 4 {
            return;
        }
        let mut x = graph.right() - width as u16;
        for entry in entries {
            let n = entry.width() as u16;
            Rect::new(x, graph.y, n + 2, 1).positions().for_each(|cell| buffer[cell].reset());
            buffer.set_line(x + 1, graph.y, entry, n);
            x += n + 2;
        }
    }
}

/// The marker of ratatui's canvas.
fn marker(dots: Dots) -> Marker {
    match dots {
        Dots::Braille => Marker::Braille,
        // Half blocks need a background, which NO_COLOR does not allow.
        Dots::Blocks => Marker::Quadrant,
        Dots::Dots => Marker::Dot,
    }
}

/// Maps values to cells.
struct Place {
    graph: Rect,
    x: [f64; 2],
    y: [f64; 2],
}

impl Place {
    /// The parts of a line between two x that are drawn.
    fn strokes(&self, strokes: Strokes, [from, to]: [f64; 2]) -> Vec<[f64; 2]> {
        let Some((stroke, gap)) = strokes.lengths() else { return vec![[from, to]] };
        let column = (self.x[1] - self.x[0]) / f64::from(self.graph.width.max(1));
        let period = (stroke + gap) * column;
        // Strokes begin at the same places for all pieces of a curve.
        let number = |x: f64| ((x - self.x[0]) / period).floor();
        let (from, to) = (from.max(self.x[0]), to.min(self.x[1]));
        let (mut parts, mut at) = (Vec::new(), number(from));
        while from <= to && at <= number(to) {
            let start = self.x[0] + at * period;
            let part = [start.max(from), (start + stroke * column).min(to)];
            if part[0] <= part[1] {
                parts.push(part);
            }
            at += 1.0;
        }
        parts
    }

    fn column(&self, x: f64) -> Option<u16> {
        let share = (x - self.x[0]) / (self.x[1] - self.x[0]);
        let column = (share * f64::from(self.graph.width - 1)).round();
        (0.0..=1.0).contains(&share).then(|| self.graph.x + column as u16)
    }

    fn row(&self, y: f64) -> Option<u16> {
        let share = (self.y[1] - y) / (self.y[1] - self.y[0]);
        let row = (share * f64::from(self.graph.height - 1)).round();
        (0.0..=1.0).contains(&share).then(|| self.graph.y + row as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_cover_their_share_of_a_line_in_whatever_pieces_it_comes() {
        let place = Place { graph: Rect::new(0, 0, 60, 10), x: [0.0, 120.0], y: [0.0, 1.0] };
        let covered = |strokes, pieces: &[[f64; 2]]| {
            let parts = pieces.iter().flat_map(|piece| place.strokes(strokes, *piece));
            parts.map(|[a, b]| b - a).sum::<f64>()
        };
        let many: Vec<[f64; 2]> =
            (0..480).map(|i| [f64::from(i) * 0.25, f64::from(i + 1) * 0.25]).collect();
        for (strokes, length) in
            [(Strokes::Continuous, 120.0), (Strokes::Dashed, 80.0), (Strokes::Dotted, 40.0)]
        {
            for pieces in [&[[0.0, 120.0]][..], &many] {
                let found = covered(strokes, pieces);
                assert!((found - length).abs() < 1e-9, "{strokes:?}: {found}");
            }
        }
        // Beyond the window nothing is drawn, and nothing is counted off.
        assert_eq!(place.strokes(Strokes::Dashed, [-1e300, -1.0]).len(), 0);
        assert_eq!(place.strokes(Strokes::Dashed, [-1e300, 5.0]), [[0.0, 4.0]]);
    }
}
