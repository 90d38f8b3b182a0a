//! Tests of claims about differences: above, within a margin, not above a margin; each holds, fails or is undecided.
//!
//! A claim is tested in both directions, and what neither test rejects is undecided. With `d` the true mean difference and
//! `m` the margin:
//!
//! ```text
//! claim        holds: rejects           at                fails: rejects         at
//! above m      d <= m                   95% interval      d >= m                 95% interval
//! within m     d <= -m and d >= m       90% interval      -m <= d <= m           95% interval
//! not above m  d >= m                   90% interval      d <= m                 95% interval
//! ```
//!
//! `within` is the pair of one-sided tests of equivalence (Schuirmann 1987): it holds if the 90% interval lies inside the
//! margin. So a wider interval never makes a claim hold. The p values of a family of comparisons are corrected by
//! [`holm`]: those for the claims together, and those against them.

use serde::Serialize;

use super::holm_correction::holm;
use super::paired_differences::MeanDifference;

/// Probability of any false verdict in a family of comparisons, in either direction.
pub const LEVEL: f64 = 0.05;

/// A claim about a mean difference.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Claim {
    /// The difference lies above the margin.
    Above { margin: f64 },
    /// The difference lies between minus the margin and the margin: no effect in either direction.
    Within { margin: f64 },
    /// The difference lies below the margin: no gain, while a loss is allowed.
    NotAbove { margin: f64 },
}

/// What the test of a claim finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Holds,
    Fails,
    /// The differences allow either.
    Undecided,
}

/// The test of one comparison.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tested {
    pub outcome: Outcome,
    /// p value for the claim: of the hypothesis that it is wrong.
    pub p_for: f64,
    /// p value against the claim: of the hypothesis that it is right.
    pub p_against: f64,
    /// Both, corrected for the number of comparisons.
    pub corrected_for: f64,
    pub corrected_against: f64,
}

impl Claim {
    /// p value of the hypothesis that the claim is wrong.
    pub fn p_for(self, found: &MeanDifference) -> f64 {
        match self {
            Self::Above { margin } => two_sided(found.p_of_at_most(margin)),
            Self::Within { margin } => found.p_of_at_most(-margin).max(found.p_of_at_least(margin)),
            Self::NotAbove { margin } => found.p_of_at_least(margin),
        }
    }

    /// p value of the hypothesis that the claim is right.
    pub fn p_against(self, found: &MeanDifference) -> f64 {
        match self {
            Self::Above { margin } => two_sided(found.p_of_at_least(margin)),
            Self::Within { margin } => {
                two_sided(found.p_of_at_most(margin).min(found.p_of_at_least(-margin)))
            }
            Self::NotAbove { margin } => two_sided(found.p_of_at_most(margin)),
        }
    }

    /// Confidence of the interval that shows whether the claim holds in a single comparison.
    pub fn confidence(self) -> f64 {
        match self {
            Self::Above { .. } => 1.0 - LEVEL,
            Self::Within { .. } | Self::NotAbove { .. } => 1.0 - 2.0 * LEVEL,
        }
    }
}

/// Tests a claim by all comparisons of a family.
pub fn test_family(claim: Claim, family: &[MeanDifference]) -> Vec<Tested> {
    let p_for: Vec<f64> = family.iter().map(|found| claim.p_for(found)).collect();
    let p_against: Vec<f64> = family.iter().map(|found| claim.p_against(found)).collect();
    let (corrected_for, corrected_against) = (holm(&p_for), holm(&p_against));
    let tested = |at: usize| {
        let outcome = match (corrected_for[at] <= LEVEL, corrected_against[at] <= LEVEL) {
            (true, false) => Outcome::Holds,
            (false, true) => Outcome::Fails,
            _ => Outcome::Undecided,
        };
        Tested {
            outcome,
            p_for: p_for[at],
            p_against: p_against[at],
            corrected_for: corrected_for[at],
            corrected_against: corrected_against[at],
        }
    };
    (0..family.len()).map(tested).collect()
}

fn two_sided(p: f64) -> f64 {
    (2.0 * p).min(1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(mean: f64, standard_error: f64) -> MeanDifference {
        MeanDifference { mean, standard_error, degrees_of_freedom: 2.0, n: 3 }
    }

    fn outcome(claim: Claim, found: MeanDifference) -> Outcome {
        test_family(claim, &[found])[0].outcome
    }

    #[test]
    fn verdicts_are_those_of_the_intervals() {
        use Outcome::{Fails, Holds, Undecided};
        let (above, within) = (Claim::Above { margin: 0.0 }, Claim::Within { margin: 0.1 });
        let no_gain = Claim::NotAbove { margin: 0.1 };
        // Half widths are 4.30 standard errors at 95%, 2.92 at 90%.
        for (mean, error, expected) in [
            (0.44, 0.10, [Holds, Undecided, Undecided]),
            (0.44, 0.05, [Holds, Fails, Fails]),
            (0.42, 0.10, [Undecided, Undecided, Undecided]),
            (-0.44, 0.05, [Fails, Fails, Holds]),
            (0.0, 0.034, [Undecided, Holds, Holds]),
            (0.0, 0.035, [Undecided, Undecided, Undecided]),
            (-0.2, 0.1, [Undecided, Undecided, Holds]),
            (0.05, 0.01, [Holds, Holds, Holds]),
        ] {
            let one = found(mean, error);
            let outcomes = [above, within, no_gain].map(|claim| outcome(claim, one));
            assert_eq!(outcomes, expected, "{mean} {error}");
        }
    }

    #[test]
    fn many_comparisons_ask_more_of_each() {
        let claim = Claim::Above { margin: 0.0 };
        // p = .034 alone.
        let one = found(0.44, 0.083);
        assert_eq!(outcome(claim, one), Outcome::Holds);
        let family = test_family(claim, &[one, found(0.0, 0.1)]);
        assert_eq!(family[0].outcome, Outcome::Undecided);
        assert!((family[0].corrected_for - 2.0 * family[0].p_for).abs() < 1e-12);
    }

    fn claims() -> impl Strategy<Value = Claim> {
        let margin = 0.001_f64..0.3;
        prop_oneof![
            margin.clone().prop_map(|margin| Claim::Above { margin }),
            margin.clone().prop_map(|margin| Claim::Within { margin }),
            margin.prop_map(|margin| Claim::NotAbove { margin }),
        ]
    }

    proptest! {
        /// In a family of comparisons, of which one is known less well in the second reading.
        #[test]
        fn a_wider_interval_never_makes_a_claim_hold(
            claim in claims(),
            family in prop::collection::vec((-0.5_f64..0.5, 1e-4_f64..0.2), 1..6),
            factor in 1.0_f64..20.0,
        ) {
            let narrow: Vec<_> = family.iter().map(|(mean, error)| found(*mean, *error)).collect();
            let mut wide = narrow.clone();
            wide[0].standard_error *= factor;
            let (narrow, wide) = (test_family(claim, &narrow), test_family(claim, &wide));
            for (before, after) in narrow.iter().zip(&wide) {
                prop_assert!(after.outcome != Outcome::Holds || before.outcome == Outcome::Holds);
            }
        }

        #[test]
        fn no_claim_is_both_right_and_wrong(claim in claims(), mean in -0.5_f64..0.5, error in 0.0_f64..0.2) {
            let one = found(mean, error);
            prop_assert!(claim.p_for(&one) > LEVEL || claim.p_against(&one) > LEVEL);
        }
    }
}
