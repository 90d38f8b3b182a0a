//! One recorded curve, and what of it fits a screen.
//!
//! What was thinned or smoothed for a frame is kept for the next one, until the curve changes: a frame then costs what
//! the screen's width costs, however long the curve is. Deliberately absent: scales, colours and characters.

use std::cell::RefCell;
use std::ops::Deref;
use std::sync::Arc;

use super::chart::{Average, Window, thin};

/// Points kept per curve; beyond it they are thinned to half, extremes first.
pub const HISTORY_POINTS_MAX: usize = 100_000;
/// Windows of one curve that are kept: raw and smoothed, in two places, before and after a zoom.
const SEEN_MAX: usize = 8;

/// Points in increasing order of x; NaN where a value was not finite.
#[derive(Debug, Default)]
pub struct Series {
    points: Vec<(f64, f64)>,
    /// What each point stands for once some were left out; empty while all are there. Extremes are what is drawn of a
    /// stretch, but not what it is on average.
    stands: Vec<Stand>,
    memo: RefCell<Memo>,
}

/// The finite values that a point stands for: their mean and how many.
#[derive(Clone, Copy, Debug)]
struct Stand {
    mean: f64,
    n: f64,
}

/// What was worked out of the points. Windows go with each change of them; averages go on with new points.
#[derive(Debug, Default)]
struct Memo {
    smoothed: Option<(Average, Vec<(f64, f64)>)>,
    seen: Vec<(Key, Arc<VisibleCurve>)>,
}

/// Smoothing, window and number of columns; floats by their bits.
type Key = (u64, [u64; 2], usize);

/// What of a curve is seen in a window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VisibleCurve {
    /// Stretches without a gap; each keeps the extremes of every column.
    pub pieces: Vec<Vec<(f64, f64)>>,
    /// Where values were not finite, one a column at most.
    pub broken: Vec<f64>,
}

impl Series {
    /// Points in increasing order of x.
    pub fn of(points: Vec<(f64, f64)>) -> Self {
        Self { points, stands: Vec::new(), memo: RefCell::default() }
    }

    /// Adds a point; a resumed run goes back to its checkpoint and overwrites what came after it.
    pub fn push(&mut self, x: f64, y: f64) {
        let y = if y.is_finite() { y } else { f64::NAN };
        let kept = self.points.partition_point(|point| point.0 < x);
        let memo = self.memo.get_mut();
        memo.seen.clear();
        if kept < self.points.len() {
            self.points.truncate(kept);
            self.stands.truncate(kept);
            memo.go_back(&self.stands, kept);
        }
        if self.points.len() >= HISTORY_POINTS_MAX {
            (self.points, self.stands) = halved(&self.points, &self.stands);
            memo.smoothed = None;
        }
        self.points.push((x, y));
        if !self.stands.is_empty() {
            self.stands.push(Stand::alone(y));
        }
        if let Some((average, smoothed)) = &mut memo.smoothed {
            smoothed.push((x, average.take(y)));
        }
    }

    /// Whether points were left out, so that extremes stand for stretches.
    pub fn is_thinned(&self) -> bool {
        !self.stands.is_empty()
    }

    /// The smoothed value of the point at `place`; `past` is the share that the average remembers per point.
    pub fn smoothed(&self, past: f64, place: usize) -> Option<f64> {
        Some(self.memo.borrow_mut().smoothed(self, past).get(place)?.1)
    }

    /// What is seen between the ends of `part` in `n_columns`. A curve is smoothed as a whole: a closer look must not
    /// change it.
    pub fn seen(&self, past: f64, part: [f64; 2], n_columns: usize) -> Arc<VisibleCurve> {
        let key = (past.to_bits(), part.map(f64::to_bits), n_columns);
        let known = |memo: &Memo| {
            let found = memo.seen.iter().find(|(of, _)| *of == key);
            found.map(|(_, seen)| seen.clone())
        };
        if let Some(seen) = known(&self.memo.borrow()) {
            return seen;
        }
        let mut memo = self.memo.borrow_mut();
        let seen = Arc::new(match past > 0.0 {
            true => VisibleCurve::of(memo.smoothed(self, past), part, n_columns),
            false => VisibleCurve::of(&self.points, part, n_columns),
        });
        if memo.seen.len() >= SEEN_MAX {
            memo.seen.remove(0);
        }
        memo.seen.push((key, seen.clone()));
        seen
    }

