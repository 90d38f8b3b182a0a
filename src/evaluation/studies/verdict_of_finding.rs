//! Verdicts of a study: whether each statement (finding) holds, by tests of its comparisons over training seeds.
//!
//! The verdict of a finding comes from its comparisons over training seeds, corrected for their number
//! ([`crate::analysis::claim_tests`]). Two kinds of evidence are shown beside them and decide nothing: comparisons of a
//! single training seed, which are about those networks only, and informed machines, which have seen the network's own
//! attention maps.

use serde::Serialize;

use crate::analysis::claim_tests::{Claim, Outcome, Tested, test_family};
use crate::analysis::paired_differences::{Difference, MeanDifference};
use crate::evaluation::chart_panels::Panel;
use crate::evaluation::markdown_table::Table;

/// The verdict of a comparison or of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Holds,
    /// Some comparisons hold, the others are undecided.
    HoldsInPart,
    Fails,
    /// More training seeds or samples would be needed.
    Undecided,
    /// Some comparisons hold, others fail.
    Mixed,
    /// One training seed: nothing is known about other networks.
    NotTestedOverNetworks,
    /// Nothing to compare.
    Untested,
}

impl Verdict {
    pub const ALL: [Self; 7] = [
        Self::Holds,
        Self::HoldsInPart,
        Self::Mixed,
        Self::Undecided,
        Self::Fails,
        Self::NotTestedOverNetworks,
        Self::Untested,
    ];

    pub fn words(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::HoldsInPart => "holds in part",
            Self::Fails => "fails",
            Self::Undecided => "undecided",
            Self::Mixed => "mixed",
            Self::NotTestedOverNetworks => "one training seed: not tested over networks",
            Self::Untested => "not tested",
        }
    }

    /// The verdict of several comparisons together.
    fn together(outcomes: &[Outcome]) -> Self {
        let n = |outcome| outcomes.iter().filter(|other| **other == outcome).count();
        match (n(Outcome::Holds), n(Outcome::Fails)) {
            _ if outcomes.is_empty() => Self::Untested,
            (0, 0) => Self::Undecided,
            (0, _) => Self::Fails,
            (holding, 0) if holding == outcomes.len() => Self::Holds,
            (_, 0) => Self::HoldsInPart,
            _ => Self::Mixed,
        }
    }
}

impl From<Outcome> for Verdict {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Holds => Self::Holds,
            Outcome::Fails => Self::Fails,
            Outcome::Undecided => Self::Undecided,
        }
    }
}

/// What a comparison may decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Over several training seeds: decides the verdict.
    Networks,
    /// One training seed: about these networks, over noise seeds.
    OneNetwork,
    /// About a machine without a network, over noise seeds: decides the verdict.
    Machine,
    /// A machine that has seen the network's maps: decides nothing.
    Informed,
}

impl Scope {
    fn decides(self) -> bool {
        self.family() == Self::Networks
    }

    /// Comparisons of one family are corrected together: all that decide the verdict are one.
    fn family(self) -> Self {
        match self {
            Self::Networks | Self::Machine => Self::Networks,
            Self::OneNetwork | Self::Informed => self,
        }
    }
}

/// One comparison behind a finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    pub scope: Scope,
    pub difference: MeanDifference,
    /// What is compared, with the figures of both sides.
    pub words: String,
}

/// A statement and the comparisons that test it.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub statement: String,
    pub claim: Claim,
    pub comparisons: Vec<Comparison>,
}

/// The result of an analysis.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    pub findings: Vec<Finding>,
    pub tables: Vec<Table>,
    pub panels: Vec<Panel>,
}

impl Finding {
    pub fn new(statement: &str, claim: Claim) -> Self {
        Self { statement: statement.to_owned(), claim, comparisons: Vec::new() }
    }

    /// Adds a comparison of networks, one difference per training seed; nothing without differences.
    pub fn compare_networks(&mut self, differences: &[Difference], words: String) {
        let scope = if differences.len() > 1 { Scope::Networks } else { Scope::OneNetwork };
        self.compare(scope, differences, words);
    }

    /// Adds a comparison of `scope`; nothing without differences.
    pub fn compare(&mut self, scope: Scope, differences: &[Difference], words: String) {
        if let Some(difference) = MeanDifference::of(differences) {
            self.comparisons.push(Comparison { scope, difference, words });
        }
    }

    /// The test of every comparison, corrected for the number of comparisons of its family.
    pub fn tested(&self) -> Vec<Tested> {
        let mut all: Vec<Option<Tested>> = vec![None; self.comparisons.len()];
        for family in [Scope::Networks, Scope::OneNetwork, Scope::Informed] {
            let members = self.comparisons.iter().enumerate();
            let (places, differences): (Vec<usize>, Vec<MeanDifference>) = members
                .filter(|(_, each)| each.scope.family() == family)
                .map(|(place, each)| (place, each.difference))
                .unzip();
            for (place, tested) in places.into_iter().zip(test_family(self.claim, &differences)) {
                all[place] = Some(tested);
            }
        }
        all.into_iter().flatten().collect()
    }

