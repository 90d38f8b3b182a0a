//! One recorded curve, and the part of it that a screen can show.
//!
//! Thinned and smoothed curves are cached until the curve changes, so the cost of a frame depends on the width of the
//! screen and not on the length of the curve. Scales, colours and characters are left to `terminal_plot`.

use std::cell::RefCell;
use std::ops::Deref;
use std::sync::Arc;

use super::chart_arithmetic::{Average, Window, extremes};

/// Points kept per curve. A longer curve is thinned to half, and its extremes are kept.
pub const HISTORY_POINTS_MAX: usize = 100_000;
/// Visible parts of one curve that are cached: raw and smoothed, in two charts, before and after a zoom.
const VISIBLE_MAX: usize = 8;

/// Points in increasing order of x; NaN where a value was not finite.
#[derive(Clone, Debug, Default)]
pub struct Series {
    points: Vec<(f64, f64)>,
    /// The values that each point represents, once points were dropped; empty before. The points that are kept are
    /// extremes, which are not the average of their neighbourhood.
    represented: Vec<Represented>,
    cache: RefCell<Cache>,
}

/// The finite values that a point represents: their mean and their number, which need not be whole.
#[derive(Clone, Copy, Debug)]
struct Represented {
    mean: f64,
    n: f64,
}

/// Results computed from the points. A change of the points clears the visible parts; averages continue with new points.
#[derive(Clone, Debug, Default)]
struct Cache {
    smoothed: Option<(Average, Vec<(f64, f64)>)>,
    visible: Vec<(Key, Arc<VisibleCurve>)>,
}

/// Smoothing, window and number of columns; floats by their bits.
type Key = (u64, [u64; 2], usize);

/// The part of a curve that is visible in a window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VisibleCurve {
    /// Parts without a gap; each keeps the smallest and largest value of every column.
    pub pieces: Vec<Vec<(f64, f64)>>,
    /// The x of values that are not finite, at most one per column.
    pub broken: Vec<f64>,
}

impl Series {
    /// A curve of points in increasing order of x.
    pub fn of(points: Vec<(f64, f64)>) -> Self {
        Self { points, represented: Vec::new(), cache: RefCell::default() }
    }

    /// Adds a point; a resumed run goes back to its checkpoint and overwrites what came after it.
    pub fn push(&mut self, x: f64, y: f64) {
        let y = if y.is_finite() { y } else { f64::NAN };
        let kept = self.points.partition_point(|point| point.0 < x);
        let cache = self.cache.get_mut();
        cache.visible.clear();
        if kept < self.points.len() {
            self.points.truncate(kept);
            self.represented.truncate(kept);
            cache.go_back(&self.represented, kept);
        }
        if self.points.len() >= HISTORY_POINTS_MAX {
            (self.points, self.represented) = halved(&self.points, &self.represented);
            cache.smoothed = None;
        }
        self.points.push((x, y));
        if !self.represented.is_empty() {
            self.represented.push(Represented::single(y));
        }
        if let Some((average, smoothed)) = &mut cache.smoothed {
            smoothed.push((x, average.take(y)));
        }
    }

    /// The moving average at the point of index `place`; `past` is the share of its past that the average keeps per
    /// point.
    pub fn smoothed(&self, past: f64, place: usize) -> Option<f64> {
        Some(self.cache.borrow_mut().smoothed(self, past).get(place)?.1)
    }

    /// The part of the curve between the ends of `part`, thinned to `n_columns`. The whole curve is smoothed, not the
    /// part: zooming must not change the average.
    pub fn visible(&self, past: f64, part: [f64; 2], n_columns: usize) -> Arc<VisibleCurve> {
        let key = (past.to_bits(), part.map(f64::to_bits), n_columns);
        let mut cache = self.cache.borrow_mut();
        if let Some((_, visible)) = cache.visible.iter().find(|(of, _)| *of == key) {
            return visible.clone();
        }
        let visible = Arc::new(match past > 0.0 {
            true => VisibleCurve::of(cache.smoothed(self, past), part, n_columns),
            false => VisibleCurve::of(&self.points, part, n_columns),
        });
        if cache.visible.len() >= VISIBLE_MAX {
            cache.visible.remove(0);
        }
        cache.visible.push((key, visible.clone()));
        visible
    }

