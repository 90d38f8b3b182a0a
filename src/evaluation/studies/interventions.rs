//! Do samples follow the attention maps, at which noise level is their global feature decided, and does the theory predict
//! both?

use super::paired_training_seeds::{SeedGroup, seed_groups};
use super::run_results::RunResults;
use super::verdict_of_finding::{Finding, Reading};
use crate::analysis::claim_tests::Claim;
use crate::analysis::confidence_intervals::{Interval, mean_interval};
use crate::analysis::paired_differences::Difference;
use crate::config::Margins;
use crate::evaluation::interventions::intervention_figures::Estimate;
use crate::evaluation::interventions::{Change, ChangeFigures, InterventionFigures};
use crate::evaluation::markdown_table::{Table, cell};

const NETWORK: &str = "network";
/// The threshold of statements about the noisier and the cleaner half of sampling.
const MIDDLE: f64 = 0.5;
/// How far two critical times may be apart to count as equal.
const TIME_MARGIN: f64 = 0.05;
/// Changes at every step whose effect on consistency the theory should predict.
const WHOLE: [Change; 5] = [
    Change::None,
    Change::OtherSeedsMaps,
    Change::HalvedLogits,
    Change::DoubledLogits,
    Change::IdentityMaps,
];

/// One run with its interventions.
type Changed<'a> = (&'a RunResults, &'a InterventionFigures);

pub(super) fn read(runs: &[RunResults], margins: &Margins) -> Reading {
    let groups = seed_groups(runs);
    let above = Claim::Above { margin: 0.0 };
    let mut findings = [
        Finding::new("uniform maps make samples less consistent", above),
        Finding::new(
            "with the maps of another noise seed, a sample stays nearer to its own seed's sample",
            above,
        ),
        Finding::new(
            "uniform maps above t = 0.5 cost more consistency than uniform maps up to t = 0.5",
            above,
        ),
        Finding::new(
            "the theory predicts how often samples are consistent after each change",
            Claim::Within { margin: margins.rate },
        ),
        Finding::new(
            "the theory predicts the noise level at which the global feature is decided",
            Claim::Within { margin: TIME_MARGIN },
        ),
    ];
    let mut tables = Vec::new();
    for group in &groups {
        let changed: Vec<Changed<'_>> =
            group.runs.iter().filter_map(|run| Some((*run, run.interventions.as_ref()?))).collect();
        let Some((_, first)) = changed.first() else { continue };
        compare(&mut findings, group, &changed);
        tables.push(changes(group, &changed, &first.theory));
        tables.push(times(group, &changed, &first.theory));
    }
    Reading { findings: findings.into(), tables, panels: Vec::new() }
}

fn compare(findings: &mut [Finding; 5], group: &SeedGroup<'_>, changed: &[Changed<'_>]) {
    let [needs_maps, stays, noisy_half, predicted, time] = findings;
    let of_rates = |a: (&str, Change, Option<f64>), b: (&str, Change, Option<f64>)| {
        let each = changed.iter().filter_map(|(_, found)| {
            let consistent =
                |(who, change, t)| interval(figure(found, who, change, t)?.consistent?);
            Some(Difference::of_rates(consistent(a)?, consistent(b)?))
        });
        each.collect::<Vec<Difference>>()
    };
    let own = (NETWORK, Change::None, None);
    let words = |what: &str| format!("{}: {what}", group.words());
    needs_maps.compare_networks(
        &of_rates(own, (NETWORK, Change::UniformAbove, Some(0.0))),
        words("consistent samples, unchanged minus uniform at every step"),
    );
    let follows = changed.iter().filter_map(|(_, found)| {
        let row = figure(found, NETWORK, Change::OtherSeedsMaps, None)?;
        Some(from_estimate(row.follows_other?, |share| 0.5 - share))
    });
    stays.compare_networks(
        &follows.collect::<Vec<Difference>>(),
        words("one half minus the share of samples nearer to the other seed's"),
    );
    noisy_half.compare_networks(
        &of_rates(
            (NETWORK, Change::UniformUpTo, Some(MIDDLE)),
            (NETWORK, Change::UniformAbove, Some(MIDDLE)),
        ),
        words("consistent samples, uniform up to t = 0.5 minus uniform above it"),
    );
    let theory = changed[0].1.theory.as_str();
    let everywhere = [(Change::UniformAbove, Some(0.0))];
    for (change, t) in WHOLE.map(|change| (change, None)).into_iter().chain(everywhere) {
        predicted.compare_networks(
            &of_rates((NETWORK, change, t), (theory, change, t)),
            words(&format!("consistent samples, network minus theory, {}", change.words())),
        );
    }
    let gaps = changed.iter().filter_map(|(_, found)| {
        let [a, b] =
            [NETWORK, theory].map(|who| critical(found, who, Change::Branches, "same-feature"));
        let ((a, b), error) = (a.zip(b)?, |e: Estimate| match e {
            // An unknown interval.
            [_, 0.0, 1.0] => f64::INFINITY,
            [_, low, high] => (high - low) / (2.0 * 1.96),
        });
        let noise_error = error(a).hypot(error(b));
        Some(Difference { value: a[0] - b[0], noise_error, noise_degrees: f64::INFINITY })
    });
    let gaps: Vec<Difference> = gaps.collect();
    time.compare_networks(&gaps, words("critical t of branches, network minus theory"));
}

