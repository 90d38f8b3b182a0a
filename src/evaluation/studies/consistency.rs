//! Networks with attention against their twins: are samples globally consistent, and are they creative?

use super::run_results::{RunResults, twins};
use super::study_report::rate_panel;
use super::verdict::{Finding, Reading};
use crate::evaluation::markdown_table::{Table, cell};

pub(super) fn read(runs: &[RunResults]) -> Reading {
    let mut consistent = Finding::new(
        "networks with attention make more consistent samples than their twins without",
    );
    let mut creative =
        Finding::new("and more creative ones (valid, consistent and not in the training set)");
    for (with, without) in twins(runs) {
        for (finding, name) in [(&mut consistent, "consistent"), (&mut creative, "creative")] {
            finding.add_above(with.rate(name), without.rate(name), |a, b| {
                format!("{}: {name} {a} with, {b} without", with.arm.words())
            });
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
    use super::super::example_runs::run;
    use super::super::verdict::Verdict;
    use super::*;

    #[test]
    fn only_intervals_that_are_apart_count() {
        let runs = [
            run(&[], &[], [0.8, 0.7, 0.9]),
            run(&["network.attention=none"], &[], [0.1, 0.0, 0.2]),
            run(&["dataset.n=8"], &[], [0.3, 0.1, 0.5]),
            run(&["network.attention=none", "dataset.n=8"], &[], [0.2, 0.1, 0.4]),
        ];
        let reading = read(&runs);
        let verdicts: Vec<_> = reading.findings[0].evidence.iter().map(|e| e.verdict).collect();
        assert_eq!(verdicts, [Verdict::Holds, Verdict::Undecided]);
        assert_eq!(reading.tables[0].rows.len(), 4);
    }
}
