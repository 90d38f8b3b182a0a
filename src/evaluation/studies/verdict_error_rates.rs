//! How often verdicts are wrong, and how often right, on simulated networks: 2,000 studies each, with fixed rng seeds.
//!
//! The difference of two networks of training seed s on noise seed j is `mu + u_s + v_j + e_sj`, all normal.

use super::verdict_of_finding::{Finding, Verdict};
use crate::analysis::claim_tests::Claim;
use crate::analysis::paired_differences::Difference;
use crate::random::{Purpose, fill_normal, stream};

const N_STUDIES: usize = 2000;
const N_NOISE_SEEDS: usize = 25;
/// Three standard errors of a share of 5% of the studies.
const TOLERANCE: f64 = 0.015;

/// Standard deviations over training seeds (u), noise seeds (v), and their combinations (e).
#[derive(Clone, Copy, Debug)]
struct Spread {
    training: f64,
    noise: f64,
    rest: f64,
}

const SPREADS: [Spread; 4] = [
    Spread { training: 0.05, noise: 0.0, rest: 0.0 },
    Spread { training: 0.0, noise: 0.3, rest: 0.05 },
    // As much error from three training seeds as from the noise seeds: the hardest case for Satterthwaite's degrees.
    Spread { training: 0.05, noise: 0.15, rest: 0.0 },
    Spread { training: 0.03, noise: 0.1, rest: 0.2 },
];

/// The differences of one comparison: `mean` in truth, one per training seed.
fn comparison(mean: f64, spread: Spread, n_training: usize, index: u64) -> Vec<Difference> {
    let mut generator = stream(7, Purpose::SampleNoise, index);
    let mut normal = |n: usize| {
        let mut values = vec![0.0_f32; n];
        fill_normal(&mut generator, &mut values);
        values.into_iter().map(f64::from).collect::<Vec<f64>>()
    };
    let (training, noise) = (normal(n_training), normal(N_NOISE_SEEDS));
    let one = |u: &f64| {
        let value = |(v, e): (&f64, f64)| {
            Some(mean + spread.training * u + spread.noise * v + spread.rest * e)
        };
        let values: Vec<Option<f64>> = noise.iter().zip(normal(N_NOISE_SEEDS)).map(value).collect();
        Difference::over_noise_seeds(&values, &[Some(0.0); N_NOISE_SEEDS]).unwrap()
    };
    training.iter().map(one).collect()
}

/// Shares of the studies whose finding holds (in part or as a whole) and fails.
fn verdicts(
    claim: Claim,
    mean: f64,
    spread: Spread,
    n_training: usize,
    n_comparisons: usize,
) -> (f64, f64) {
    let (mut holding, mut failing) = (0, 0);
    for study in 0..N_STUDIES {
        let mut finding = Finding::new("simulated", claim);
        for at in 0..n_comparisons {
            let index = (study * n_comparisons + at) as u64;
            let differences = comparison(mean, spread, n_training, index);
            finding.compare_networks(&differences, String::new());
        }
        match finding.verdict() {
            Verdict::Holds | Verdict::HoldsInPart | Verdict::Mixed => holding += 1,
            Verdict::Fails => failing += 1,
            _ => {}
        }
    }
    (holding as f64 / N_STUDIES as f64, failing as f64 / N_STUDIES as f64)
}

const ABOVE: Claim = Claim::Above { margin: 0.0 };
const WITHIN: Claim = Claim::Within { margin: 0.1 };

#[test]
fn without_an_effect_a_claim_of_one_seldom_holds() {
    for n_training in [3, 5] {
        for spread in SPREADS {
            let (holding, failing) = verdicts(ABOVE, 0.0, spread, n_training, 1);
            assert!(
                holding <= 0.05 && failing <= 0.05,
                "{n_training} {spread:?} {holding} {failing}"
            );
        }
        // Without noise it is the t test itself, at 2.5% in either direction.
        let (holding, failing) = verdicts(ABOVE, 0.0, SPREADS[0], n_training, 1);
        let exact = |share: f64| (share - 0.025).abs() < 0.0105;
        assert!(exact(holding) && exact(failing), "{n_training} {holding} {failing}");
    }
}

#[test]
fn a_difference_at_the_margin_is_seldom_called_none() {
    for n_training in [3, 5] {
        for spread in SPREADS {
            for mean in [0.1, -0.1] {
                let (holding, failing) = verdicts(WITHIN, mean, spread, n_training, 1);
                let fine = holding <= 0.05 + TOLERANCE && failing <= 0.05;
                assert!(fine, "{n_training} {spread:?} {holding} {failing}");
            }
        }
        let no_gain = Claim::NotAbove { margin: 0.1 };
        let (holding, _) = verdicts(no_gain, 0.1, SPREADS[0], n_training, 1);
        assert!((holding - 0.05).abs() <= TOLERANCE, "{n_training} {holding}");
    }
}

#[test]
fn nine_comparisons_are_wrong_no_more_often_than_one() {
    for n_training in [3, 5] {
        for (claim, mean) in [(ABOVE, 0.0), (WITHIN, 0.1)] {
            let (holding, failing) = verdicts(claim, mean, SPREADS[0], n_training, 9);
            let fine = holding <= 0.05 + TOLERANCE && failing <= 0.05 + TOLERANCE;
            assert!(fine, "{claim:?} {n_training} {holding} {failing}");
        }
    }
}

#[test]
fn clear_effects_and_clear_absences_are_found() {
    let small = Spread { training: 0.03, noise: 0.1, rest: 0.05 };
    for (claim, mean, n_training, n_comparisons) in [
        (ABOVE, 0.4, 3, 1),
        (ABOVE, 0.4, 5, 9),
        (WITHIN, 0.0, 5, 1),
        (Claim::NotAbove { margin: 0.1 }, -0.3, 3, 1),
    ] {
        let (holding, _) = verdicts(claim, mean, small, n_training, n_comparisons);
        assert!(holding > 0.9, "{claim:?} {n_training} {holding}");
    }
    for claim in [ABOVE, WITHIN] {
        let (_, failing) = verdicts(claim, -0.4, small, 5, 1);
        assert!(failing > 0.95, "{claim:?} {failing}");
    }
}
