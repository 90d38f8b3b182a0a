//! The noise schedule: how much of the image is left at time t.
//!
//! `x_t = sqrt(abar) phi + sigma eps` with `sigma^2 = 1 - abar` (variance preserving), t in [0, 1], `abar(0) = 1`; t = 1 is
//! noise but for the little signal in the table.
//!
//! | schedule | abar(t) | abar(1) |
//! | --- | --- | --- |
//! | `cosine` | `cos^2(pi t / (2 * 1.008))`: Kamb & Ganguli (arXiv 2412.20292, public code, "legacy" mode) | 1.55e-4 |
//! | `ddpm-linear` | `prod_{j <= k} (1 - beta_j)` at `k = 1000 t`, beta from 1e-4 to .02: Ho et al. (arXiv 2006.11239, section 4) | 4.04e-5 |
//! | `edm` | `1 / (1 + s(t)^2)`, s from .002 to 80 with rho = 7: Karras et al. (arXiv 2206.00364, eq. 5) | 1.56e-4 |
//!
//! **Discrete steps of DDPM.** Time `k / 1000` is step k of 1..1000. In between, `ln abar` is linear in t (a constant rate of
//! noise within a step). A sampler of n steps takes the times `i / n`: where n divides 1000, these are the steps
//! `1000, 1000 - 1000/n, ...`, DDIM's subset in "trailing" spacing (arXiv 2305.08891, table 2), which begins at the
//! noisiest step of training. ("Leading" spacing begins at an earlier one, with pure noise in place of a state that has
//! signal.) Programs that count steps from 0, as Hugging Face's diffusers do, call step k the timestep k - 1.
//!
//! **EDM in variance-preserving units.** EDM's states are `x_ve = phi + s eps`. Division by `sqrt(1 + s^2)` gives the state
//! `x_t` with `abar = 1 / (1 + s^2)`, and DDIM's step between two of these is Euler's step of EDM's probability flow
//! `dx_ve/ds = (x_ve - x0hat) / s` (arXiv 2010.02502, section 4.3). All code therefore stays in variance-preserving units;
//! a standard normal noise seed stands for EDM's `sqrt(1 + 80^2)` times as much. Only the levels are EDM's, not
//! its network preconditioning, its loss weights, its noise distribution of training or its second-order sampler.
//!
//! ```text
//! t          0        .001                                1
//! s(t)       0  2 t   .002    (a + u (b - a))^7          80        u = (t - .001) / .999,  a = .002^(1/7), b = 80^(1/7)
//! ```
//!
//! A sampler of n steps takes u = 1, (n-2)/(n-1), ..., 0 and then s = 0, which is eq. 5. Below .002, where no sampler looks, s
//! falls linearly to 0.

use std::sync::LazyLock;

use strum::{EnumString, IntoStaticStr, VariantNames};

use std::f64::consts::FRAC_PI_2;

/// Kamb & Ganguli's 1.008: keeps `abar(1)` above zero.
const COSINE_STRETCH: f64 = 1.008;

/// Steps of DDPM, and the noise power `beta` that the first and the last of them add.
const DDPM_STEPS: usize = 1000;
const DDPM_BETAS: [f64; 2] = [1e-4, 0.02];

/// Smallest and largest noise amplitude of EDM, and the exponent of the steps between them.
const EDM_SIGMAS: [f64; 2] = [0.002, 80.0];
const EDM_RHO: f64 = 7.0;
/// Time of EDM's smallest noise; a sampler of up to 1000 steps has one step at most from there down to 0.
const EDM_T_MIN: f64 = 0.001;

/// `abar` after each of DDPM's steps; entry 0 is the clean image.
static DDPM_ABAR: LazyLock<Vec<f64>> = LazyLock::new(|| {
    let [first, last] = DDPM_BETAS;
    let beta = |step: usize| first + (last - first) * (step - 1) as f64 / (DDPM_STEPS - 1) as f64;
    let products = (1..=DDPM_STEPS).scan(1.0, |abar, step| {
        *abar *= 1.0 - beta(step);
        Some(*abar)
    });
    std::iter::once(1.0).chain(products).collect()
});

/// A point of the schedule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NoiseLevel {
    /// Time in [0, 1]; 0 is clean.
    pub t: f64,
    /// Signal power `abar(t)` in (0, 1].
    pub abar: f64,
}

