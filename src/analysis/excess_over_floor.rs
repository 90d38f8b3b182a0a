//! How far a network's error is above the floor of its class, and whether that is little enough for a comparison with
//! theory to mean something.

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use crate::diffusion::{NoiseLevel, Schedule};

/// An estimate of `E || phi - x0hat ||^2` per value, for images in [-1, 1].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeanSquaredError {
    pub mse: f64,
    /// Standard error of `mse`.
    pub se: f64,
}

impl MeanSquaredError {
    /// The mean of squared errors, one per image, with its standard error (0 for a single image).
    ///
    /// # Panics
    ///
    /// If there is no error to average.
    pub fn of(errors: &[f64]) -> Self {
        assert!(!errors.is_empty(), "the mean of no errors");
        let n = errors.len() as f64;
        let mse = errors.iter().sum::<f64>() / n;
        let squares = errors.iter().map(|e| (e - mse).powi(2)).sum::<f64>();
        let se = if errors.len() > 1 { (squares / (n - 1.0) / n).sqrt() } else { 0.0 };
        Self { mse, se }
    }

    /// The same error in the unit of the training loss: the mean squared error of the predicted noise,
    /// `eps_hat = (x_t - sqrt(abar) x0hat) / sigma`.
    pub fn of_noise(self, level: NoiseLevel) -> Self {
        let factor = level.abar / level.variance();
        Self { mse: factor * self.mse, se: factor * self.se }
    }
}

/// A network's error at one noise level, beside the floor of its class.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LevelExcess {
    pub t: f64,
    /// The network's mean squared error on training images.
    pub network: MeanSquaredError,
    /// The same on images of the set that are not in the training set; `None` if there are none.
    pub held_out: Option<MeanSquaredError>,
    /// The floor of the network's class, on the same draws as `network`.
    pub floor: MeanSquaredError,
    /// The network's error minus the floor, with the standard error of the difference on the same draws.
    pub excess: MeanSquaredError,
}

impl LevelExcess {
    /// Excess as a share of the floor; infinite if the floor is zero.
    pub fn share(&self) -> f64 {
        self.excess.mse / self.floor.mse
    }
}

/// Whether a network is near enough to its floor.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Convergence {
    /// At every level the excess is at most 15% of the floor, or at most .001.
    Converged,
    /// At every level the excess is at most 50% of the floor, or at most .005.
    Close,
    /// Neither: differences between network and theory may be due to unfinished training.
    Far,
}

/// Largest excess, as a share of the floor and in absolute terms, of the two better words of [`Convergence`]. (An
/// absolute limit is needed because floors go to zero with the noise; .001 is an error of 1.6% of the pixel range.)
const LIMITS: [(Convergence, f64, f64); 2] =
    [(Convergence::Converged, 0.15, 0.001), (Convergence::Close, 0.5, 0.005)];

/// How the machine's error relates to the floor of the network's class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Bound {
    /// It is the floor.
    Exact,
    /// The floor is at most that: attention makes the class larger.
    Upper,
    /// The floor is at least that: the class may not contain the machine.
    Lower,
}

/// Levels with less signal than this do not count: the error of the clean estimate is that of the predicted noise times
/// `sigma^2 / abar`, which is above 100 there, and such estimates hardly move a sample.
const ABAR_MIN: f64 = 0.01;

impl Convergence {
    /// The convergence of a network with these errors; `Far` if there are none.
    pub fn of(levels: &[LevelExcess], schedule: Schedule) -> Self {
        let counted: Vec<&LevelExcess> =
            levels.iter().filter(|level| schedule.level(level.t).abar >= ABAR_MIN).collect();
        let within = |share: f64, absolute: f64| {
            let is_within =
                |level: &&LevelExcess| level.excess.mse <= absolute.max(share * level.floor.mse);
            !counted.is_empty() && counted.iter().all(is_within)
        };
        let found = LIMITS.into_iter().find(|&(_, share, absolute)| within(share, absolute));
        found.map_or(Self::Far, |(word, ..)| word)
    }