    /// The index of the last point at or before `x`; `None` if `x` is beyond the ends of the curve.
    pub fn place_at(&self, x: f64) -> Option<usize> {
        let last = self.points.last()?;
        let place = self.points.partition_point(|point| point.0 <= x).checked_sub(1)?;
        (x <= last.0).then_some(place)
    }
}

impl Cache {
    fn smoothed(&mut self, series: &Series, past: f64) -> &[(f64, f64)] {
        if self.smoothed.as_ref().is_none_or(|(average, _)| average.past != past) {
            self.smoothed = None;
        }
        let (_, smoothed) = self.smoothed.get_or_insert_with(|| {
            let mut average = Average::new(past);
            let smoothed = match &series.represented[..] {
                [] => series.points.iter().map(|&(x, y)| (x, average.take(y))).collect(),
                represented => {
                    let points = series.points.iter().zip(represented);
                    let at = |(&(x, y), all)| (x, average.take_represented(y, all));
                    points.map(at).collect()
                }
            };
            (average, smoothed)
        });
        smoothed
    }

    /// Resets the averages to those after the first `kept` points.
    fn go_back(&mut self, represented: &[Represented], kept: usize) {
        let Some((average, smoothed)) = &mut self.smoothed else { return };
        smoothed.truncate(kept);
        let n_finite = match represented {
            [] => smoothed.iter().filter(|point| point.1.is_finite()).count() as f64,
            represented => represented.iter().map(|all| all.n).sum(),
        };
        let last = smoothed.iter().rfind(|point| point.1.is_finite());
        *average = Average::after(average.past, n_finite, last.map_or(0.0, |point| point.1));
    }
}

impl VisibleCurve {
    fn of(points: &[(f64, f64)], part: [f64; 2], n_columns: usize) -> Self {
        let points = Window::cut(points, part);
        let mut visible = Self::default();
        let mut piece = Vec::new();
        if points.len() <= 2 * n_columns {
            // Every gap is wide enough to be seen: a point is a column.
            points.chunks(1).for_each(|point| visible.column(point, &mut piece));
            visible.end(&mut piece);
            return visible;
        }
        let width = (part[1] - part[0]) / n_columns as f64;
        // The points before and after the window are columns too.
        let ends = (0..=n_columns).map(|column| part[0] + column as f64 * width);
        let mut rest = points;
        for end in ends.chain([f64::INFINITY]) {
            let (column, after) = rest.split_at(rest.partition_point(|point| point.0 < end));
            rest = after;
            if !column.is_empty() {
                visible.column(column, &mut piece);
            }
        }
        visible.end(&mut piece);
        visible
    }

    /// Adds the smallest and largest value of a column in their order, and its first gap. A column of gaps ends the piece.
    fn column(&mut self, points: &[(f64, f64)], piece: &mut Vec<(f64, f64)>) {
        let gap = points.iter().find(|point| !point.1.is_finite());
        self.broken.extend(gap.map(|point| point.0));
        match extremes(points) {
            Some(ends) => piece.extend(both(points, ends)),
            None => self.end(piece),
        }
    }

    fn end(&mut self, piece: &mut Vec<(f64, f64)>) {
        if !piece.is_empty() {
            self.pieces.push(std::mem::take(piece));
        }
    }

    pub fn points(&self) -> impl Iterator<Item = &(f64, f64)> {
        self.pieces.iter().flatten()
    }
}

/// The points at two places, or the one point if they are the same place.
fn both(points: &[(f64, f64)], (one, other): (usize, usize)) -> impl Iterator<Item = (f64, f64)> {
    std::iter::once(points[one]).chain((one != other).then(|| points[other]))
}

impl Represented {
    fn single(y: f64) -> Self {
        if y.is_finite() { Self { mean: y, n: 1.0 } } else { Self { mean: 0.0, n: 0.0 } }
    }
}

