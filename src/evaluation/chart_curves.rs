//! The curves and dots of a chart.
//!
//! Colours are Okabe & Ito's, which people with any colour vision can tell apart. There are seven beside black and grey;
//! the curves after the seventh repeat them with dashes and hollow dots, and those after the fourteenth with dotted lines
//! and crosses.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use crate::image::picture_text::FIXED_FONT;

/// Number of black, for the network beside machines.
pub const BLACK: usize = usize::MAX;
/// Number of grey, for limits and other lines of reference.
pub const GREY: usize = usize::MAX - 1;

const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(170, 160, 20),
];
const GREY_COLOUR: RGBColor = RGBColor(120, 120, 120);

/// Opacity of a band.
const BAND: f64 = 0.22;

/// How lines and dots of one colour differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pattern {
    /// Continuous lines, filled dots.
    Solid,
    /// Dashes, hollow dots.
    Dashed,
    /// Dotted lines, crosses.
    Dotted,
}

impl Pattern {
    /// Pixels of a stroke and of the gap behind it; `None` for a continuous line.
    fn strokes(self) -> Option<(u32, u32)> {
        match self {
            Self::Solid => None,
            Self::Dashed => Some((9, 6)),
            Self::Dotted => Some((3, 4)),
        }
    }
}

/// The colour and the pattern of a number: no two numbers below 21 have both in common.
fn appearance(colour: usize) -> (RGBColor, Pattern) {
    match colour {
        BLACK => (RGBColor(0, 0, 0), Pattern::Solid),
        GREY => (GREY_COLOUR, Pattern::Dashed),
        _ => {
            let patterns = [Pattern::Solid, Pattern::Dashed, Pattern::Dotted];
            (COLOURS[colour % COLOURS.len()], patterns[colour / COLOURS.len() % patterns.len()])
        }
    }
}

/// Points of one colour. Points that are not numbers are left out, and a line has a gap there.
#[derive(Clone, Debug)]
pub struct Series {
    pub name: String,
    /// Number of its colour and pattern, the same in every panel of a figure: from 0, or [`BLACK`] or [`GREY`].
    pub colour: usize,
    pub points: Vec<(f64, f64)>,
    /// Lower and upper end of each point's band; empty for a curve without a band.
    pub band: Vec<(f64, f64)>,
    pub marks: Marks,
}

impl Series {
    pub fn new(name: &str, colour: usize, points: Vec<(f64, f64)>, marks: Marks) -> Self {
        Self { name: name.to_owned(), colour, points, band: Vec::new(), marks }
    }

    /// A line with a dot at every point.
    pub fn line(name: &str, colour: usize, points: Vec<(f64, f64)>) -> Self {
        Self::new(name, colour, points, Marks::Line)
    }

    /// Whether a part of it lies above or below the range `y` and is not drawn.
    pub fn is_cut(&self, y: &Range<f64>) -> bool {
        let is_outside = |value: f64| !value.is_nan() && !(y.start..=y.end).contains(&value);
        self.points.iter().any(|point| point.0.is_finite() && is_outside(point.1))
    }

    /// The series with all values (y) mapped.
    pub fn map_values(&self, map: impl Fn(f64) -> f64) -> Self {
        Self {
            points: self.points.iter().map(|&(x, y)| (x, map(y))).collect(),
            band: self.band.iter().map(|&(low, high)| (map(low), map(high))).collect(),
            ..self.clone()
        }
    }
}

/// How the points of a series are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marks {
    /// With a dot at every point.
    Line,
    /// The line alone, for many points.
    Curve,
    Dots,
}

