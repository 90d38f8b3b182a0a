//! Whether two networks that were trained on disjoint halves of a set make the same images, by the number of images
//! (Kadkhodaie et al., arXiv 2310.02557).
//!
//! r between the halves: samples of the networks of both halves with the same training seed, from the same noise seeds. Ceiling:
//! the network of a training seed and that of the next one (the first after the last), both of the first half; each network is
//! in two of these pairs, so the differences to the ceiling are not quite independent over training seeds.

use std::num::NonZeroUsize;

use super::paired_training_seeds::{Differences, SeedGroup, seed_groups};
use super::run_results::RunResults;
use super::study_report::rate_panel;
use super::verdict_of_finding::{Finding, Reading};
use crate::analysis::agreement::agreement;
use crate::analysis::claim_tests::Claim;
use crate::analysis::confidence_intervals::{median_interval, quartiles};
use crate::config::Margins;
use crate::dataset::Half;
use crate::evaluation::markdown_table::{Table, cell, text_or};

/// r of samples of two networks, by noise seed.
type R = Vec<Option<f64>>;

/// The networks of both halves with so many images each.
struct Halves<'a> {
    n: usize,
    first: &'a SeedGroup<'a>,
    second: &'a SeedGroup<'a>,
    /// By training seed, of those with both halves.
    between: Vec<R>,
    /// By training seed: with the next one of the first half; empty for a single one.
    ceiling: Vec<R>,
}

pub(super) fn read(runs: &[RunResults], margins: &Margins) -> Reading {
    let above = Claim::Above { margin: 0.0 };
    let mut agree = Finding::new(
        "networks of disjoint halves agree more, the more images each was trained on",
        above,
    );
    let mut ceiling = Finding::new(
        "with the most images, networks of disjoint halves agree as well as two training seeds of one half",
        Claim::NotAbove { margin: margins.r },
    );
    let mut copies = Finding::new("with more images, a network copies its own half less", above);
    let groups = seed_groups(runs);
    let all = halves(&groups);
    for one in &all {
        let larger = all.iter().filter(|other| is_larger(other, one));
        let Some(most) = larger.max_by_key(|other| other.n) else {
            compare_with_ceiling(&mut ceiling, one);
            continue;
        };
        let pairs = most.between.iter().zip(&one.between);
        let found = Differences::of_r(pairs.map(|(many, few)| (&many[..], &few[..])));
        let (many, few) = (found.mean_a, found.mean_b);
        let words = format!("{}: r {few:.2}, with {} images {many:.2}", words_of(one), most.n);
        agree.compare_networks(&found.each, words);
        for (few, many) in [(one.first, most.first), (one.second, most.second)] {
            let pairs = few.pairs(many, "dataset.n");
            let found = Differences::of_rates(
                pairs.iter().map(|(few, many)| (few.copies("network"), many.copies("network"))),
            );
            let (a, b) = (found.mean_a, found.mean_b);
            let words = format!("{}: copies {a:.2}, with {} images {b:.2}", few.words(), most.n);
            copies.compare_networks(&found.each, words);
        }
    }
    let panel = rate_panel("copies among the network's samples", runs, |run| run.copies("network"));
    Reading {
        findings: vec![agree, ceiling, copies],
        tables: vec![table(&all)],
        panels: vec![panel],
    }
}

