//! Which ability of attention makes samples consistent: choosing a place, summing over places, or just reaching other
//! pixels.

use super::consistency::rates;
use super::paired_training_seeds::{Differences, seed_groups};
use super::run_results::RunResults;
use super::study_report::rate_panel;
use super::verdict_of_finding::{Finding, Reading};
use crate::analysis::claim_tests::Claim;
use crate::config::Margins;
use crate::network::network_config::AttentionVariant;

/// Variants of attention, the statement about a mechanism that each tests, and whether it claims a gain over no attention or
/// that there is no effect.
const STATEMENTS: [(AttentionVariant, &str, bool); 4] = [
    (AttentionVariant::Softmax, "attention makes samples consistent", true),
    (
        AttentionVariant::Identity,
        "a pixel that attends to itself alone gains nothing: the place of the layer does not matter, what it looks at does",
        false,
    ),
    (AttentionVariant::Uniform, "to look everywhere alike is enough", true),
    (AttentionVariant::Top1, "to look at one place is enough", true),
];

pub(super) fn read(runs: &[RunResults], margins: &Margins) -> Reading {
    let mut findings = Vec::new();
    let groups = seed_groups(runs);
    for (variant, statement, gains) in STATEMENTS {
        let claim = match gains {
            true => Claim::Above { margin: 0.0 },
            false => Claim::Within { margin: margins.rate },
        };
        let mut finding = Finding::new(statement, claim);
        let attention = Some(variant);
        let with = groups.iter().filter(|group| group.experiment().network.attention == attention);
        for group in with {
            let twins = group.without_attention(&groups);
            let rates = twins.iter().map(|(a, b)| (a.rate("consistent"), b.rate("consistent")));
            let found = Differences::of_rates(rates);
            let (a, b) = (found.mean_a, found.mean_b);
            let words = format!("{}: consistent {a:.2}, without attention {b:.2}", group.words());
            finding.compare_networks(&found.each, words);
        }
        findings.push(finding);
    }
    let panel = rate_panel("consistent samples of the network", runs, |run| run.rate("consistent"));
    Reading { findings, tables: vec![rates(runs)], panels: vec![panel] }
}

#[cfg(test)]
mod tests {
    use super::super::runs_for_tests::with_training_seeds;
    use super::super::verdict_of_finding::Verdict;
    use super::*;

    #[test]
    fn each_variant_is_compared_with_no_attention() {
        let high = [[0.8, 0.78, 0.82], [0.82, 0.8, 0.84], [0.79, 0.77, 0.81]];
        let low = [[0.1, 0.08, 0.12], [0.12, 0.1, 0.14], [0.11, 0.09, 0.13]];
        let of = |attention: &str, rates| {
            with_training_seeds(&[&format!("network.attention={attention}")], &[], rates)
        };
        let verdicts = |identity| -> Vec<Verdict> {
            let runs = [
                of("softmax", high),
                of("identity", identity),
                of("uniform", low),
                of("none", low),
            ];
            read(&runs.concat(), &Margins::default())
                .findings
                .iter()
                .map(Finding::verdict)
                .collect()
        };
        use Verdict::{Fails, Holds, Undecided, Untested};
        assert_eq!(verdicts(high), [Holds, Fails, Undecided, Untested]);
        assert_eq!(verdicts(low)[1], Holds);
        let varied = [[0.1, 0.08, 0.12], [0.3, 0.28, 0.32], [0.05, 0.03, 0.07]];
        assert_eq!(verdicts(varied)[1], Undecided, "no effect is not the absence of a finding");
    }
}
