//! Networks with attention against their twins: are samples globally consistent, and are they creative?

use super::paired_training_seeds::{Differences, seed_groups};
use super::run_results::RunResults;
use super::study_report::rate_panel;
use super::verdict_of_finding::{Finding, Reading};
use crate::analysis::claim_tests::Claim;
use crate::evaluation::markdown_table::{Table, cell};
use crate::network::network_config::AttentionVariant;

pub(super) fn read(runs: &[RunResults]) -> Reading {
    let mut consistent = Finding::new(
        "networks with attention make more consistent samples than their twins without",
        Claim::Above { margin: 0.0 },
    );
    let mut creative = Finding::new(
        "and more creative ones (valid, consistent and not in the training set)",
        Claim::Above { margin: 0.0 },
    );
    let groups = seed_groups(runs);
    let softmax = Some(AttentionVariant::Softmax);
    for group in groups.iter().filter(|group| group.experiment().network.attention == softmax) {
        let twins = group.without_attention(&groups);
        for (finding, name) in [(&mut consistent, "consistent"), (&mut creative, "creative")] {
            let rates = twins.iter().map(|(with, without)| (with.rate(name), without.rate(name)));
            let found = Differences::of_rates(rates);
            let (a, b) = (found.mean_a, found.mean_b);
            let words = format!("{}: {name} {a:.2} with, {b:.2} without", group.words());
            finding.compare_networks(&found.each, words);
        }
    }
    let panels = ["consistent", "creative"].map(|name| {
        rate_panel(&format!("{name} samples of the network"), runs, |run| run.rate(name))
    });
    Reading {
        findings: vec![consistent, creative],
        tables: vec![rates(runs)],
        panels: panels.into_iter().collect(),
    }
}

/// Every judged rate of every run's network.
pub(super) fn rates(runs: &[RunResults]) -> Table {
    let names = ["whole", "valid", "consistent", "novel", "creative", "hue_purity"];
    let head: Vec<&str> = ["run", "judged"].into_iter().chain(names).collect();
    let mut table = Table::new("Judged samples of the networks, with 95% intervals", &head);
    for run in runs {
        let cells = names.iter().map(|name| cell(run.rate(name)));
        table.rows.push([run.arm.words(), cell(run.judged())].into_iter().chain(cells).collect());
    }
    table
}

#[cfg(test)]
mod tests {
    use super::super::runs_for_tests::with_training_seeds;
    use super::super::verdict_of_finding::Verdict;
    use super::*;

    #[test]
    fn networks_are_compared_with_their_twins_over_training_seeds() {
        let high = [[0.8, 0.75, 0.85], [0.82, 0.77, 0.87], [0.79, 0.74, 0.84]];
        let low = [[0.1, 0.05, 0.15], [0.12, 0.07, 0.17], [0.11, 0.06, 0.16]];
        let varied = [[0.3, 0.25, 0.35], [0.1, 0.05, 0.15], [0.05, 0.0, 0.1]];
        let runs = [
            with_training_seeds(&[], &[], high),
            with_training_seeds(&["network.attention=none"], &[], low),
            with_training_seeds(&["dataset.n=8"], &[], varied),
            with_training_seeds(&["network.attention=none", "dataset.n=8"], &[], low),
        ]
        .concat();
        let reading = read(&runs);
        let finding = &reading.findings[0];
        assert_eq!(finding.words(), "holds in part (comparisons: 2; holding: 1; failing: 0)");
        assert!(finding.comparisons[0].words.contains("consistent 0.80 with, 0.11 without"));
        assert_eq!(finding.comparisons[0].difference.n, 3);
        assert_eq!(reading.tables[0].rows.len(), 12);
        // The quick form has one training seed.
        let alone = read(&[runs[0].clone(), runs[3].clone()]);
        assert_eq!(alone.findings[0].verdict(), Verdict::NotTestedOverNetworks);
        assert_eq!(alone.findings[0].within_networks(), Some(Verdict::Holds));
    }
}