impl NoiseLevel {
    /// The level at time `t` at which a variance-exploding state `phi + sigma eps` has noise of this amplitude.
    pub fn of_exploding_sigma(t: f64, sigma: f64) -> Self {
        Self { t, abar: 1.0 / (1.0 + sigma * sigma) }
    }

    /// Noise amplitude of the variance-exploding state `x_t / sqrt(abar)`: `sigma / sqrt(abar)`.
    pub fn exploding_sigma(&self) -> f64 {
        self.sigma() / self.signal()
    }

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
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantNames,
)]
#[strum(serialize_all = "kebab-case")]
pub enum Schedule {
    #[default]
    Cosine,
    DdpmLinear,
    Edm,
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
            Self::DdpmLinear => NoiseLevel { t, abar: ddpm_abar(t) },
            Self::Edm => NoiseLevel::of_exploding_sigma(t, edm_sigma(t)),
        }
    }

    /// The time of step `index` of a sampler with `n_steps` steps: 1 at `n_steps`, 0 (clean) at 0.
    ///
    /// # Panics
    ///
    /// If `index` exceeds `n_steps`, or there are no steps.
    pub fn step_time(&self, index: usize, n_steps: usize) -> f64 {
        assert!(n_steps > 0 && index <= n_steps, "step {index} of {n_steps}");
        match self {
            Self::Cosine | Self::DdpmLinear => index as f64 / n_steps as f64,
            Self::Edm if index == 0 => 0.0,
            Self::Edm if index == n_steps => 1.0,
            Self::Edm => {
                EDM_T_MIN + (1.0 - EDM_T_MIN) * ((index - 1) as f64 / (n_steps - 1) as f64)
            }
        }
    }

    /// The word of `diffusion.schedule`.
    pub fn word(self) -> &'static str {
        self.into()
    }

    /// The time at which the schedule `cosine` has the signal power of `level`; a little above 1 for noisier levels than its
    /// own.
    pub fn cosine_time(level: NoiseLevel) -> f64 {
        COSINE_STRETCH * level.signal().acos() / FRAC_PI_2
    }
}

fn ddpm_abar(t: f64) -> f64 {
    let step = t * DDPM_STEPS as f64;
    let below = (step as usize).min(DDPM_STEPS - 1);
    let (from, to) = (DDPM_ABAR[below], DDPM_ABAR[below + 1]);
    match step - below as f64 {
        1.0 => to,
        part => from * (to / from).powf(part),
    }
}