/// What is drawn into, as pixels or as SVG: both axes are linear.
pub type Chart<'a, B> = ChartContext<'a, B, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Draws a series, and its `letter` at a share of its points. What is above or below the chart's range of values, `y`, is
/// left out.
///
/// # Errors
///
/// If drawing fails.
pub fn draw_series<B: DrawingBackend>(
    chart: &mut Chart<'_, B>,
    series: &Series,
    y: &Range<f64>,
    letter: Option<(char, f64)>,
) -> Result<(), Box<dyn std::error::Error>>
where
    B::ErrorType: 'static,
{
    let (colour, pattern) = appearance(series.colour);
    let is_inside = |point: &&(f64, f64)| has_place(point) && (y.start..=y.end).contains(&point.1);
    let inside = || series.points.iter().filter(is_inside);
    if series.marks == Marks::Dots {
        return draw_dots(chart, inside(), 3, colour.mix(0.75), pattern);
    }
    draw_band(chart, series, y)?;
    let style = colour.stroke_width(2);
    for line in lines_within(&series.points, y) {
        match pattern.strokes() {
            None => chart.draw_series(LineSeries::new(line, style))?,
            Some((stroke, gap)) => {
                chart.draw_series(DashedLineSeries::new(line, stroke, gap, style))?
            }
        };
    }
    if series.marks == Marks::Line && series.colour != GREY {
        draw_dots(chart, inside(), 2, colour.to_rgba(), pattern)?;
    }
    let Some((letter, share)) = letter else { return Ok(()) };
    let points: Vec<&(f64, f64)> = inside().collect();
    let Some(&&at) = points.get((points.len() as f64 * share) as usize) else { return Ok(()) };
    let style = (FIXED_FONT, 17).into_font().color(&RGBColor(0, 0, 0));
    let letter = EmptyElement::at(at) + Text::new(letter.to_string(), (-4, -15), style);
    chart.draw_series([letter])?;
    Ok(())
}

/// The band between the ends of a curve.
fn draw_band<B: DrawingBackend>(
    chart: &mut Chart<'_, B>,
    series: &Series,
    y: &Range<f64>,
) -> Result<(), Box<dyn std::error::Error>>
where
    B::ErrorType: 'static,
{
    let colour = appearance(series.colour).0.mix(BAND);
    let ends: Vec<_> = series.points.iter().zip(&series.band).collect();
    let is_gap = |(point, band): &(&(f64, f64), &(f64, f64))| {
        let is_outside = band.1 < y.start || band.0 > y.end;
        !has_place(point) || band.0.is_nan() || band.1.is_nan() || is_outside
    };
    for piece in ends.split(is_gap).filter(|piece| piece.len() > 1) {
        let lower = piece.iter().map(|(point, band)| (point.0, band.0.clamp(y.start, y.end)));
        let upper = piece.iter().rev().map(|(point, band)| (point.0, band.1.clamp(y.start, y.end)));
        let outline: Vec<_> = lower.chain(upper).collect();
        chart.draw_series([Polygon::new(outline, colour.filled())])?;
    }
    Ok(())
}

fn draw_dots<'a, B: DrawingBackend>(
    chart: &mut Chart<'_, B>,
    points: impl Iterator<Item = &'a (f64, f64)>,
    radius: i32,
    colour: RGBAColor,
    pattern: Pattern,
) -> Result<(), Box<dyn std::error::Error>>
where
    B::ErrorType: 'static,
{
    match pattern {
        Pattern::Solid => {
            chart.draw_series(points.map(|&at| Circle::new(at, radius, colour.filled())))?;
        }
        Pattern::Dashed => {
            let style = colour.stroke_width(1);
            chart.draw_series(points.map(|&at| Circle::new(at, radius + 1, style)))?;
        }
        Pattern::Dotted => {
            let style = colour.stroke_width(1);
            chart.draw_series(points.map(|&at| Cross::new(at, radius + 1, style)))?;
        }
    }
    Ok(())
}