impl Average {
    /// Adds the values that a point represents; a gap stays a gap.
    fn take_represented(&mut self, y: f64, all: &Represented) -> f64 {
        let average = if all.n > 0.0 { self.take_many(all.mean, all.n) } else { f64::NAN };
        if y.is_finite() { average } else { y }
    }
}

/// Keeps the smallest and largest of every four points, with a gap as one of them. Each represents an equal share of the
/// four.
fn halved(
    points: &[(f64, f64)],
    represented: &[Represented],
) -> (Vec<(f64, f64)>, Vec<Represented>) {
    let mut kept = Vec::with_capacity(points.len() / 2 + 1);
    let mut kept_represented = Vec::with_capacity(points.len() / 2 + 1);
    for (number, four) in points.chunks(4).enumerate() {
        let n_before = kept.len();
        let gap = four.iter().position(|point| !point.1.is_finite());
        let ends = match (gap, extremes(four)) {
            (Some(gap), Some((_, last))) => (gap.min(last), gap.max(last)),
            (gap, ends) => ends.unwrap_or_else(|| (gap.unwrap_or(0), gap.unwrap_or(0))),
        };
        kept.extend(both(four, ends));
        let of = |place: usize| match represented {
            [] => Represented::single(four[place].1),
            represented => represented[4 * number + place],
        };
        let (sum, n) = (0..four.len())
            .map(of)
            .fold((0.0, 0.0), |(sum, n), all| (sum + all.mean * all.n, n + all.n));
        let n_kept = kept.len() - n_before;
        let mean = if n > 0.0 { sum / n } else { 0.0 };
        kept_represented.extend((0..n_kept).map(|_| Represented { mean, n: n / n_kept as f64 }));
    }
    (kept, kept_represented)
}

impl Deref for Series {
    type Target = [(f64, f64)];

