//! When networks copy their training images: by the number of images and the receptive field, and whether theory agrees.

use std::num::NonZeroUsize;

use super::paired_training_seeds::{Differences, SeedGroup, seed_groups};
use super::run_results::RunResults;
use super::study_report::rate_panel;
use super::verdict_of_finding::{Finding, Reading, Scope};
use crate::analysis::claim_tests::Claim;
use crate::analysis::confidence_intervals::Interval;
use crate::config::Margins;
use crate::config::experiment_settings::DatasetSettings;
use crate::evaluation::markdown_table::{Table, cell, with_ends};

/// Copies everything, whatever there is.
const COPIER: &str = "ideal";
/// The share that `most` means.
const HALF: Interval = Interval { estimate: 0.5, low: 0.5, high: 0.5 };

pub(super) fn read(runs: &[RunResults], margins: &Margins) -> Reading {
    let above = Claim::Above { margin: 0.0 };
    let mut field = Finding::new("a network that sees more of the image copies more", above);
    let mut fewer = Finding::new("with more training images a network copies less", above);
    let mut whole =
        Finding::new("a machine that sees whole images copies most of its samples", above);
    let mut theory = Finding::new(
        "the local machine copies as often as the network",
        Claim::Within { margin: margins.rate },
    );
    let groups = seed_groups(runs);
    let mut datasets: Vec<&DatasetSettings> = Vec::new();
    for (index, group) in groups.iter().enumerate() {
        compare_set_sizes(&mut fewer, group, &groups);
        for other in &groups[..index] {
            compare_fields(&mut field, group, other);
        }
        // The machine's samples depend on the training images only.
        let dataset = &group.experiment().dataset;
        if !datasets.contains(&dataset)
            && let Some(copies) = group.runs[0].copies(COPIER)
        {
            datasets.push(dataset);
            let found = Differences::of_rates(std::iter::once((Some(copies), Some(HALF))));
            let words = format!("{}: {copies}", group.words());
            whole.compare(Scope::Machine, &found.each, words);
        }
        compare_local_machine(&mut theory, group);
    }
    let panel = rate_panel("copies among the network's samples", runs, |run| run.copies("network"));
    Reading {
        findings: vec![field, fewer, whole, theory],
        tables: vec![table(runs)],
        panels: vec![panel],
    }
}

/// Compares a group with that of the largest set among those that differ in the number of images only.
fn compare_set_sizes(finding: &mut Finding, group: &SeedGroup<'_>, groups: &[SeedGroup<'_>]) {
    let n = |group: &SeedGroup<'_>| group.experiment().dataset.n.map_or(0, NonZeroUsize::get);
    let larger = groups.iter().filter(|other| n(other) > n(group));
    let pairs = larger.map(|other| (n(other), group.pairs(other, "dataset.n")));
    let found = pairs.filter(|(_, pairs)| !pairs.is_empty()).max_by_key(|(n, _)| *n);
    let Some((n, pairs)) = found else { return };
    let found = Differences::of_rates(
        pairs.iter().map(|(few, many)| (few.copies("network"), many.copies("network"))),
    );
    let (few, many) = (found.mean_a, found.mean_b);
    let words = format!("{}: copies {few:.2}, with {n} images {many:.2}", group.words());
    finding.compare_networks(&found.each, words);
}

/// Compares two groups that differ in their receptive fields only.
fn compare_fields(finding: &mut Finding, group: &SeedGroup<'_>, other: &SeedGroup<'_>) {
    let reach = |group: &SeedGroup<'_>| -> usize {
        group.experiment().network.kernels.iter().map(|kernel| kernel - 1).sum()
    };
    let (small, large) = if reach(other) < reach(group) { (other, group) } else { (group, other) };
    if reach(small) == reach(large) {
        return;
    }
    let pairs = large.pairs(small, "network.kernels");
    let found = Differences::of_rates(
        pairs.iter().map(|(large, small)| (large.copies("network"), small.copies("network"))),
    );
    let words = format!(
        "{}: copies {:.2}, with kernels {} {:.2}",
        large.words(),
        found.mean_a,
        small.runs[0].setting("network.kernels"),
        found.mean_b
    );
    finding.compare_networks(&found.each, words);
}

