//! Curves made small enough for the screen without losing their extremes. It draws nothing.

/// At most `2 * n_buckets` points: minimum and maximum of each bucket, in order of x. Points that are
/// not finite are left out.
pub fn thin(points: &[(f64, f64)], n_buckets: usize) -> Vec<(f64, f64)> {
    let finite: Vec<_> = points.iter().copied().filter(|p| p.1.is_finite()).collect();
    if n_buckets == 0 || finite.len() <= 2 * n_buckets {
        return finite;
    }
    let size = finite.len().div_ceil(n_buckets);
    let mut thinned = Vec::with_capacity(2 * n_buckets);
    for bucket in finite.chunks(size) {
        let (mut low, mut high) = (0, 0);
        for (i, point) in bucket.iter().enumerate() {
            if point.1 < bucket[low].1 {
                low = i;
            }
            if point.1 > bucket[high].1 {
                high = i;
            }
        }
        thinned.push(bucket[low.min(high)]);
        if low != high {
            thinned.push(bucket[low.max(high)]);
        }
    }
    thinned
}

/// Exponential moving average with the given weight of the past, started at the first finite point;
/// points that are not finite stay as they are, so that gaps remain gaps. The start is corrected for
/// the short past, as Adam corrects its moments.
pub fn smooth(points: &[(f64, f64)], past: f64) -> Vec<(f64, f64)> {
    let (mut sum, mut weight) = (0.0, 0.0);
    let average = |&(x, y): &(f64, f64)| {
        if !y.is_finite() {
            return (x, y);
        }
        sum = past * sum + (1.0 - past) * y;
        weight = past * weight + (1.0 - past);
        (x, sum / weight)
    };
    points.iter().map(average).collect()
}

/// The stretches of finite points.
pub fn segments(points: &[(f64, f64)]) -> impl Iterator<Item = &[(f64, f64)]> {
    points.split(|point| !point.1.is_finite()).filter(|segment| !segment.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_the_extremes() {
        let mut points: Vec<_> = (0..10_000).map(|i| (i as f64, (i % 7) as f64)).collect();
        points[5_003].1 = 99.0;
        points[7_001].1 = -99.0;
        points[3].1 = f64::NAN;
        let thinned = thin(&points, 50);
        assert!(thinned.len() <= 100);
        assert!(thinned.contains(&(5_003.0, 99.0)) && thinned.contains(&(7_001.0, -99.0)));
    }

    #[test]
    fn a_broken_point_stays_a_gap() {
        let points = [(0.0, 1.0), (1.0, f64::NAN), (2.0, 3.0), (3.0, 3.0)];
        let lengths: Vec<usize> = segments(&points).map(<[_]>::len).collect();
        assert_eq!(lengths, [1, 2]);
        assert!(smooth(&points, 0.9)[1].1.is_nan());
    }

    #[test]
    fn smoothing_starts_at_the_first_value_and_keeps_constants() {
        let points: Vec<_> = (0..50).map(|i| (f64::from(i), 2.5)).collect();
        assert!(smooth(&points, 0.98).iter().all(|p| (p.1 - 2.5).abs() < 1e-12));
    }
}
