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

/// Exponential moving average with the given weight of the past, started at the first finite point.
pub fn smooth(points: &[(f64, f64)], past: f64) -> Vec<(f64, f64)> {
    let mut mean: Option<f64> = None;
    let finite = points.iter().filter(|p| p.1.is_finite());
    finite
        .map(|&(x, y)| {
            let next = mean.map_or(y, |m| past * m + (1.0 - past) * y);
            mean = Some(next);
            (x, next)
        })
        .collect()
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
}
