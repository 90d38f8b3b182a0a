//! How far a network's error is above the floor of its class, and whether that is little enough for a comparison with
//! theory to mean something.

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use crate::diffusion::NoiseLevel;

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

impl Convergence {
    /// The word for a network with these errors.
    pub fn of(levels: &[LevelExcess]) -> Self {
        let within = |share: f64, absolute: f64| {
            let is_within =
                |level: &LevelExcess| level.excess.mse <= absolute.max(share * level.floor.mse);
            levels.iter().all(is_within)
        };
        let found = LIMITS.into_iter().find(|&(_, share, absolute)| within(share, absolute));
        found.map_or(Self::Far, |(word, ..)| word)
    }

    /// What the word means for a comparison with theory, as the end of a sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Converged => {
                "the network is near its floor (excess at most 15% of it, or .001, at every level): differences from theory are not for want of training"
            }
            Self::Close => {
                "the network is close to its floor (excess at most 50% of it, or .005, at every level): differences from theory are partly for want of training"
            }
            Self::Far => {
                "the network is far from its floor (excess above 50% of it, and above .005, at some level): differences from theory may be for want of training"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            Convergence::of(&levels)
        };
        assert_eq!(word(&[(0.1, 0.014), (0.0, 0.0009), (0.05, -0.01)]), Convergence::Converged);
        assert_eq!(word(&[(0.1, 0.014), (0.0, 0.002)]), Convergence::Close);
        assert_eq!(word(&[(0.1, 0.016), (0.0, 0.0)]), Convergence::Close);
        assert_eq!(word(&[(0.1, 0.051), (0.0, 0.0)]), Convergence::Far);
        assert_eq!(word(&[(0.1, 0.0), (0.0, 0.006)]), Convergence::Far);
    }
}
