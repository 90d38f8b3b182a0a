//! Times of training: the first step at which a figure reaches a level, and how such steps grow with the number N of
//! training images.
//!
//! Bonnaire et al. (2505.17638) predict that the time at which copies appear grows as N^1, and that the time at which
//! samples are good does not depend on N (N^0). [`exponent`] estimates such a power.

/// The first training step at which a figure is at least at some level, judged at some steps only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Crossing {
    /// Between two judged steps, interpolated linearly.
    At(f64),
    /// It is there at the first judged step already.
    AtMost(f64),
    /// It is not yet there at the last judged step.
    After(f64),
}

impl Crossing {
    /// The step, if it was seen.
    pub fn step(self) -> Option<f64> {
        match self {
            Self::At(step) => Some(step),
            Self::AtMost(_) | Self::After(_) => None,
        }
    }
}

/// The first crossing of `level` from below by `points`, (step, value) in order of steps; `None` without points.
pub fn first_at_least(points: &[(f64, f64)], level: f64) -> Option<Crossing> {
    let (first, last) = (points.first()?, points.last()?);
    if first.1 >= level {
        return Some(Crossing::AtMost(first.0));
    }
    let crossed = points.windows(2).find(|pair| pair[1].1 >= level);
    Some(crossed.map_or(Crossing::After(last.0), |pair| {
        let [(before, low), (after, high)] = [pair[0], pair[1]];
        Crossing::At(before + (after - before) * (level - low) / (high - low))
    }))
}

/// As [`first_at_least`], from above.
pub fn first_at_most(points: &[(f64, f64)], level: f64) -> Option<Crossing> {
    let mirrored: Vec<(f64, f64)> = points.iter().map(|&(step, value)| (step, -value)).collect();
    first_at_least(&mirrored, -level)
}

/// The power p of `y ~ x^p` by least squares of the logarithms; `None` unless two values of x differ. All numbers are
/// positive.
pub fn exponent(points: &[(f64, f64)]) -> Option<f64> {
    let n = points.len() as f64;
    let logs: Vec<(f64, f64)> = points.iter().map(|&(x, y)| (x.ln(), y.ln())).collect();
    let mean = |pick: fn(&(f64, f64)) -> f64| logs.iter().map(pick).sum::<f64>() / n;
    let (x_mean, y_mean) = (mean(|log| log.0), mean(|log| log.1));
    let squares: f64 = logs.iter().map(|(x, _)| (x - x_mean).powi(2)).sum();
    let products: f64 = logs.iter().map(|(x, y)| (x - x_mean) * (y - y_mean)).sum();
    (squares > 0.0).then(|| products / squares)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_crossing_lies_between_the_judged_steps_around_it() {
        let points = [(100.0, 0.0), (200.0, 0.4), (300.0, 0.6), (400.0, 0.2)];
        assert_eq!(first_at_least(&points, 0.5), Some(Crossing::At(250.0)));
        assert_eq!(first_at_least(&points, 0.6), Some(Crossing::At(300.0)));
        assert_eq!(first_at_least(&points, 0.0), Some(Crossing::AtMost(100.0)));
        assert_eq!(first_at_least(&points, 0.7), Some(Crossing::After(400.0)));
        assert_eq!(first_at_least(&[], 0.7), None);
        assert_eq!(first_at_most(&[(10.0, 3.0), (20.0, 1.0)], 1.5), Some(Crossing::At(17.5)));
        assert_eq!(first_at_most(&[(10.0, 3.0)], 1.5), Some(Crossing::After(10.0)));
    }

    #[test]
    fn one_number_of_images_has_no_exponent() {
        assert_eq!(exponent(&[(8.0, 100.0), (8.0, 120.0)]), None);
        assert_eq!(exponent(&[]), None);
    }

    proptest! {
        #[test]
        fn the_exponent_of_a_power_law_is_its_power(power in -2.0_f64..2.0, factor in 0.1_f64..1e4) {
            let points: Vec<(f64, f64)> =
                [8.0_f64, 16.0, 32.0, 128.0].map(|n| (n, factor * n.powf(power))).into();
            prop_assert!((exponent(&points).unwrap() - power).abs() < 1e-9);
        }
    }
}
