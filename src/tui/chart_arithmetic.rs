//! Arithmetic of charts: extremes, moving averages, ranges and the visible window. It draws nothing.

/// The places of the smallest and the largest finite value, the earlier place first; `None` if no value is finite.
pub fn extremes(points: &[(f64, f64)]) -> Option<(usize, usize)> {
    let finite = points.iter().enumerate().filter(|(_, point)| point.1.is_finite());
    let mut found = None;
    for (place, &(_, y)) in finite {
        let (low, high) = found.unwrap_or((place, place));
        let low = if y < points[low].1 { place } else { low };
        let high = if y > points[high].1 { place } else { high };
        found = Some((low, high));
    }
    found.map(|(low, high)| (low.min(high), low.max(high)))
}

/// Exponential moving average with the bias correction of Adam's moments (Kingma and Ba 2015, algorithm 1). A value that is
/// not finite is returned as it is and does not enter the average.
#[derive(Clone, Copy, Debug)]
pub struct Average {
    pub past: f64,
    sum: f64,
    weight: f64,
}

impl Average {
    /// An average that keeps the share `past` of its past per value.
    pub fn new(past: f64) -> Self {
        Self { past, sum: 0.0, weight: 0.0 }
    }

    /// The average that is `value` after `n_finite` finite values.
    pub fn after(past: f64, n_finite: f64, value: f64) -> Self {
        let weight = 1.0 - past.powf(n_finite);
        Self { past, sum: if n_finite > 0.0 { value * weight } else { 0.0 }, weight }
    }

    /// Adds a value and returns the average.
    pub fn take(&mut self, value: f64) -> f64 {
        self.take_many(value, 1.0)
    }

    /// Adds `value` `n` times, which need not be a whole number, and returns the average.
    pub fn take_many(&mut self, value: f64, n: f64) -> f64 {
        if !value.is_finite() {
            return value;
        }
        let past = if n == 1.0 { self.past } else { self.past.powf(n) };
        self.sum = past * self.sum + (1.0 - past) * value;
        self.weight = past * self.weight + (1.0 - past);
        self.sum / self.weight
    }
}

/// The smallest and largest finite value, widened on both sides by `margin` times their difference; never an empty range.
pub fn bounds(values: impl Iterator<Item = f64>, margin: f64) -> [f64; 2] {
    let (low, high) = values
        .filter(|value| value.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    if low > high {
        return [0.0, 1.0];
    }
    let room = margin * (high - low);
    if high > low { [low - room, high + room] } else { [low - 0.5, low + 0.5] }
}

/// The letter of a curve: A for index 0, B for 1, ... and A again for 26.
pub fn letter(index: usize) -> char {
    char::from(b'A' + (index % 26) as u8)
}

/// The letter of a noise level's curve: a small one, so that it is not taken for a run's or a machine's.
pub fn level_letter(index: usize) -> char {
    char::from(b'a' + (index % 26) as u8)
}

/// A part of the x axis: `2^-zoom` of it, ending `pan` half windows before its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    pub zoom: u32,
    pub pan: u32,
}

impl Window {
    /// At this zoom a window of any run holds a few points.
    const ZOOM_MAX: u32 = 12;

    pub fn closer(self) -> Self {
        // The right end stays.
        if self.zoom == Self::ZOOM_MAX {
            self
        } else {
            Self { zoom: self.zoom + 1, pan: 2 * self.pan }
        }
    }

    pub fn wider(self) -> Self {
        let zoom = self.zoom.saturating_sub(1);
        Self { zoom, pan: self.pan / 2 }.within()
    }

    pub fn earlier(self) -> Self {
        Self { pan: self.pan + 1, ..self }.within()
    }

    pub fn later(self) -> Self {
        Self { pan: self.pan.saturating_sub(1), ..self }
    }

    /// The window moved back into the axis.
    fn within(self) -> Self {
        Self { pan: self.pan.min(2 * ((1 << self.zoom) - 1)), ..self }
    }

    /// The visible part of `[first, last]`.
    pub fn of(self, [first, last]: [f64; 2]) -> [f64; 2] {
        let span = (last - first) / f64::from(1_u32 << self.zoom);
        let end = last - span * f64::from(self.pan) / 2.0;
        [end - span, end]
    }

    /// The points in `[start, end]` and the nearest on either side, so that lines reach the edges.
    pub fn cut(points: &[(f64, f64)], [start, end]: [f64; 2]) -> &[(f64, f64)] {
        let first = points.partition_point(|point| point.0 < start).saturating_sub(1);
        let last = (points.partition_point(|point| point.0 <= end) + 1).min(points.len());
        &points[first.min(last)..last]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_are_found_in_order_and_gaps_are_none() {
        let mut points: Vec<_> = (0..10_000).map(|i| (i as f64, (i % 7) as f64)).collect();
        points[5_003].1 = 99.0;
        points[7_001].1 = -99.0;
        points[3].1 = f64::NAN;
        assert_eq!(extremes(&points), Some((5_003, 7_001)));
        assert_eq!(extremes(&points[..4]), Some((0, 2)));
        assert_eq!(extremes(&points[3..4]), None);
    }

    #[test]
    fn a_window_stays_within_the_run_and_keeps_its_end() {
        let whole = Window::default();
        assert_eq!(whole.of([0.0, 100.0]), [0.0, 100.0]);
        assert_eq!(whole.closer().of([0.0, 100.0]), [50.0, 100.0]);
        let past = whole.closer().closer().earlier();
        assert_eq!(past.of([0.0, 100.0]), [62.5, 87.5]);
        assert_eq!(past.closer().of([0.0, 100.0])[1], 87.5);
        let mut window = whole.closer();
        (0..50).for_each(|_| window = window.earlier());
        assert_eq!(window.of([0.0, 100.0]), [0.0, 50.0]);
        assert_eq!(window.wider(), whole);
        (0..50).for_each(|_| window = window.closer());
        assert!(window.of([0.0, 100.0])[0] >= 0.0);
        assert_eq!(whole.earlier(), whole);
    }

    #[test]
    fn cutting_keeps_a_point_on_either_side() {
        let points: Vec<_> = (0..10).map(|i| (f64::from(i), 0.0)).collect();
        let steps = |range| Window::cut(&points, range).iter().map(|p| p.0).collect::<Vec<_>>();
        assert_eq!(steps([3.5, 5.5]), [3.0, 4.0, 5.0, 6.0]);
        assert_eq!(steps([-5.0, 50.0]).len(), 10);
        assert_eq!(steps([20.0, 30.0]), [9.0]);
        assert!(Window::cut(&[], [0.0, 1.0]).is_empty());
    }

    fn smooth(points: &[(f64, f64)], past: f64) -> Vec<(f64, f64)> {
        let mut average = Average::new(past);
        points.iter().map(|&(x, y)| (x, average.take(y))).collect()
    }

    #[test]
    fn a_broken_point_stays_a_gap() {
        let points = [(0.0, 1.0), (1.0, f64::NAN), (2.0, 3.0), (3.0, 3.0)];
        assert!(smooth(&points, 0.9)[1].1.is_nan());
    }

    #[test]
    fn smoothing_starts_at_the_first_value_and_keeps_constants() {
        let points: Vec<_> = (0..50).map(|i| (f64::from(i), 2.5)).collect();
        assert!(smooth(&points, 0.98).iter().all(|p| (p.1 - 2.5).abs() < 1e-12));
    }
}