/// A difference from a figure with its interval.
fn from_estimate([value, low, high]: Estimate, change: impl Fn(f64) -> f64) -> Difference {
    let noise_error = (high - low) / (2.0 * 1.96);
    Difference { value: change(value), noise_error, noise_degrees: f64::INFINITY }
}

fn interval([estimate, low, high]: Estimate) -> Option<Interval> {
    Some(Interval { estimate, low, high })
}

/// The figures of a change; of a threshold, those nearest to it.
fn figure<'a>(
    found: &'a InterventionFigures,
    who: &str,
    change: Change,
    t: Option<f64>,
) -> Option<&'a ChangeFigures> {
    let rows = found.changes.iter().filter(|row| row.subject == who && row.change == change);
    let distance = |row: &&ChangeFigures| (row.t.unwrap_or(0.0) - t.unwrap_or(0.0)).abs();
    rows.min_by(|a, b| distance(a).total_cmp(&distance(b)))
}

fn critical(
    found: &InterventionFigures,
    who: &str,
    change: Change,
    name: &str,
) -> Option<Estimate> {
    let mut times = found.critical_times.iter();
    let is_it = |time: &&crate::evaluation::interventions::CriticalTime| {
        time.subject == who && time.change == change && time.figure == name
    };
    times.find(is_it)?.t
}

/// Mean over training seeds with its interval; the mean alone of one.
fn over_seeds(values: impl Iterator<Item = f64>) -> String {
    let values: Vec<f64> = values.collect();
    match values[..] {
        [] => cell(None::<f64>),
        [one] => format!("{one:.2}"),
        _ => cell(mean_interval(&values)),
    }
}

/// Every change: network and theory, means over training seeds.
fn changes(group: &SeedGroup<'_>, changed: &[Changed<'_>], theory: &str) -> Table {
    let title = format!("{}: changes, mean over {} training seeds", group.words(), changed.len());
    let of_theory = format!("consistent: {theory}");
    let head = [
        "changed",
        "t",
        "consistent: network",
        &of_theory,
        "r with its own: network",
        "nearer the other: network",
        "same feature: network",
        "same feature: theory",
    ];
    let mut table = Table::new(&title, &head);
    for row in changed[0].1.changes.iter().filter(|row| row.subject == NETWORK) {
        let mean = |who: &str, pick: fn(&ChangeFigures) -> Option<Estimate>| {
            let found = changed
                .iter()
                .filter_map(|(_, found)| Some(pick(figure(found, who, row.change, row.t)?)?[0]));
            over_seeds(found)
        };
        table.rows.push(vec![
            row.change.words().to_owned(),
            cell(row.t.map(|t| format!("{t:.2}"))),
            mean(NETWORK, |found| found.consistent),
            mean(theory, |found| found.consistent),
            mean(NETWORK, |found| found.r_own),
            mean(NETWORK, |found| found.follows_other),
            mean(NETWORK, |found| found.same_feature),
            mean(theory, |found| found.same_feature),
        ]);
    }
    table
}