    /// The place of the last point at `x` or before it, if the curve reaches as far.
    pub fn place_at(&self, x: f64) -> Option<usize> {
        let last = self.points.last()?;
        let place = self.points.partition_point(|point| point.0 <= x).checked_sub(1)?;
        (x <= last.0).then_some(place)
    }
}

impl Memo {
    fn smoothed(&mut self, series: &Series, past: f64) -> &[(f64, f64)] {
        if self.smoothed.as_ref().is_none_or(|(average, _)| average.past() != past) {
            self.smoothed = None;
        }
        let (_, smoothed) = self.smoothed.get_or_insert_with(|| {
            let mut average = Average::new(past);
            let smoothed = match &series.stands[..] {
                [] => series.points.iter().map(|&(x, y)| (x, average.take(y))).collect(),
                stands => {
                    let points = series.points.iter().zip(stands);
                    let at = |(&(x, y), stand)| (x, average.stand(y, stand));
                    points.map(at).collect()
                }
            };
            (average, smoothed)
        });
        smoothed
    }

    /// Averages as they were after the first `kept` points.
    fn go_back(&mut self, stands: &[Stand], kept: usize) {
        let Some((average, smoothed)) = &mut self.smoothed else { return };
        smoothed.truncate(kept);
        let n_finite = match stands {
            [] => smoothed.iter().filter(|point| point.1.is_finite()).count() as f64,
            stands => stands.iter().map(|stand| stand.n).sum(),
        };
        let last = smoothed.iter().rfind(|point| point.1.is_finite());
        *average = Average::after(average.past(), n_finite, last.map_or(0.0, |point| point.1));
    }
}

impl VisibleCurve {
    fn of(points: &[(f64, f64)], part: [f64; 2], n_columns: usize) -> Self {
        let points = Window::cut(points, part);
        let mut seen = Self::default();
        let mut piece = Vec::new();
        if points.len() <= 2 * n_columns {
            // Every gap is wide enough to be seen.
            for point in points {
                match point.1.is_finite() {
                    true => piece.push(*point),
                    false => {
                        seen.broken.push(point.0);
                        seen.end(&mut piece);
                    }
                }
            }
            seen.end(&mut piece);
            return seen;
        }
        let width = (part[1] - part[0]) / n_columns as f64;
        // What lies before the window and behind it are columns too.
        let ends = (0..=n_columns).map(|column| part[0] + column as f64 * width);
        let mut rest = points;
        for end in ends.chain([f64::INFINITY]) {
            let (column, after) = rest.split_at(rest.partition_point(|point| point.0 < end));
            rest = after;
            if !column.is_empty() {
                seen.column(column, &mut piece);
            }
        }
        seen.end(&mut piece);
        seen
    }

