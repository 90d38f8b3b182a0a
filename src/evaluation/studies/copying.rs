//! When networks copy their training images: by the number of images and the receptive field, and whether theory agrees.

use std::num::NonZeroUsize;

use super::run_results::RunResults;
use super::study_report::rate_panel;
use super::verdict::{Finding, Reading, Verdict};
use crate::evaluation::markdown_table::{Table, cell, number};

/// Copies everything, whatever there is.
const COPIER: &str = "ideal";

pub(super) fn read(runs: &[RunResults]) -> Reading {
    let mut field = Finding::new("a network that sees more of the image copies more");
    let mut fewer = Finding::new("with more training images a network copies less");
    let mut whole = Finding::new("a machine that sees whole images copies most of its samples");
    let mut theory =
        Finding::new("the local machine copies as often as the network (intervals meet)");
    for (index, run) in runs.iter().enumerate() {
        compare_set_sizes(&mut fewer, run, &runs[index + 1..]);
        for other in &runs[..index] {
            compare_fields(&mut field, run, other);
        }
        if let Some(copies) = run.copies(COPIER) {
            whole.add(Verdict::above_half(copies), format!("{}: {copies}", run.arm.words()));
        }
        compare_local_machine(&mut theory, run);
    }
    let panel = rate_panel("copies among the network's samples", runs, |run| run.copies("network"));
    Reading {
        findings: vec![field, fewer, whole, theory],
        tables: vec![table(runs)],
        panels: vec![panel],
    }
}

/// Compares a run with the one of the largest set among `others` that differ in the number of images only.
fn compare_set_sizes(finding: &mut Finding, run: &RunResults, others: &[RunResults]) {
    let n = |run: &RunResults| run.arm.experiment.dataset.n.map_or(0, NonZeroUsize::get);
    let larger =
        others.iter().filter(|other| run.differs_only_in(other, "dataset.n") && n(other) > n(run));
    let Some(other) = larger.max_by_key(|other| n(other)) else { return };
    finding.add_above(run.copies("network"), other.copies("network"), |few, many| {
        format!("{}: copies {few}, with {} images {many}", run.arm.words(), n(other))
    });
}

/// Compares two runs that differ in their receptive fields only.
fn compare_fields(finding: &mut Finding, run: &RunResults, other: &RunResults) {
    let reach = |run: &RunResults| -> usize {
        run.arm.experiment.network.kernels.iter().map(|kernel| kernel - 1).sum()
    };
    let (small, large) = if reach(other) < reach(run) { (other, run) } else { (run, other) };
    if !run.differs_only_in(other, "network.kernels") || reach(small) == reach(large) {
        return;
    }
    finding.add_above(large.copies("network"), small.copies("network"), |a, b| {
        let kernels = small.setting("network.kernels");
        format!("{}: copies {a}, with kernels {kernels} {b}", large.arm.words())
    });
}

/// Compares a run's network with the local machine that pairs with it.
fn compare_local_machine(finding: &mut Finding, run: &RunResults) {
    let local = ["els", "bbels"].into_iter().find(|name| !run.r(name).is_empty());
    if let Some(local) = local
        && let (Some(machine), Some(network)) = (run.copies(local), run.copies("network"))
    {
        let apart = machine.low > network.high || machine.high < network.low;
        let verdict = if apart { Verdict::Fails } else { Verdict::Holds };
        let words = run.arm.words();
        finding.add(verdict, format!("{words}: {local} {machine}, the network {network}"));
    }
}

fn table(runs: &[RunResults]) -> Table {
    let head = [
        "run",
        "who",
        "copies",
        "distance to the nearest image",
        "pixels that are patch centres",
        "share of the leading image",
        "images used",
    ];
    let mut table = Table::new("What samples are made of", &head);
    for run in runs {
        for found in &run.mosaics {
            table.rows.push(vec![
                run.arm.words(),
                found.who.clone(),
                cell(run.copies(&found.who)),
                number(found.distance),
                format!("{:.2}", found.centres),
                format!("{:.2}", found.leading_share),
                format!("{:.1}", found.images_used),
            ]);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::super::example_runs::run;
    use super::*;
    use crate::evaluation::copies_and_mosaics::MosaicFigures;

    #[test]
    fn the_fewest_images_are_held_against_the_most() {
        let with = |n: usize, copies: [f64; 3]| {
            let mut run = run(&[&format!("dataset.n={n}")], &[("els", &[0.5])], [0.0; 3]);
            let figures = |who: &str, copies| MosaicFigures {
                who: who.into(),
                n: 32,
                copies,
                distance: None,
                centres: 0.0,
                leading_share: 0.0,
                images_used: 0.0,
                region_area: 0.0,
            };
            run.mosaics = vec![figures("network", copies), figures("els", [0.0, 0.0, 0.1])];
            run
        };
        let (all, none) = ([0.9, 0.8, 1.0], [0.0, 0.0, 0.1]);
        let findings = read(&[with(4, all), with(16, none), with(64, none)]).findings;
        assert_eq!(findings[0].verdict(), Verdict::Untested, "one field only");
        let findings = &findings[1..];
        let words: Vec<&str> = findings[0].evidence.iter().map(|e| e.words.as_str()).collect();
        assert!(words[0].contains("with 64 images") && words.len() == 2, "{words:?}");
        assert_eq!(findings[0].evidence[0].verdict, Verdict::Holds);
        assert_eq!(findings[1].verdict(), Verdict::Untested);
        assert_eq!(findings[2].words(), "mixed (in 2 of 3 comparisons)");
    }
}