/// The critical times: network and theory.
fn times(group: &SeedGroup<'_>, changed: &[Changed<'_>], theory: &str) -> Table {
    let title =
        format!("{}: critical times, mean over {} training seeds", group.words(), changed.len());
    let mut table = Table::new(&title, &["changed", "figure", "network", theory]);
    let of_network = changed[0].1.critical_times.iter().filter(|time| time.subject == NETWORK);
    for time in of_network {
        let mean = |who: &str| {
            let found = changed
                .iter()
                .filter_map(|(_, found)| Some(critical(found, who, time.change, &time.figure)?[0]));
            over_seeds(found)
        };
        let (change, figure) = (time.change.words().to_owned(), time.figure.clone());
        table.rows.push(vec![change, figure, mean(NETWORK), mean(theory)]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::super::runs_for_tests::with_training_seeds;
    use super::super::verdict_of_finding::Verdict;
    use super::*;
    use crate::evaluation::interventions::CriticalTime;

    fn share(value: f64) -> Option<Estimate> {
        Some([value, value - 0.02, value + 0.02])
    }

    fn row(subject: &str, change: Change, t: Option<f64>, consistent: f64) -> ChangeFigures {
        ChangeFigures {
            subject: subject.to_owned(),
            change,
            t,
            r_own: share(0.5),
            r_other: share(0.3),
            follows_other: share(0.2),
            consistent: share(consistent),
            valid: None,
            same_feature: None,
        }
    }

    /// Three training seeds whose theory is `gap` less consistent, and decides at another t by as much.
    fn runs(gap: f64, uniform_above: f64) -> Vec<RunResults> {
        let mut runs = with_training_seeds(&[], &[], [[0.8, 0.77, 0.83]; 3]);
        for (seed, run) in runs.iter_mut().enumerate() {
            let shift = 0.005 * seed as f64;
            let mut changes = Vec::new();
            let mut critical_times = Vec::new();
            for (who, gap) in [(NETWORK, 0.0), ("attention-optimal", gap)] {
                let mut add = |change, t, consistent: f64| {
                    changes.push(row(who, change, t, consistent + shift - gap));
                };
                WHOLE.into_iter().for_each(|change| add(change, None, 0.9));
                add(Change::UniformAbove, Some(0.0), 0.2);
                add(Change::UniformAbove, Some(0.5), uniform_above);
                add(Change::UniformUpTo, Some(0.5), 0.7);
                critical_times.push(CriticalTime {
                    subject: who.to_owned(),
                    change: Change::Branches,
                    figure: "same-feature".to_owned(),
                    t: share(0.6 + shift - gap),
                });
            }
            let theory = "attention-optimal".to_owned();
            run.interventions =
                Some(InterventionFigures { n_seeds: 100, theory, changes, critical_times });
        }
        runs
    }

    #[test]
    fn statements_are_tested_against_the_changes_that_they_name() {
        use Verdict::{Fails, Holds};
        let verdicts = |runs: &[RunResults]| -> Vec<Verdict> {
            let reading = read(runs, &Margins::default());
            assert_eq!(reading.tables.len(), 2);
            reading.findings.iter().map(Finding::verdict).collect()
        };
        assert_eq!(verdicts(&runs(0.0, 0.4)), [Holds; 5]);
        assert_eq!(verdicts(&runs(0.3, 0.9)), [Holds, Holds, Fails, Fails, Fails]);
    }

    #[test]
    fn runs_without_interventions_leave_statements_untested() {
        let runs = with_training_seeds(&[], &[], [[0.8, 0.77, 0.83]; 3]);
        let reading = read(&runs, &Margins::default());
        assert!(reading.findings.iter().all(|found| found.verdict() == Verdict::Untested));
    }
}
