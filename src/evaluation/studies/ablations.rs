//! Which ability of attention makes samples consistent: choosing a place, summing over places, or just reaching other
//! pixels.

use super::consistency::rates;
use super::run_results::RunResults;
use super::study_report::rate_panel;
use super::verdict::{Finding, Reading, Verdict};
use crate::network::network_config::AttentionVariant;

/// Variants of attention, the statement about a mechanism that each tests, and whether it claims a gain over no attention.
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

pub(super) fn read(runs: &[RunResults]) -> Reading {
    let mut findings = Vec::new();
    for (variant, statement, gains) in STATEMENTS {
        let mut finding = Finding::new(statement);
        let with = runs.iter().filter(|run| run.arm.experiment.network.attention == Some(variant));
        for run in with {
            let Some(none) = run.twin(runs) else { continue };
            let (Some(a), Some(b)) = (run.rate("consistent"), none.rate("consistent")) else {
                continue;
            };
            let above = Verdict::above(a, b);
            let verdict = if gains { above } else { Verdict::unless(above) };
            let words = run.arm.words();
            finding.add(verdict, format!("{words}: consistent {a}, without attention {b}"));
        }
        findings.push(finding);
    }
    let panel = rate_panel("consistent samples of the network", runs, |run| run.rate("consistent"));
    Reading { findings, tables: vec![rates(runs)], panels: vec![panel] }
}

#[cfg(test)]
mod tests {
    use super::super::example_runs::run;
    use super::*;

    #[test]
    fn each_variant_is_held_against_no_attention() {
        let high = [0.8, 0.7, 0.9];
        let runs = [
            run(&["network.attention=softmax"], &[], high),
            run(&["network.attention=identity"], &[], high),
            run(&["network.attention=uniform"], &[], [0.1, 0.0, 0.2]),
            run(&["network.attention=none"], &[], [0.1, 0.0, 0.2]),
        ];
        let found: Vec<Verdict> = read(&runs).findings.iter().map(Finding::verdict).collect();
        let expected = [Verdict::Holds, Verdict::Fails, Verdict::Undecided, Verdict::Untested];
        assert_eq!(found, expected);
    }
}