/// Compares the networks of a group with the local machine that pairs with them.
fn compare_local_machine(finding: &mut Finding, group: &SeedGroup<'_>) {
    let has = |name: &&str| !group.runs[0].r(name).is_empty();
    let Some(local) = ["els", "bbels"].into_iter().find(has) else { return };
    let rates = group.runs.iter().map(|run| (run.copies(local), run.copies("network")));
    let found = Differences::of_rates(rates);
    let (a, b) = (found.mean_a, found.mean_b);
    let words = format!("{}: {local} {a:.2}, the network {b:.2}", group.words());
    finding.compare_networks(&found.each, words);
}

fn table(runs: &[RunResults]) -> Table {
    let head = [
        "run",
        "who",
        "n",
        "copies",
        "distance to the nearest image",
        "pixels that are patch centres",
        "share of the leading image",
        "images used",
    ];
    let mut table = Table::new(
        "What samples are made of (95% intervals over samples; n: searched for copies)",
        &head,
    );
    for run in runs {
        for found in &run.mosaics {
            let ends = &found.intervals95;
            table.rows.push(vec![
                run.arm.words(),
                found.who.clone(),
                found.n.to_string(),
                cell(run.copies(&found.who)),
                cell(found.distance.map(|median| with_ends(median, ends.distance, 3))),
                with_ends(found.centres, ends.centres, 2),
                with_ends(found.leading_share, ends.leading_share, 2),
                with_ends(found.images_used, ends.images_used, 1),
            ]);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::super::runs_for_tests::with_training_seeds;
    use super::super::verdict_of_finding::Verdict;
    use super::*;
    use crate::evaluation::copies_and_mosaics::{MosaicFigures, MosaicIntervals};

    fn with(n: usize, copies: [f64; 3]) -> Vec<RunResults> {
        let figures = |who: &str, copies| MosaicFigures {
            who: who.into(),
            n: 32,
            copies,
            distance: None,
            centres: 0.0,
            leading_share: 0.0,
            images_used: 0.0,
            region_area: 0.0,
            n_patches: Some(32),
            intervals95: MosaicIntervals::default(),
        };
        let setting = format!("dataset.n={n}");
        let mut runs = with_training_seeds(&[&setting], &[("els", &[0.5])], [[0.0; 3]; 3]);
        for (at, run) in runs.iter_mut().enumerate() {
            let apart = [0.0, 0.01, 0.02][at];
            let network = figures("network", copies.map(|copies| copies - apart));
            let machines = [figures("els", [0.05, 0.0, 0.1]), figures(COPIER, [1.0, 0.9, 1.0])];
            run.mosaics = std::iter::once(network).chain(machines).collect();
        }
        runs
    }

    #[test]
    fn the_fewest_images_are_compared_with_the_most() {
        let (all, none) = ([0.9, 0.8, 1.0], [0.05, 0.0, 0.1]);
        let runs = [with(4, all), with(16, none), with(64, none)].concat();
        let findings = read(&runs, &Margins::default()).findings;
        assert_eq!(findings[0].verdict(), Verdict::Untested, "one field only");
        let fewer = &findings[1];
        assert!(fewer.comparisons[0].words.contains("copies 0.89, with 64 images 0.04"));
        assert_eq!(fewer.words(), "holds in part (comparisons: 2; holding: 1; failing: 0)");
        // The copier has no network: noise seeds alone decide, once per training set.
        assert_eq!(findings[2].words(), "holds (comparisons: 3; holding: 3; failing: 0)");
        assert_eq!(findings[2].comparisons[0].difference.n, 1);
        assert_eq!(findings[3].words(), "mixed (comparisons: 3; holding: 2; failing: 1)");
    }
}