/// The pairs of groups that differ in their half only.
fn halves<'a>(groups: &'a [SeedGroup<'a>]) -> Vec<Halves<'a>> {
    let of = |half: Half| groups.iter().filter(move |g| g.experiment().dataset.half == half);
    let pair = |first: &'a SeedGroup<'a>| {
        of(Half::Second).find_map(|second| {
            let pairs = first.pairs(second, "dataset.half");
            let between: Vec<R> = pairs.iter().filter_map(|(a, b)| r_between(a, b)).collect();
            (!between.is_empty()).then(|| Halves {
                n: first.experiment().dataset.n.map_or(0, NonZeroUsize::get),
                first,
                second,
                between,
                ceiling: ceiling_of(first),
            })
        })
    };
    of(Half::First).filter_map(pair).collect()
}

/// r of the same noise seeds; `None` if samples were not kept or are of other noise seeds.
fn r_between(a: &RunResults, b: &RunResults) -> Option<R> {
    let (a, b) = (a.samples.as_ref()?, b.samples.as_ref()?);
    let are_same = (a.first_seed, a.noise_seed, a.sampling_steps, a.samples.len())
        == (b.first_seed, b.noise_seed, b.sampling_steps, b.samples.len())
        && a.samples.shape() == b.samples.shape();
    let r = |(a, b): (&[f64], &[f64])| agreement(a, b).r;
    are_same.then(|| a.samples.iter().zip(b.samples.iter()).map(r).collect())
}

/// Each training seed with the next.
fn ceiling_of(group: &SeedGroup<'_>) -> Vec<R> {
    let n = group.runs.len();
    if n < 2 {
        return Vec::new();
    }
    (0..n).filter_map(|i| r_between(group.runs[i], group.runs[(i + 1) % n])).collect()
}

/// Whether `a` is `b` with more images.
fn is_larger(a: &Halves<'_>, b: &Halves<'_>) -> bool {
    a.n > b.n && !b.first.pairs(a.first, "dataset.n").is_empty()
}

fn compare_with_ceiling(finding: &mut Finding, most: &Halves<'_>) {
    if most.ceiling.is_empty() {
        return;
    }
    let pairs = most.ceiling.iter().zip(&most.between);
    let found = Differences::of_r(pairs.map(|(same, other)| (&same[..], &other[..])));
    let (same, other) = (found.mean_a, found.mean_b);
    let words = format!("{}: r of training seeds {same:.2}, of halves {other:.2}", words_of(most));
    finding.compare_networks(&found.each, words);
}

fn words_of(halves: &Halves<'_>) -> String {
    let word = ", dataset.half first";
    halves.first.words().replace(word, "")
}

fn table(all: &[Halves<'_>]) -> Table {
    let head = [
        "images each",
        "training seed",
        "r between the halves",
        "ceiling",
        "copies, first",
        "copies, second",
    ];
    let mut table = Table::new(
        "Networks of disjoint halves (median r over noise seeds; ceiling: with the next training seed of the first half)",
        &head,
    );
    for one in all {
        let pairs = one.first.pairs(one.second, "dataset.half");
        for (at, (first, second)) in pairs.iter().enumerate() {
            let values = |r: &R| r.iter().flatten().copied().collect::<Vec<f64>>();
            let between = one.between.get(at).and_then(|r| median_interval(&values(r)));
            let ceiling = one.ceiling.get(at).and_then(|r| quartiles(&values(r)));
            table.rows.push(vec![
                one.n.to_string(),
                first.arm.experiment.training.seed.to_string(),
                text_or(between, "undefined"),
                cell(ceiling.map(|found| format!("{:.2}", found.median))),
                cell(first.copies("network")),
                cell(second.copies("network")),
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
    use crate::evaluation::report::NetworkSamples;
    use crate::image::{ImageBatch, ImageShape};
    use crate::random::noise_seeds;

    /// Three training seeds of a half, whose samples have `shared` of their variance in common with all other networks.
    fn with(n: usize, half: &str, shared: f64, copies: f64) -> Vec<RunResults> {
        let (count, half_of) = (format!("dataset.n={n}"), format!("dataset.half={half}"));
        let mut runs = with_training_seeds(&[&count, &half_of], &[("els", &[0.5])], [[0.0; 3]; 3]);
        let shape = ImageShape::new(1, 16, 16);
        let common = noise_seeds(1, 0, 20, shape);
        for (seed, run) in runs.iter_mut().enumerate() {
            let own =
                noise_seeds(1000 * n as u64 + 10 * half.len() as u64 + seed as u64, 0, 20, shape);
            let pairs = common.values().iter().zip(own.values());
            let values =
                pairs.map(|(c, o)| shared.sqrt() * c + (1.0 - shared).sqrt() * o).collect();
            run.samples = Some(NetworkSamples {
                first_seed: 1000,
                noise_seed: 0,
                sampling_steps: 20,
                samples: ImageBatch::new(shape, values),
            });
            let share = copies - 0.01 * seed as f64;
            run.mosaics = vec![MosaicFigures {
                who: "network".into(),
                n: 100,
                n_patches: Some(32),
                copies: [share, share - 0.05, share + 0.05],
                distance: None,
                centres: 0.0,
                leading_share: 0.0,
                images_used: 0.0,
                region_area: 0.0,
                intervals95: MosaicIntervals::default(),
            }];
        }
        runs
    }

    #[test]
    fn halves_that_agree_with_many_images_and_copy_few_are_found() {
        let of = |n, shared, copies| {
            [with(n, "first", shared, copies), with(n, "second", shared, copies)].concat()
        };
        let runs = [of(8, 0.1, 0.9), of(64, 0.8, 0.1)].concat();
        let reading = read(&runs, &Margins::default());
        let verdicts: Vec<Verdict> = reading.findings.iter().map(Finding::verdict).collect();
        assert_eq!(verdicts, [Verdict::Holds; 3], "{:?}", reading.findings);
        let words = &reading.findings[0].comparisons[0].words;
        assert!(words.contains("r 0.1") && words.contains("with 64 images 0.8"), "{words}");
        assert_eq!(reading.findings[2].comparisons.len(), 2, "both halves");
        assert_eq!(reading.tables[0].rows.len(), 6);
    }

    #[test]
    fn halves_that_disagree_below_the_ceiling_fail_and_one_half_says_nothing() {
        // Another shared part for each half: training seeds agree, halves do not.
        let mut runs = [with(8, "first", 0.8, 0.5), with(8, "second", 0.0, 0.5)].concat();
        let findings = read(&runs, &Margins::default()).findings;
        assert_eq!(findings[0].verdict(), Verdict::Untested);
        assert_eq!(findings[1].verdict(), Verdict::Fails);
        runs.truncate(3);
        let reading = read(&runs, &Margins::default());
        assert!(reading.findings.iter().all(|found| found.verdict() == Verdict::Untested));
    }
}