    /// What this means for a comparison with theory, given how `machine` bounds the floor of the network's class.
    pub fn meaning(self, machine: &str, bound: Bound) -> String {
        let (distance, limit) = match self {
            Self::Converged => ("near", "excess at most 15%, or .001, at every noise level"),
            Self::Close => ("close to", "excess at most 50%, or .005, at every noise level"),
            Self::Far => ("far from", "excess above 50%, and above .005, at some noise level"),
        };
        let consequence = match (self, bound) {
            (Self::Converged, Bound::Exact) => {
                "undertraining does not explain differences from theory"
            }
            (Self::Converged, Bound::Upper) => {
                "with attention its own floor is lower still, so it may yet be undertrained"
            }
            (Self::Close, Bound::Exact | Bound::Upper) => {
                "differences from theory are partly due to undertraining"
            }
            (Self::Far, Bound::Exact | Bound::Upper) => {
                "differences from theory may be due to undertraining"
            }
            (_, Bound::Lower) => {
                "its own floor may be higher, so this does not tell whether it is undertrained"
            }
        };
        format!("the network is {distance} the error of `{machine}` ({limit}): {consequence}")
    }
}

/// The mean over `[from, to]` of a function given at `points` (in increasing x): interpolated linearly between them,
/// constant outside. `None` without points.
pub fn mean_between(points: &[(f64, f64)], from: f64, to: f64) -> Option<f64> {
    let at = |x: f64| {
        let after = points.iter().position(|point| point.0 >= x).unwrap_or(points.len() - 1);
        let (a, b) = (points[after.saturating_sub(1)], points[after]);
        let share = if b.0 > a.0 { ((x - a.0) / (b.0 - a.0)).clamp(0.0, 1.0) } else { 1.0 };
        a.1 + share * (b.1 - a.1)
    };
    if points.is_empty() {
        return None;
    }
    let inside = points.iter().map(|point| point.0).filter(|&x| x > from && x < to);
    let xs: Vec<f64> = std::iter::once(from).chain(inside).chain([to]).collect();
    let area: f64 = xs.windows(2).map(|x| 0.5 * (at(x[0]) + at(x[1])) * (x[1] - x[0])).sum();
    Some(area / (to - from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_of_a_line_is_its_value_in_the_middle() {
        let points: Vec<(f64, f64)> =
            (1..=10).map(|i| (0.1 * f64::from(i), f64::from(i))).collect();
        let near = |from, to, expected: f64| {
            let found = mean_between(&points, from, to).unwrap();
            assert!((found - expected).abs() < 1e-12, "{from} {to}: {found} {expected}");
        };
        near(0.2, 0.4, 3.0);
        near(0.25, 0.85, 5.5);
        // Constant below the first point: half of the range at 1, half rising from 1 to 2.
        near(0.0, 0.2, 1.25);
        assert_eq!(mean_between(&[], 0.0, 1.0), None);
        assert_eq!(mean_between(&[(0.5, 7.0)], 0.0, 1.0), Some(7.0));
    }

    fn level(floor: f64, excess: f64) -> LevelExcess {
        let exact = |mse: f64| MeanSquaredError { mse, se: 0.0 };
        LevelExcess {
            t: 0.5,
            network: exact(floor + excess),
            held_out: None,
            floor: exact(floor),
            excess: exact(excess),
        }
    }

    #[test]
    fn the_worst_level_decides_the_word() {
        let word = |levels: &[(f64, f64)]| {
            let levels: Vec<_> =
                levels.iter().map(|&(floor, excess)| level(floor, excess)).collect();
            Convergence::of(&levels, Schedule::Cosine)
        };
        assert_eq!(word(&[(0.1, 0.014), (0.0, 0.0009), (0.05, -0.01)]), Convergence::Converged);
        assert_eq!(word(&[(0.1, 0.014), (0.0, 0.002)]), Convergence::Close);
        assert_eq!(word(&[(0.1, 0.016), (0.0, 0.0)]), Convergence::Close);
        assert_eq!(word(&[(0.1, 0.051), (0.0, 0.0)]), Convergence::Far);
        assert_eq!(word(&[(0.1, 0.0), (0.0, 0.006)]), Convergence::Far);
        assert_eq!(word(&[]), Convergence::Far);
        // At pure noise the clean estimate does not count.
        let noise = LevelExcess { t: 1.0, ..level(0.1, 5.0) };
        let levels = [level(0.1, 0.0), noise];
        assert_eq!(Convergence::of(&levels, Schedule::Cosine), Convergence::Converged);
    }
}