/// Draws the mark of a colour's number into a legend, around `(x, y)`.
///
/// # Errors
///
/// If drawing fails.
pub fn draw_legend_mark<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    colour: usize,
    (x, y): (i32, i32),
) -> anyhow::Result<()>
where
    B::ErrorType: 'static,
{
    let (rgb, pattern) = appearance(colour);
    let Some((stroke, _)) = pattern.strokes() else {
        area.draw(&Circle::new((x, y), 5, rgb.filled()))?;
        return Ok(());
    };
    // A stroke on each side of the mark that dots have.
    let stroke = stroke as i32;
    let sides = [[x - 5 - stroke, x - 5], [x + 5, x + 5 + stroke]];
    let sides = if colour == GREY { [[x - 12, x - 2], [x + 3, x + 12]] } else { sides };
    for side in sides {
        area.draw(&PathElement::new(side.map(|x| (x, y)).to_vec(), rgb.stroke_width(2)))?;
    }
    match (colour, pattern) {
        (GREY, _) => {}
        (_, Pattern::Dotted) => area.draw(&Cross::new((x, y), 4, rgb.stroke_width(2)))?,
        _ => area.draw(&Circle::new((x, y), 4, rgb.stroke_width(2)))?,
    }
    Ok(())
}

/// The lines through `points`, cut where they leave the range `y`.
fn lines_within(points: &[(f64, f64)], y: &Range<f64>) -> Vec<Vec<(f64, f64)>> {
    let mut lines: Vec<Vec<(f64, f64)>> = Vec::new();
    for pair in points.windows(2).filter(|pair| pair.iter().all(has_place)) {
        // An infinite value is at the edge.
        let [a, b] = [pair[0], pair[1]].map(|(x, value)| match value.is_infinite() {
            true => (x, value.clamp(y.start, y.end)),
            false => (x, value),
        });
        // Shares of the way from a to b at which the line enters and leaves the range.
        let at = |edge: f64| (edge - a.1) / (b.1 - a.1);
        let (enter, leave) = match (at(y.start), at(y.end)) {
            _ if a.1 == b.1 => {
                if (y.start..=y.end).contains(&a.1) {
                    (0.0, 1.0)
                } else {
                    continue;
                }
            }
            (low, high) => (low.min(high).max(0.0), low.max(high).min(1.0)),
        };
        if enter > leave {
            continue;
        }
        let point = |share: f64| match share {
            0.0 => a,
            1.0 => b,
            _ => (a.0 + share * (b.0 - a.0), a.1 + share * (b.1 - a.1)),
        };
        let (first, last) = (point(enter), point(leave));
        match lines.last_mut().filter(|line| line.last() == Some(&first)) {
            Some(line) => line.push(last),
            None => lines.push(vec![first, last]),
        }
    }
    lines
}

/// Whether a point can be drawn; an infinite value is at the edge of the chart.
fn has_place(&(x, y): &(f64, f64)) -> bool {
    x.is_finite() && !y.is_nan()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn lines_are_cut_where_they_leave_the_chart() {
        let points = [(0.0, 1.0), (1.0, 3.0), (2.0, 1.0), (3.0, f64::NAN), (4.0, 1.0), (5.0, 0.5)];
        let found = lines_within(&points, &(0.0..2.0));
        let expected =
            [[(0.0, 1.0), (0.5, 2.0)], [(1.5, 2.0), (2.0, 1.0)], [(4.0, 1.0), (5.0, 0.5)]];
        assert_eq!(found, expected.map(|line| line.to_vec()));
        // Below the end of a logarithmic axis.
        let fallen = lines_within(&[(0.0, f64::NEG_INFINITY), (1.0, 1.0)], &(0.0..2.0));
        assert_eq!(fallen, [vec![(0.0, 0.0), (1.0, 1.0)]]);
        assert!(lines_within(&[(0.0, 5.0), (1.0, 5.0), (2.0, 9.0)], &(0.0..2.0)).is_empty());
    }

    #[test]
    fn no_two_of_many_curves_look_alike() {
        let look = |number: usize| {
            let (RGBColor(red, green, blue), pattern) = appearance(number);
            (red, green, blue, format!("{pattern:?}"))
        };
        let all: HashSet<_> = (0..21).chain([BLACK, GREY]).map(look).collect();
        assert_eq!(all.len(), 23);
    }
}
