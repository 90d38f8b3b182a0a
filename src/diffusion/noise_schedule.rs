//! The noise schedule: how much of the image is left at time t.
//!
//! `x_t = sqrt(abar) phi + sigma eps` with `sigma^2 = 1 - abar` (variance preserving). The lab uses
//! the cosine schedule of Kamb & Ganguli (arXiv 2412.20292, public code, "legacy" mode):
//! `abar(t) = cos^2(pi t / (2 * 1.008))`, t in [0, 1], so `abar(0) = 1` and `abar(1) = 1.55e-4`.

use strum::{EnumString, IntoStaticStr, VariantNames};

use std::f64::consts::FRAC_PI_2;

/// The paper's 1.008: keeps `abar(1)` above zero.
const COSINE_STRETCH: f64 = 1.008;

/// A point of the schedule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NoiseLevel {
    /// Time in [0, 1]; 0 is clean.
    pub t: f64,
    /// Signal power `abar(t)` in (0, 1].
    pub abar: f64,
}

impl NoiseLevel {
    /// Signal amplitude, `sqrt(abar)`.
    pub fn signal(&self) -> f64 {
        self.abar.sqrt()
    }

    /// Noise power, `sigma^2 = 1 - abar`.
    pub fn variance(&self) -> f64 {
        1.0 - self.abar
    }

    /// Noise amplitude, `sigma`.
    pub fn sigma(&self) -> f64 {
        self.variance().sqrt()
    }
}

/// How signal power falls with time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum Schedule {
    #[default]
    Cosine,
}

impl Schedule {
    /// The level at time `t` in [0, 1].
    pub fn level(&self, t: f64) -> NoiseLevel {
        debug_assert!((0.0..=1.0).contains(&t), "time {t} lies outside [0, 1]");
        match self {
            Self::Cosine => {
                let abar = (FRAC_PI_2 * t / COSINE_STRETCH).cos().powi(2);
                NoiseLevel { t, abar }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosine_schedule_has_the_published_end_points() {
        let cosine = Schedule::Cosine;
        assert_eq!(cosine.level(0.0).abar, 1.0);
        // The reference implementation: beta(1) = 0.99984459.
        assert!((cosine.level(1.0).variance() - 0.999_844_59).abs() < 5e-9);
    }
}
