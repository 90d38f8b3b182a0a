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
    /// At no level is the excess above 15% of the floor and above .001 by more than noise.
    Converged,
    /// At no level is the excess above 50% of the floor and above .005 by more than noise.
    Close,
    /// Neither: differences between network and theory may be due to unfinished training.
    Far,
}

/// Largest excess, as a share of the floor and in absolute terms, of the two better words of [`Convergence`]. (An
/// absolute limit is needed because floors go to zero with the noise; .001 is an error of 1.6% of the pixel range.)
const LIMITS: [(Convergence, f64, f64); 2] =
    [(Convergence::Converged, 0.15, 0.001), (Convergence::Close, 0.5, 0.005)];

/// An excess is above a limit if it is so by more than this many of its standard errors. Of networks whose excess is the
/// limit at all nine levels that count (of the cosine schedule), one in twenty is called worse by chance:
/// `1 - (1 - .0062)^9 = 5%`.
const STANDARD_ERRORS: f64 = 2.5;

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

/// Whether the level at `t` counts towards a network's [`Convergence`].
pub fn counts(t: f64, schedule: Schedule) -> bool {
    schedule.level(t).abar >= ABAR_MIN
}

impl Convergence {
    /// The convergence of a network with these errors; `Far` if there are none.
    pub fn of(levels: &[LevelExcess], schedule: Schedule) -> Self {
        let counted: Vec<&LevelExcess> =
            levels.iter().filter(|level| counts(level.t, schedule)).collect();
        let within = |share: f64, absolute: f64| {
            let is_within = |level: &&LevelExcess| {
                let limit = absolute.max(share * level.floor.mse);
                // At most twice the limit, so that a coarse measurement does not make a network look better.
                level.excess.mse <= limit + (STANDARD_ERRORS * level.excess.se).min(limit)
            };
            !counted.is_empty() && counted.iter().all(is_within)
        };
        let found = LIMITS.into_iter().find(|&(_, share, absolute)| within(share, absolute));
        found.map_or(Self::Far, |(word, ..)| word)
    }

    /// The largest excess over `floor` of each of the two better words, but for noise.
    pub fn limits(floor: f64) -> [(Self, f64); 2] {
        LIMITS.map(|(word, share, absolute)| (word, absolute.max(share * floor)))
    }

    /// What this means for a comparison with theory, given how `machine` bounds the floor of the network's class.
    pub fn meaning(self, machine: &str, bound: Bound) -> String {
        let (distance, limit) = match self {
            Self::Converged => (
                "near",
                "excess at most 15%, or .001, or not more than noise above that, at every noise level",
            ),
            Self::Close => (
                "close to",
                "excess at most 50%, or .005, or not more than noise above that, at every noise level",
            ),
            Self::Far => (
                "far from",
                "excess above 50%, and above .005, by more than noise at some noise level",
            ),
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
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::random::{Purpose, stream};

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

    /// How many of `n` networks with this excess at nine levels above a floor of .05, measured with this standard error,
    /// get each word.
    fn words(excess: f64, se: f64, n: usize) -> [usize; 3] {
        let mut generator = stream(7, Purpose::FloorNoise, 0);
        let mut found = [0; 3];
        for _ in 0..n {
            let levels: Vec<LevelExcess> = (1..=9)
                .map(|i| {
                    let noise: f64 = StandardNormal.sample(&mut generator);
                    let measured = MeanSquaredError { mse: excess + se * noise, se };
                    LevelExcess { t: 0.1 * f64::from(i), excess: measured, ..level(0.05, excess) }
                })
                .collect();
            found[Convergence::of(&levels, Schedule::Cosine) as usize] += 1;
        }
        found
    }

    #[test]
    fn noise_does_not_decide_the_word() {
        // The limits are .0075 and .025. At the limit 5% are called worse; without an allowance all but 1 of 512.
        let [converged, close, _] = words(0.0075, 0.0005, 2000);
        assert!((60..=150).contains(&close), "{converged} {close}");
        let [_, close, far] = words(0.025, 0.002, 2000);
        assert!((60..=150).contains(&far), "{close} {far}");
        // Five standard errors above the limit at every level: none is called converged.
        assert_eq!(words(0.010, 0.0005, 2000)[0], 0);
        // Half the limit: all are.
        assert_eq!(words(0.00375, 0.0005, 2000)[0], 2000);
    }

    #[test]
    fn a_coarse_measurement_does_not_make_a_network_look_converged() {
        // The allowance is the limit, .0075, and not 2.5 standard errors, .05: the excess is clearly above both.
        assert_eq!(words(0.06, 0.02, 500)[0], 0);
        let coarse = |excess| {
            let measured = MeanSquaredError { mse: excess, se: 1.0 };
            Convergence::of(
                &[LevelExcess { excess: measured, ..level(0.05, excess) }],
                Schedule::Cosine,
            )
        };
        assert_eq!(coarse(0.0149), Convergence::Converged);
        assert_eq!(coarse(0.0151), Convergence::Close);
        assert_eq!(coarse(0.0501), Convergence::Far);
    }
}