    /// The extremes of a column in the order they came, and its first gap; a column of gaps breaks the line.
    fn column(&mut self, points: &[(f64, f64)], piece: &mut Vec<(f64, f64)>) {
        let (mut low, mut high, mut gap) = (None, None, None);
        for (place, &(_, y)) in points.iter().enumerate() {
            if y.is_nan() {
                gap = gap.or(Some(place));
            } else {
                low = low.filter(|&(_, least)| least <= y).or(Some((place, y)));
                high = high.filter(|&(_, most)| most >= y).or(Some((place, y)));
            }
        }
        self.broken.extend(gap.map(|place| points[place].0));
        match (low, high) {
            (Some((low, _)), Some((high, _))) => {
                piece.push(points[low.min(high)]);
                if low != high {
                    piece.push(points[low.max(high)]);
                }
            }
            _ => self.end(piece),
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

impl Stand {
    fn alone(y: f64) -> Self {
        if y.is_finite() { Self { mean: y, n: 1.0 } } else { Self { mean: 0.0, n: 0.0 } }
    }
}

impl Average {
    /// Takes in what a point stands for; a gap stays one.
    fn stand(&mut self, y: f64, stand: &Stand) -> f64 {
        let average = if stand.n > 0.0 { self.take_many(stand.mean, stand.n) } else { f64::NAN };
        if y.is_finite() { average } else { y }
    }
}

/// Of every four points the smallest and the largest, with a gap kept as one of them; and what these stand for: all four,
/// in equal shares.
fn halved(points: &[(f64, f64)], stands: &[Stand]) -> (Vec<(f64, f64)>, Vec<Stand>) {
    let mut kept = Vec::with_capacity(points.len() / 2 + 1);
    let mut kept_stands = Vec::with_capacity(points.len() / 2 + 1);
    for (number, four) in points.chunks(4).enumerate() {
        let n_before = kept.len();
        let extremes = thin(four, 1);
        let gap = four.iter().find(|point| !point.1.is_finite());
        match (gap, extremes.last()) {
            (Some(gap), Some(last)) if gap.0 < last.0 => kept.extend([*gap, *last]),
            (Some(gap), Some(last)) => kept.extend([*last, *gap]),
            (Some(gap), None) => kept.push(*gap),
            (None, _) => kept.extend(extremes),
        }
        let of = |place: usize| match stands {
            [] => Stand::alone(four[place].1),
            stands => stands[4 * number + place],
        };
        let (sum, n) = (0..four.len())
            .map(of)
            .fold((0.0, 0.0), |(sum, n), stand| (sum + stand.mean * stand.n, n + stand.n));
        let n_kept = kept.len() - n_before;
        let mean = if n > 0.0 { sum / n } else { 0.0 };
        kept_stands.extend((0..n_kept).map(|_| Stand { mean, n: n / n_kept as f64 }));
    }
    (kept, kept_stands)
}

impl Clone for Series {
    fn clone(&self) -> Self {
        let (points, stands) = (self.points.clone(), self.stands.clone());
        Self { points, stands, memo: RefCell::default() }
    }
}

impl Deref for Series {
    type Target = [(f64, f64)];

    fn deref(&self) -> &Self::Target {
        &self.points
    }
}

#[cfg(test)]
mod tests {
    use super::super::chart::smooth;
    use super::*;

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
        let seen = series(values).seen(0.0, [0.0, 9_999.0], 100);
        assert!(seen.points().count() <= 210);
        assert!(
            seen.points().any(|p| *p == (5_003.0, 99.0))
                && seen.points().any(|p| *p == (7_001.0, -99.0))
        );
        // One lost value is marked, three empty columns break the line too.
        assert_eq!((seen.pieces.len(), seen.broken[0]), (2, 3.0));
        assert!(seen.points().all(|point| point.1.is_finite()));
    }

    #[test]
    fn few_points_are_seen_as_they_are_with_one_on_either_side() {
        let series = series([1.0, 2.0, f64::NAN, 4.0, 5.0, 6.0]);
        let seen = series.seen(0.0, [1.0, 3.5], 40);
        assert_eq!(seen.pieces, [vec![(0.0, 1.0), (1.0, 2.0)], vec![(3.0, 4.0), (4.0, 5.0)]]);
        assert_eq!(seen.broken, [2.0]);
    }

    #[test]
    fn nothing_that_was_worked_out_outlives_a_change() {
        let mut series = series((0..1000).map(f64::from));
        let part = [0.0, 1000.0];
        let before = [series.seen(0.0, part, 10), series.seen(0.9, part, 10)];
        assert!(Arc::ptr_eq(&before[0], &series.seen(0.0, part, 10)), "kept while nothing changes");
        assert!(!Arc::ptr_eq(&before[0], &series.seen(0.0, part, 11)));
        series.push(999.0, -5.0);
        let after = [series.seen(0.0, part, 10), series.seen(0.9, part, 10)];
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
        assert!(series.is_thinned());
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