fn edm_sigma(t: f64) -> f64 {
    let [low, high] = EDM_SIGMAS;
    if t < EDM_T_MIN {
        return low * t / EDM_T_MIN;
    }
    let [a, b] = [low, high].map(|sigma| sigma.powf(1.0 / EDM_RHO));
    let u = (t - EDM_T_MIN) / (1.0 - EDM_T_MIN);
    (a + u * (b - a)).powf(EDM_RHO)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Schedule; 3] = [Schedule::Cosine, Schedule::DdpmLinear, Schedule::Edm];

    #[track_caller]
    fn check(found: f64, expected: f64, tolerance: f64) {
        assert!((found / expected - 1.0).abs() < tolerance, "{found} {expected}");
    }

    #[test]
    fn cosine_schedule_has_the_published_end_points() {
        let cosine = Schedule::Cosine;
        assert_eq!(cosine.level(0.0).abar, 1.0);
        // The reference implementation: beta(1) = 0.99984459.
        assert!((cosine.level(1.0).variance() - 0.999_844_59).abs() < 5e-9);
    }

    #[test]
    fn every_schedule_goes_from_clean_to_noise_and_its_signal_falls() {
        for schedule in ALL {
            assert_eq!(schedule.level(0.0).abar, 1.0);
            let abar = |i: u32| schedule.level(f64::from(i) / 4000.0).abar;
            assert!((0..4000).all(|i| abar(i + 1) < abar(i)), "{schedule:?}");
            assert!(abar(4000) > 0.0 && abar(4000) < 2e-4, "{schedule:?}");
            assert_eq!(schedule.word().parse(), Ok(schedule));
        }
        assert_eq!(Schedule::VARIANTS, ["cosine", "ddpm-linear", "edm"]);
    }

    #[test]
    fn cosine_time_is_the_inverse_of_the_cosine_schedule() {
        for t in [0.01, 0.3, 0.77, 1.0] {
            assert!((Schedule::cosine_time(Schedule::Cosine.level(t)) - t).abs() < 1e-12);
        }
    }

    // In Python:
    //
    //     from fractions import Fraction as F
    //     abar = F(1)
    //     for j in range(1000):
    //         abar *= 1 - (F(1, 10**4) + F(j, 999) * (F(2, 100) - F(1, 10**4)))
    //         if j + 1 in (1, 2, 250, 500, 750, 1000): print(j + 1, float(abar))
    //
    // numpy.cumprod(1 - numpy.linspace(1e-4, .02, 1000)) says the same to 12 digits.
    #[test]
    fn ddpm_has_the_products_of_the_published_betas_at_its_steps() {
        let published = [
            (1, 0.999_9),
            (2, 0.999_780_092_072_072_1),
            (250, 0.524_085_373_825_360_5),
            (500, 0.078_587_242_881_778_24),
            (750, 0.003_350_550_438_936_78),
            (1000, 0.000_040_358_297_653_756_835),
        ];
        for (step, expected) in published {
            check(Schedule::DdpmLinear.level(f64::from(step) / 1000.0).abar, expected, 1e-12);
        }
    }

    #[test]
    fn between_the_steps_of_ddpm_the_logarithm_is_linear() {
        let log = |step: f64| Schedule::DdpmLinear.level(step / 1000.0).abar.ln();
        for step in [0.0, 1.0, 500.0, 999.0] {
            let expected = 0.75 * log(step) + 0.25 * log(step + 1.0);
            assert!((log(step + 0.25) - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn a_subset_of_ddpm_steps_is_trailing() {
        let steps = |n: usize| -> Vec<f64> {
            (0..=n).rev().map(|i| 1000.0 * Schedule::DdpmLinear.step_time(i, n)).collect()
        };
        assert_eq!(steps(4), [1000.0, 750.0, 500.0, 250.0, 0.0]);
        for n in (1..=1000).filter(|n| 1000 % n == 0) {
            for (place, step) in steps(n).into_iter().rev().enumerate() {
                let expected = DDPM_ABAR[place * 1000 / n];
                check(Schedule::DdpmLinear.level(step / 1000.0).abar, expected, 1e-12);
            }
        }
    }

    // Karras et al. (arXiv 2206.00364), eq. 5 with logarithms in place of roots, in Python's decimals of 40 digits:
    //
    //     from decimal import Decimal as D, getcontext; getcontext().prec = 40
    //     root = lambda s: (D(s).ln() / 7).exp()
    //     for i in range(18): print(float((7 * (root(80) + D(i) / 17 * (root("0.002") - root(80))).ln()).exp()))
    #[test]
    fn eighteen_steps_of_edm_have_the_published_sigmas() {
        let published = [
            80.0,
            57.585_984_721_248_16,
            40.785_573_796_507_96,
            28.374_584_604_156_837,
            19.352_452_980_325_22,
            12.910_082_380_757_316,
            8.400_935_309_099_822,
            5.315_194_521_796_378_5,
            3.256_821_519_765_538,
            1.923_339_837_040_049_8,
            1.088_170_636_545_279_5,
            0.585_348_123_194_542_3,
            0.296_442_284_479_157_27,
            0.139_516_468_731_016_47,
            0.059_947_311_235_471_57,
            0.022_934_518_372_333_37,
            0.007_528_019_962_784_071,
            0.002,
        ];
        for (i, expected) in published.into_iter().enumerate() {
            let t = Schedule::Edm.step_time(18 - i, 18);
            check(Schedule::Edm.level(t).exploding_sigma(), expected, 1e-10);
        }
        assert_eq!(Schedule::Edm.step_time(0, 18), 0.0);
        assert_eq!(Schedule::Edm.step_time(1, 1), 1.0);
    }

    #[test]
    fn a_level_is_the_same_in_both_units() {
        for sigma in [0.002, 0.5, 1.0, 80.0] {
            let level = NoiseLevel::of_exploding_sigma(0.5, sigma);
            // 1 - abar has 16 digits after the point: an error of 3e-11 at the smallest sigma.
            check(level.exploding_sigma(), sigma, 1e-10);
            // phi + sigma eps, divided by sqrt(1 + sigma^2).
            let (phi, eps) = (0.3, -1.2);
            let preserving = level.signal() * phi + level.sigma() * eps;
            check(preserving * (1.0 + sigma * sigma).sqrt(), phi + sigma * eps, 1e-10);
        }
    }
}
