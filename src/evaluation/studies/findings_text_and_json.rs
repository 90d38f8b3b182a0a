//! Findings as text and JSON: the verdict, and every comparison with its difference, interval and p values.

use serde_json::{Value, json};

use super::verdict_of_finding::{Comparison, Finding, Scope, Verdict};
use crate::analysis::claim_tests::{Claim, LEVEL, Tested};
use crate::analysis::confidence_intervals::Interval;
use crate::config::Margins;

/// A summary of the verdicts of all findings.
pub fn summary(findings: &[Finding]) -> String {
    let count = |verdict| findings.iter().filter(|f| f.verdict() == verdict).count();
    let verdicts = Verdict::ALL.into_iter().filter(|verdict| count(*verdict) > 0);
    let words: Vec<String> = verdicts
        .map(|verdict| match verdict {
            Verdict::NotTestedOverNetworks => {
                format!("{}: {}{}", verdict.words(), count(verdict), within(findings))
            }
            _ => format!("{}: {}", verdict.words(), count(verdict)),
        })
        .collect();
    format!("{} statements; {}", findings.len(), words.join("; "))
}

/// How the verdicts were reached, in a few sentences.
pub fn method(margins: &Margins) -> String {
    format!(
        "Figures of runs with the same training seed are subtracted; intervals and p values are of the mean difference over training seeds. A statement is decided by its comparisons together, with p values corrected for their number (Holm) to at most {:.0}% false verdicts per statement. \"As often\" and \"gains nothing\" mean by less than {} of a share, \"not better\" by less than {} of r (90% intervals). Informed machines have seen the network's attention maps and decide nothing.",
        100.0 * LEVEL,
        margins.rate,
        margins.r
    )
}

/// A finding and its comparisons as a Markdown list.
pub fn markdown(finding: &Finding) -> String {
    let mut text = format!("- **{}**: {}\n", finding.statement, finding.words());
    for (comparison, tested) in finding.comparisons.iter().zip(finding.tested()) {
        text += &format!("  - {}\n", comparison_words(finding.claim, comparison, &tested));
    }
    text
}

/// A finding and its comparisons for programs. Unknown errors are null.
pub fn to_json(finding: &Finding) -> Value {
    let evidence = finding.comparisons.iter().zip(finding.tested());
    json!({
        "statement": finding.statement,
        "verdict": finding.verdict(),
        "within_networks": finding.within_networks(),
        "test": finding.claim,
        "evidence": evidence.map(|(each, tested)| evidence_json(each, &tested)).collect::<Vec<_>>(),
    })
}

/// The verdicts within networks of the findings that are not tested over networks.
fn within(findings: &[Finding]) -> String {
    let found = findings.iter().filter(|f| f.verdict() == Verdict::NotTestedOverNetworks);
    let found: Vec<Verdict> = found.filter_map(Finding::within_networks).collect();
    let count = |verdict| found.iter().filter(|other| **other == verdict).count();
    let verdicts = Verdict::ALL.into_iter().filter(|verdict| count(*verdict) > 0);
    let words: Vec<String> =
        verdicts.map(|verdict| format!("{}: {}", verdict.words(), count(verdict))).collect();
    format!(" (within these networks {})", words.join(", "))
}

fn comparison_words(claim: Claim, comparison: &Comparison, tested: &Tested) -> String {
    let outcome = Verdict::from(tested.outcome).words();
    let (head, over) = match comparison.scope {
        Scope::Networks => {
            (outcome.to_owned(), format!("over {} training seeds", comparison.difference.n))
        }
        Scope::Machine => (outcome.to_owned(), "over noise seeds".to_owned()),
        Scope::OneNetwork => {
            (format!("{outcome} within one network"), "over noise seeds".to_owned())
        }
        Scope::Informed => {
            let over = match comparison.difference.n {
                1 => "over noise seeds".to_owned(),
                n => format!("over {n} training seeds"),
            };
            (format!("informed, decides nothing ({outcome})"), over)
        }
    };
    let margin = match claim {
        Claim::Above { margin: 0.0 } => String::new(),
        Claim::Above { margin } => format!(" against {margin}"),
        Claim::Within { margin } => format!(" against a margin of +-{margin} (90%)"),
        Claim::NotAbove { margin } => format!(" against a margin of {margin} (90%)"),
    };
    let (p, corrected, word) = match tested.p_for <= tested.p_against {
        true => (tested.p_for, tested.corrected_for, "for"),
        false => (tested.p_against, tested.corrected_against, "against"),
    };
    let interval = interval_words(comparison.difference.interval(claim.confidence()));
    let (p, corrected) = (p_words(p), p_words(corrected));
    let words = &comparison.words;
    format!(
        "{head}: {words}; difference {interval}{margin} {over}; p {word} it {p}, corrected {corrected}"
    )
}