    fn deref(&self) -> &Self::Target {
        &self.points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn smooth(points: &[(f64, f64)], past: f64) -> Vec<(f64, f64)> {
        let mut average = Average::new(past);
        points.iter().map(|&(x, y)| (x, average.take(y))).collect()
    }

    fn series(values: impl IntoIterator<Item = f64>) -> Series {
        let mut series = Series::default();
        values.into_iter().enumerate().for_each(|(x, y)| series.push(x as f64, y));
        series
    }

    #[test]
    fn a_resumed_run_overwrites_what_came_after_its_checkpoint() {
        let mut series = series([1.0, 2.0, 3.0]);
        series.push(1.0, 9.0);
        assert_eq!(series[..], [(0.0, 1.0), (1.0, 9.0)]);
    }

    #[test]
    fn history_has_a_bound_and_keeps_extremes_and_gaps() {
        let n = 3 * HISTORY_POINTS_MAX;
        let value = |i| match i {
            5_003 => 99.0,
            7_001 => -99.0,
            9_000 => f64::INFINITY,
            i => (i % 7) as f64,
        };
        let series = series((0..n).map(value));
        assert!(series.len() <= HISTORY_POINTS_MAX && series.len() > HISTORY_POINTS_MAX / 4);
        assert!(series.contains(&(5_003.0, 99.0)) && series.contains(&(7_001.0, -99.0)));
        assert!(series.iter().any(|point| point.0 == 9_000.0 && point.1.is_nan()));
        assert!(series.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn what_is_seen_keeps_every_columns_extremes_and_marks_gaps() {
        let mut values: Vec<f64> = (0..10_000).map(|i| f64::from(i % 7)).collect();
        (values[5_003], values[7_001], values[3]) = (99.0, -99.0, f64::NAN);
        (2_000..2_300).for_each(|i| values[i] = f64::NAN);
        let visible = series(values).visible(0.0, [0.0, 9_999.0], 100);
        assert!(visible.points().count() <= 210);
        assert!(
            visible.points().any(|p| *p == (5_003.0, 99.0))
                && visible.points().any(|p| *p == (7_001.0, -99.0))
        );
        // One lost value is marked, three empty columns break the line too.
        assert_eq!((visible.pieces.len(), visible.broken[0]), (2, 3.0));
        assert!(visible.points().all(|point| point.1.is_finite()));
    }

    #[test]
    fn few_points_are_seen_as_they_are_with_one_on_either_side() {
        let series = series([1.0, 2.0, f64::NAN, 4.0, 5.0, 6.0]);
        let visible = series.visible(0.0, [1.0, 3.5], 40);
        assert_eq!(visible.pieces, [vec![(0.0, 1.0), (1.0, 2.0)], vec![(3.0, 4.0), (4.0, 5.0)]]);
        assert_eq!(visible.broken, [2.0]);
    }

    #[test]
    fn nothing_that_was_worked_out_outlives_a_change() {
        let mut series = series((0..1000).map(f64::from));
        let part = [0.0, 1000.0];
        let before = [series.visible(0.0, part, 10), series.visible(0.9, part, 10)];
        assert!(
            Arc::ptr_eq(&before[0], &series.visible(0.0, part, 10)),
            "kept while nothing changes"
        );
        assert!(!Arc::ptr_eq(&before[0], &series.visible(0.0, part, 11)));
        series.push(999.0, -5.0);
        let after = [series.visible(0.0, part, 10), series.visible(0.9, part, 10)];
        assert!(after[0].points().any(|point| point.1 == -5.0));
        assert_ne!(before[1], after[1]);
    }

    #[test]
    fn averages_that_go_on_are_those_of_the_whole_curve() {
        let mut series =
            series((0..500).map(|i| if i % 50 == 3 { f64::NAN } else { f64::from(i % 11) }));
        let agrees = |series: &Series| {
            let whole = smooth(series, 0.9);
            whole.iter().enumerate().all(|(place, &(_, y))| {
                let found = series.smoothed(0.9, place).unwrap();
                (found - y).abs() < 1e-12 || (found.is_nan() && y.is_nan())
            })
        };
        assert!(agrees(&series));
        series.push(500.0, 30.0);
        assert!(agrees(&series), "after a new point");
        series.push(203.0, 7.0);
        series.push(204.0, -7.0);
        assert!(agrees(&series) && series.len() == 205, "after a checkpoint's return");
        series.push(0.0, 2.0);
        assert_eq!((series.smoothed(0.9, 0), series.smoothed(0.9, 1)), (Some(2.0), None));
        assert!(series.smoothed(0.5, 0).is_some(), "another smoothing");
    }

    #[test]
    fn the_average_of_a_thinned_curve_is_that_of_all_its_points() {
        // Skewed, as losses are: halfway between its extremes is far above its mean.
        let value = |i: usize| ((i * 7919) % 1000) as f64 / 1000.0;
        let value = |i| value(i).powi(8);
        let past = 0.995;
        let mut all = Average::new(past);
        let mut series = Series::default();
        for i in 0..4 * HISTORY_POINTS_MAX {
            series.push(i as f64, value(i));
            all.take(value(i));
            if i % 61_007 == 0 && i > 0 {
                let found = series.smoothed(past, series.len() - 1).unwrap();
                let expected = all.take_many(0.0, 0.0);
                assert!((found - expected).abs() < 0.02, "{i}: {found} {expected}");
            }
        }
        assert!(!series.represented.is_empty());
        // A mean far from the end too, where points were left out over and over.
        let early = series.smoothed(past, series.len() / 2).unwrap();
        assert!((early - 1.0 / 9.0).abs() < 0.02, "{early}");
        // A checkpoint's return keeps what is before it.
        let place = series.len() / 2;
        let before = series.smoothed(past, place).unwrap();
        series.push(series[place + 1].0, 0.0);
        let after = series.smoothed(past, place).unwrap();
        assert!((before - after).abs() < 1e-9 && series.len() == place + 2);
        let next = series.smoothed(past, place + 1).unwrap();
        assert!((next - past * before).abs() < 1e-3, "{next} {before}");
    }

    #[test]
    fn a_reading_is_of_the_last_point_before_and_of_none_beyond_the_end() {
        let mut series = Series::default();
        [10.0, 20.0, 30.0].into_iter().for_each(|x| series.push(x, x));
        assert_eq!(
            [5.0, 10.0, 25.0, 30.0, 31.0].map(|x| series.place_at(x)),
            [None, Some(0), Some(1), Some(2), None]
        );
    }
}