    /// The verdict over networks; [`Verdict::NotTestedOverNetworks`] if there is one training seed.
    pub fn verdict(&self) -> Verdict {
        match self.together(Scope::decides) {
            Verdict::Untested if self.within_networks().is_some() => Verdict::NotTestedOverNetworks,
            verdict => verdict,
        }
    }

    /// The verdict of the comparisons with one training seed, which is about those networks; `None` without any.
    pub fn within_networks(&self) -> Option<Verdict> {
        let found = self.together(|scope| scope == Scope::OneNetwork);
        (found != Verdict::Untested).then_some(found)
    }

    /// `holds in part (comparisons: 4; holding: 3; failing: 0)`.
    pub fn words(&self) -> String {
        let verdict = self.verdict();
        match verdict {
            Verdict::Untested => verdict.words().to_owned(),
            Verdict::NotTestedOverNetworks => {
                let within = self.within_networks().unwrap_or(Verdict::Untested);
                let count = self.count(|scope| scope == Scope::OneNetwork);
                format!("{}; within these networks: {} {count}", verdict.words(), within.words())
            }
            _ => format!("{} {}", verdict.words(), self.count(Scope::decides)),
        }
    }

    fn outcomes(&self, keep: impl Fn(Scope) -> bool) -> Vec<Outcome> {
        let tested = self.tested();
        let pairs = self.comparisons.iter().zip(&tested);
        pairs.filter(|(each, _)| keep(each.scope)).map(|(_, tested)| tested.outcome).collect()
    }

    fn together(&self, keep: impl Fn(Scope) -> bool) -> Verdict {
        Verdict::together(&self.outcomes(keep))
    }

    fn count(&self, keep: impl Fn(Scope) -> bool) -> String {
        let outcomes = self.outcomes(keep);
        let n = |outcome| outcomes.iter().filter(|other| **other == outcome).count();
        let (holding, failing) = (n(Outcome::Holds), n(Outcome::Fails));
        format!("(comparisons: {}; holding: {holding}; failing: {failing})", outcomes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differences(values: &[f64]) -> Vec<Difference> {
        let one =
            |value: &f64| Difference { value: *value, noise_error: 0.01, noise_degrees: 99.0 };
        values.iter().map(one).collect()
    }

    fn finding(comparisons: &[&[f64]]) -> Finding {
        let mut finding = Finding::new("x", Claim::Above { margin: 0.0 });
        for values in comparisons {
            finding.compare_networks(&differences(values), String::new());
        }
        finding
    }

    const CLEAR: &[f64] = &[0.40, 0.41, 0.42];
    const REVERSED: &[f64] = &[-0.40, -0.41, -0.42];
    const VARIED: &[f64] = &[0.5, 0.1, -0.2];

    #[test]
    fn a_finding_holds_as_a_whole_only_if_every_comparison_does() {
        for (comparisons, expected) in [
            (vec![], "not tested"),
            (vec![VARIED], "undecided (comparisons: 1; holding: 0; failing: 0)"),
            (vec![CLEAR, CLEAR], "holds (comparisons: 2; holding: 2; failing: 0)"),
            (vec![CLEAR, VARIED], "holds in part (comparisons: 2; holding: 1; failing: 0)"),
            (vec![CLEAR, REVERSED, VARIED], "mixed (comparisons: 3; holding: 1; failing: 1)"),
            (vec![REVERSED, VARIED], "fails (comparisons: 2; holding: 0; failing: 1)"),
        ] {
            assert_eq!(finding(&comparisons).words(), expected);
        }
    }

    #[test]
    fn one_training_seed_says_nothing_about_other_networks() {
        let alone = finding(&[&[0.4], &[0.3]]);
        assert_eq!(alone.verdict(), Verdict::NotTestedOverNetworks);
        assert_eq!(alone.within_networks(), Some(Verdict::Holds));
        let words = "one training seed: not tested over networks; within these networks: holds (comparisons: 2; holding: 2; failing: 0)";
        assert_eq!(alone.words(), words);
        // Beside comparisons over training seeds, it does not count.
        let beside = finding(&[VARIED, &[0.4]]);
        assert_eq!(beside.words(), "undecided (comparisons: 1; holding: 0; failing: 0)");
    }

    #[test]
    fn an_informed_machine_decides_nothing() {
        let mut finding = finding(&[VARIED]);
        finding.compare(Scope::Informed, &differences(CLEAR), String::new());
        assert_eq!(finding.words(), "undecided (comparisons: 1; holding: 0; failing: 0)");
        // And it does not count in the correction.
        let tested = finding.tested();
        assert_eq!(tested[0].corrected_for, tested[0].p_for);
        assert_eq!(tested[1].outcome, Outcome::Holds);
        let mut alone = Finding::new("x", Claim::Above { margin: 0.0 });
        alone.compare(Scope::Informed, &differences(CLEAR), String::new());
        assert_eq!(alone.verdict(), Verdict::Untested);
    }
}
