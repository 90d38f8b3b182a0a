//! Which curves the charts show, and what the crosshair reads from them.
//!
//! Readings are of the recorded points, never of the screen. Curves are read at their last point at or before the
//! crosshair.

use super::app::App;
use crate::tui::chart_arithmetic::{bounds, letter, level_letter};
use crate::tui::colour_theme::CurveColour;
use crate::tui::curve_points::Series;
use crate::tui::recorded_curves::Quantity;

/// One curve of a chart.
pub struct ChartCurve<'a> {
    /// A run, or which of several curves of one run; empty if there is only one curve.
    pub name: String,
    pub letter: Option<char>,
    pub colour: CurveColour,
    pub series: &'a Series,
}

/// The value of a curve at one place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Value {
    /// The x of the recorded point.
    pub x: f64,
    pub raw: f64,
    /// The moving average, if curves are smoothed.
    pub smoothed: Option<f64>,
}

/// What the crosshair reads from one curve; a value is `None` beyond the ends of the curve.
pub struct CurveReading<'a> {
    pub curve: ChartCurve<'a>,
    pub here: Option<Value>,
    pub anchor: Option<Value>,
}

/// The smallest and largest x of these curves.
pub fn full_range(curves: &[ChartCurve<'_>]) -> [f64; 2] {
    let ends = curves.iter().flat_map(|curve| [curve.series.first(), curve.series.last()]);
    bounds(ends.flatten().map(|point| point.0), 0.0)
}

impl App {
    /// The curves of the upper chart; the crosshair follows the first one.
    pub fn chart_curves(&self) -> Vec<ChartCurve<'_>> {
        self.curves_of(self.charts.quantity)
    }

    /// The curves of a quantity: those of the open run and, if a run has only one, those of the marked runs.
    pub fn curves_of(&self, quantity: Quantity) -> Vec<ChartCurve<'_>> {
        let Some(open) = &self.open_run else { return Vec::new() };
        if !quantity.is_single() {
            let n = open.curves.of(quantity).count();
            let look = |index| match quantity.is_by_level() {
                true => (level_letter(index), CurveColour::Level { index, n }),
                false => (letter(index), CurveColour::Category(index)),
            };
            let curves = open.curves.of(quantity).enumerate().map(|(index, recorded)| {
                let (letter, colour) = look(index);
                let name = recorded.name.clone();
                ChartCurve { name, letter: Some(letter), colour, series: &recorded.series }
            });
            return curves.collect();
        }
        let is_alone = self.other_marked().next().is_none();
        let number = self.marked.iter().position(|run| run.id == open.id);
        let own = open.curves.of(quantity).map(|recorded| ChartCurve {
            name: if is_alone { String::new() } else { open.id.clone() },
            letter: number.filter(|_| !is_alone).map(letter),
            colour: CurveColour::OpenRun,
            series: &recorded.series,
        });
        let others = self.other_marked().flat_map(|(number, run)| {
            run.curves.of(quantity).map(move |recorded| ChartCurve {
                name: run.id.clone(),
                letter: Some(letter(number)),
                colour: CurveColour::Category(number + 1),
                series: &recorded.series,
            })
        });
        own.chain(others).collect()
    }

    /// What the lower chart shows: attention entropy; of a network without attention r^2, or the loss if r^2 is above.
    pub fn lower_quantity(&self) -> Quantity {
        let experiment = self.open_run.as_ref().and_then(|run| run.experiment.as_ref());
        match experiment.is_some_and(|experiment| experiment.network.attention.is_none()) {
            false => Quantity::Entropy,
            true if self.charts.quantity == Quantity::SquaredCorrelation => Quantity::Loss,
            true => Quantity::SquaredCorrelation,
        }
    }

    /// The part of the x axis that the window leaves visible.
    pub fn visible_range(&self, curves: &[ChartCurve<'_>]) -> [f64; 2] {
        self.charts.window.of(full_range(curves))
    }

    /// What the crosshair reads from each curve of the upper chart.
    pub fn crosshair_readings(&self) -> Vec<CurveReading<'_>> {
        let Some(crosshair) = self.charts.crosshair else { return Vec::new() };
        let smoothing = self.charts.smoothing_of(self.charts.quantity);
        let value = |series: &Series, x: f64| {
            let place = series.place_at(x)?;
            let smoothed = series.smoothed(smoothing, place).filter(|_| smoothing > 0.0);
            Some(Value { x: series[place].0, raw: series[place].1, smoothed })
        };
        let readings = self.chart_curves().into_iter().map(|curve| CurveReading {
            here: value(curve.series, crosshair.x),
            anchor: crosshair.anchor.and_then(|x| value(curve.series, x)),
            curve,
        });
        readings.collect()
    }
}