fn interval_words(interval: Interval) -> String {
    match interval.low.is_finite() {
        true => format!("{:.3} [{:.3}, {:.3}]", interval.estimate, interval.low, interval.high),
        false => format!("{:.3}, of unknown error,", interval.estimate),
    }
}

fn p_words(p: f64) -> String {
    if p < 0.0005 { "< .001".to_owned() } else { format!("{p:.3}").replacen("0.", ".", 1) }
}

fn evidence_json(comparison: &Comparison, tested: &Tested) -> Value {
    let Comparison { scope, difference, words } = comparison;
    let verdict = match scope {
        Scope::Networks | Scope::Machine => Verdict::from(tested.outcome),
        Scope::OneNetwork => Verdict::NotTestedOverNetworks,
        Scope::Informed => Verdict::Untested,
    };
    let interval = |confidence| {
        let Interval { low, high, .. } = difference.interval(confidence);
        [low, high]
    };
    json!({
        "verdict": verdict,
        "outcome": tested.outcome,
        "words": words,
        "scope": scope,
        "informed": *scope == Scope::Informed,
        "training_seeds": difference.n,
        "difference": difference.mean,
        "interval95": interval(0.95),
        "interval90": interval(0.9),
        "p_for": tested.p_for,
        "p_against": tested.p_against,
        "p_for_corrected": tested.corrected_for,
        "p_against_corrected": tested.corrected_against,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::paired_differences::Difference;

    fn differences(values: &[f64]) -> Vec<Difference> {
        let one =
            |v: &f64| Difference { value: *v, noise_error: 0.01, noise_degrees: f64::INFINITY };
        values.iter().map(one).collect()
    }

    #[test]
    fn every_comparison_says_what_was_tested_and_what_it_decides() {
        let mut finding = Finding::new("x", Claim::Within { margin: 0.1 });
        finding.compare_networks(&differences(&[0.02, 0.01, 0.03]), "a against b".to_owned());
        finding.compare(Scope::Informed, &differences(&[0.3]), "c".to_owned());
        let text = markdown(&finding);
        for words in [
            "- **x**: holds (comparisons: 1; holding: 1; failing: 0)",
            "- holds: a against b; difference 0.020 [",
            "] against a margin of +-0.1 (90%) over 3 training seeds; p for it ",
            "- informed, decides nothing (fails): c; difference 0.300 [",
        ] {
            assert!(text.contains(words), "{text}");
        }
        let json = to_json(&finding);
        assert_eq!((&json["verdict"], &json["test"]["kind"]), (&json!("holds"), &json!("within")));
        let informed = &json["evidence"][1];
        assert_eq!(informed["informed"], true);
        assert_eq!(
            (&informed["verdict"], &informed["outcome"]),
            (&json!("untested"), &json!("fails"))
        );
        assert_eq!(json["evidence"][0]["training_seeds"], 3);
    }

    #[test]
    fn one_training_seed_is_named_as_such() {
        let mut finding = Finding::new("x", Claim::Above { margin: 0.0 });
        let unknown = Difference { noise_error: f64::INFINITY, ..differences(&[0.4])[0] };
        finding.compare_networks(&[unknown], "a".to_owned());
        let text = markdown(&finding);
        let words = "undecided within one network: a; difference 0.400, of unknown error, over noise seeds; p for it 1.000";
        assert!(text.contains(words), "{text}");
        assert_eq!(to_json(&finding)["evidence"][0]["verdict"], "not_tested_over_networks");
        assert!(to_json(&finding)["evidence"][0]["interval95"][0].is_null());
        let summary = summary(&[finding]);
        assert!(summary.ends_with("networks: 1 (within these networks undecided: 1)"), "{summary}");
    }
}
