//! When, during training, networks copy their training images (Bonnaire et al., 2505.17638): the more images there are, the
//! later, while the time at which a network becomes good does not depend on their number.

use super::memorisation_growth::{Growth, Time};
use super::memorisation_tables::{copies_by_step, growth_table, panels, times_table};
use super::memorisation_times::families;
use super::run_results::RunResults;
use super::verdict_of_finding::{Finding, Reading};
use crate::analysis::claim_tests::Claim;

/// A time that grows with a smaller power of N than this counts as independent of N: for 16 times as many images it
/// doubles at most.
const INDEPENDENT: f64 = 0.25;

pub(super) fn read(runs: &[RunResults]) -> Reading {
    let above = Claim::Above { margin: 0.0 };
    let copied = "with more training images, copies appear later in training";
    let good = "the time at which the held-out error reaches what every number of images reaches does not depend on their number";
    let apart = "with more training images, held-out and training error part later";
    let mut findings = [
        (Time::Copied, Finding::new(copied, above)),
        (Time::Good, Finding::new(good, Claim::Within { margin: INDEPENDENT })),
        (Time::Apart, Finding::new(apart, above)),
    ];
    let families = families(runs);
    let mut growths = Vec::new();
    for family in &families {
        for (time, finding) in &mut findings {
            let growth = Growth::of(*time, family);
            let (seen, all) = (growth.n_seen, growth.n_runs);
            let words = format!("{}: power of N, seen in {seen} of {all} runs", growth.family);
            finding.compare_networks(&growth.powers, words);
            growths.push(growth);
        }
    }
    Reading {
        findings: findings.into_iter().map(|(_, finding)| finding).collect(),
        tables: vec![growth_table(&growths), times_table(&families), copies_by_step(&families)],
        panels: panels(&families),
    }
}

#[cfg(test)]
mod tests {
    use super::super::runs_for_tests::run;
    use super::super::verdict_of_finding::Verdict;
    use super::*;
    use crate::analysis::confidence_intervals::wilson;
    use crate::analysis::excess_over_floor::MeanSquaredError;
    use crate::evaluation::checkpoints_over_training::CheckpointFigures;

    /// Samples of each checkpoint.
    const SAMPLES: usize = 64;

    /// A run of `n` images that is good at step 200 and copies half of its samples at step `memorised`.
    fn trained(n: usize, seed: usize, memorised: f64) -> RunResults {
        let settings = [format!("dataset.n={n}"), format!("training.seed={seed}")];
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let mut found = run(&settings, &[], [0.0; 3]);
        let error = |mse: f64| MeanSquaredError { mse, se: 0.001 };
        found.over_training = (1..=40)
            .map(|at| {
                let step = f64::from(at) * 100.0;
                let share = (0.5 * step / memorised).min(1.0);
                let n_copies = (share * SAMPLES as f64).round() as usize;
                let copies = wilson(n_copies, SAMPLES);
                let fitted = 0.1 + 40.0 / step;
                CheckpointFigures {
                    step: step as u64,
                    n: SAMPLES,
                    copies: [copies.estimate, copies.low, copies.high],
                    training: error(fitted),
                    held_out: Some(error(fitted + 0.3 * (share - 0.2).max(0.0))),
                    valid: None,
                    novel: None,
                    is_copy: (0..SAMPLES).map(|sample| sample < n_copies).collect(),
                }
            })
            .collect();
        found
    }

    /// Runs of three training seeds whose time of copies is `time` of N and the seed.
    fn runs(time: fn(f64, usize) -> f64) -> Vec<RunResults> {
        let with = |seed: usize| {
            let factor = 1.0 + 0.01 * seed as f64;
            [8, 16, 32, 64].map(|n| trained(n, seed, time(n as f64, seed) * factor))
        };
        (0..3).flat_map(with).collect()
    }

    #[test]
    fn copies_that_appear_in_proportion_to_the_images_have_the_power_one() {
        let reading = read(&runs(|n, _| 30.0 * n));
        let verdicts: Vec<Verdict> = reading.findings.iter().map(Finding::verdict).collect();
        assert_eq!((verdicts[0], verdicts[2]), (Verdict::Holds, Verdict::Holds));
        let growth = reading.findings[0].comparisons[0].difference;
        assert!((growth.mean - 1.0).abs() < 0.05 && growth.n == 3, "{growth:?}");
        assert_eq!(reading.tables[0].rows[0][3], "yes", "{:?}", reading.tables[0]);
        // Half of the samples are copies at step 240, but for the rounding to whole samples.
        let row = &reading.tables[1].rows[0];
        let step: f64 = row[2].split(' ').next().unwrap().parse().unwrap();
        assert!((step - 240.0).abs() < 4.0 && row[1] == "8", "{row:?}");
    }

    #[test]
    fn copies_at_the_same_time_whatever_the_images_do_not_hold_and_none_are_no_evidence() {
        let reading = read(&runs(|n, seed| if (n > 20.0) == (seed == 0) { 950.0 } else { 900.0 }));
        assert_eq!(reading.findings[0].verdict(), Verdict::Undecided);
        assert_eq!(reading.tables[0].rows[0][3], "no");
        let never = read(&runs(|_, _| 1e9));
        assert_eq!(never.findings[0].verdict(), Verdict::Untested);
        assert_eq!(never.tables[1].rows[0][2], "not by 4000");
        // One of four numbers of images is not seen: the others are compared.
        let some = read(&runs(|n, _| if n > 40.0 { 1e9 } else { 30.0 * n }));
        assert_eq!(some.findings[0].verdict(), Verdict::Holds);
        assert!(some.findings[0].comparisons[0].words.ends_with("seen in 9 of 12 runs"));
    }

    #[test]
    fn the_time_of_a_fixed_error_does_not_depend_on_the_number_of_images() {
        // The error that all reach is that of the fewest images before they are copied.
        let good = &read(&runs(|n, _| 300.0 * n.sqrt())).findings[1];
        assert_eq!(good.verdict(), Verdict::Holds, "{good:?}");
        assert_eq!(good.comparisons[0].difference.n, 3);
    }
}
