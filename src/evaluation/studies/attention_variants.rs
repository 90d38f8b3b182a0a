//! Does the optimum of a network's class (`attention-optimal`) say what each variant of attention and each readout makes
//! of a network's samples?

use super::consistency::rates;
use super::paired_training_seeds::{Differences, SeedGroup, seed_groups};
use super::run_results::{PredictedAttention, RunResults};
use super::study_report::rate_panel;
use super::verdict_of_finding::{Finding, Reading};
use super::which_theory_predicts_which_network::compare_machines;
use crate::analysis::agreement_ceiling::{ceiling, share_of_the_way};
use crate::analysis::claim_tests::Claim;
use crate::analysis::confidence_intervals::Interval;
use crate::config::Margins;
use crate::evaluation::markdown_table::{Table, cell, number};
use crate::evaluation::spread_over_runs;
use crate::image::ImageBatch;
use crate::network::network_config::{AttentionVariant, Readout};

const OPTIMAL: &str = "attention-optimal";
/// The machine without attention: the optimum of networks without it, or that attend to themselves alone.
const LOCAL: &str = "els";
const CONSISTENT: &str = "consistent";

/// What a statement compares the consistency of a variant with.
#[derive(Clone, Copy)]
enum Twin {
    /// The same network without attention.
    WithoutAttention,
    /// The same network with the linear readout.
    LinearReadout,
}

/// A variant, its readout, what it is compared with, whether it gains by it, and the statement.
type Statement = (AttentionVariant, Readout, Twin, bool, &'static str);

const STATEMENTS: [Statement; 5] = [
    (
        AttentionVariant::Softmax,
        Readout::Linear,
        Twin::WithoutAttention,
        true,
        "softmax attention with a linear readout makes samples consistent",
    ),
    (
        AttentionVariant::Uniform,
        Readout::Linear,
        Twin::WithoutAttention,
        false,
        "uniform attention with a linear readout brings nothing",
    ),
    (
        AttentionVariant::Uniform,
        Readout::Relu,
        Twin::LinearReadout,
        true,
        "uniform attention with a joint readout makes samples consistent",
    ),
    (
        AttentionVariant::Identity,
        Readout::Linear,
        Twin::WithoutAttention,
        false,
        "attention to oneself brings nothing, with a linear readout",
    ),
    (
        AttentionVariant::Identity,
        Readout::Relu,
        Twin::WithoutAttention,
        false,
        "attention to oneself brings nothing, with a joint readout",
    ),
];

pub(super) fn read(runs: &[RunResults], margins: &Margins) -> Reading {
    let groups = seed_groups(runs);
    let mut findings: Vec<Finding> =
        STATEMENTS.map(|statement| finding(&groups, statement, margins)).into();
    findings.push(more_heads(&groups));
    let within = Claim::Within { margin: margins.rate };
    let words = "networks are as often consistent as the optimum of their class predicts";
    let mut predicted = Finding::new(words, within);
    let words = "the optimum of its class predicts a network's samples better than els";
    let mut better = Finding::new(words, Claim::Above { margin: 0.0 });
    for group in &groups {
        compare_with_prediction(&mut predicted, group);
        if group.runs.iter().all(|run| !run.r(OPTIMAL).is_empty()) {
            compare_machines(&mut better, group, OPTIMAL, LOCAL);
        }
    }
    findings.extend([predicted, better]);
    let panel = rate_panel("consistent samples of the network", runs, |run| run.rate(CONSISTENT));
    Reading {
        findings,
        tables: vec![predictions(&groups), errors(&groups), entropies(&groups), rates(runs)],
        panels: vec![panel],
    }
}

fn finding(groups: &[SeedGroup<'_>], statement: Statement, margins: &Margins) -> Finding {
    let (variant, readout, twin, gains, words) = statement;
    let claim = match gains {
        true => Claim::Above { margin: 0.0 },
        false => Claim::Within { margin: margins.rate },
    };
    let mut finding = Finding::new(words, claim);
    let is_meant = |group: &&SeedGroup<'_>| {
        let network = &group.experiment().network;
        network.attention == Some(variant) && network.readout == readout
    };
    for group in groups.iter().filter(is_meant) {
        let twins = match twin {
            Twin::WithoutAttention => group.without_attention(groups),
            Twin::LinearReadout => groups
                .iter()
                .filter(|other| other.experiment().network.readout == Readout::Linear)
                .map(|other| group.pairs(other, "network.readout"))
                .find(|pairs| !pairs.is_empty())
                .unwrap_or_default(),
        };
        compare_rates(&mut finding, group, &twins);
    }
    finding
}

/// Networks that differ in their number of heads: the next larger number against each.
fn more_heads(groups: &[SeedGroup<'_>]) -> Finding {
    let words = "more heads make samples more consistent";
    let mut finding = Finding::new(words, Claim::Above { margin: 0.0 });
    for group in groups.iter().filter(|group| group.experiment().network.attention.is_some()) {
        let heads = |group: &SeedGroup<'_>| group.experiment().network.heads;
        let fewer = groups
            .iter()
            .filter(|other| heads(other) < heads(group))
            .map(|other| (heads(other), group.pairs(other, "network.heads")))
            .filter(|(_, pairs)| !pairs.is_empty())
            .max_by_key(|(heads, _)| *heads);
        if let Some((_, pairs)) = fewer {
            compare_rates(&mut finding, group, &pairs);
        }
    }
    finding
}

fn compare_rates(
    finding: &mut Finding,
    group: &SeedGroup<'_>,
    twins: &[(&RunResults, &RunResults)],
) {
    let rates = twins.iter().map(|(a, b)| (a.rate(CONSISTENT), b.rate(CONSISTENT)));
    let found = Differences::of_rates(rates);
    let (a, b) = (found.mean_a, found.mean_b);
    let words = format!("{}: consistent {a:.2}, its twin {b:.2}", group.words());
    finding.compare_networks(&found.each, words);
}

/// The network's share of consistent samples against that of its optimum, which is `els` where attention brings nothing.
fn compare_with_prediction(finding: &mut Finding, group: &SeedGroup<'_>) {
    let pair = |run: &&RunResults| {
        (run.rate(CONSISTENT), run.machine_rate(prediction_of(run), CONSISTENT))
    };
    let found = Differences::of_rates(group.runs.iter().map(pair));
    let (a, b) = (found.mean_a, found.mean_b);
    let words = format!("{}: consistent {a:.2}, predicted {b:.2}", group.words());
    finding.compare_networks(&found.each, words);
}

/// The machine that is the optimum of the run's class.
fn prediction_of(run: &RunResults) -> &'static str {
    if run.r(OPTIMAL).is_empty() { LOCAL } else { OPTIMAL }
}

/// Prediction and network of every group: means over training seeds.
fn predictions(groups: &[SeedGroup<'_>]) -> Table {
    let head = [
        "networks",
        "training seeds",
        "consistent: predicted",
        "consistent: network",
        "r of els",
        "r of the optimum",
        "r of another training seed (ceiling)",
        "share of the way from els to the ceiling",
        "seeds won against els",
    ];
    let mut table = Table::new("What the optimum of the class predicts, and the networks", &head);
    for group in groups {
        let mean = |figure: &dyn Fn(&RunResults) -> Option<f64>| {
            mean(group.runs.iter().filter_map(|run| figure(run)))
        };
        let of_machine = |run: &RunResults| run.machine_rate(prediction_of(run), CONSISTENT);
        let median = |machine: &str| {
            mean(&|run: &RunResults| run.r_quartiles(machine).map(|found| found.median))
        };
        let (local, optimal, ceiling) =
            (median(LOCAL), median(OPTIMAL), ceiling_of(group).map(|found| found.estimate));
        let way = match (local, optimal, ceiling) {
            (Some(local), Some(r), Some(ceiling)) => share_of_the_way(r, local, ceiling),
            _ => None,
        };
        table.rows.push(vec![
            group.words(),
            group.runs.len().to_string(),
            number(mean(&|run| of_machine(run).map(|rate| rate.estimate))),
            number(mean(&|run| run.rate(CONSISTENT).map(|rate| rate.estimate))),
            number(local),
            number(optimal),
            cell(ceiling_of(group)),
            number(way),
            number(mean(&|run| run.won(OPTIMAL, LOCAL).map(|won| won.estimate))),
        ]);
    }
    table
}

/// Attention of the optimum and of networks by noise level.
fn entropies(groups: &[SeedGroup<'_>]) -> Table {
    let head = [
        "networks",
        "t",
        "entropy of the network's attention",
        "of the optimum's",
        "r of log weights",
    ];
    let title = "Attention by noise level: entropy in nats at the networks' own states";
    let mut table = Table::new(title, &head);
    for group in groups {
        let of = |run: &RunResults| -> Vec<PredictedAttention> {
            let all = run.predicted_attention.iter();
            all.filter(|found| found.machine == OPTIMAL).cloned().collect()
        };
        let each: Vec<Vec<PredictedAttention>> = group.runs.iter().map(|run| of(run)).collect();
        for level in &each[0] {
            let at = |pick: fn(&PredictedAttention) -> Option<f64>| {
                let same = |all: &Vec<PredictedAttention>| {
                    all.iter().find(|other| (other.t - level.t).abs() < 1e-9).and_then(pick)
                };
                number(mean(each.iter().filter_map(same)))
            };
            table.rows.push(vec![
                group.words(),
                number(Some(level.t)),
                at(|found| Some(found.measured)),
                at(|found| Some(found.predicted)),
                at(|found| found.r_of_logs),
            ]);
        }
    }
    table
}

/// Errors by noise level: network, optimum and els.
fn errors(groups: &[SeedGroup<'_>]) -> Table {
    let head = [
        "networks",
        "t",
        "error of the network",
        "of the optimum",
        "of els",
        "network above the optimum",
    ];
    let mut table = Table::new("Mean squared error of x0hat by noise level", &head);
    for group in groups {
        let levels = group.runs[0].floor_levels().len();
        for level in 0..levels {
            let value = |key: &'static str| {
                mean(
                    group
                        .runs
                        .iter()
                        .filter_map(|run| run.floor_levels().get(level)?[key]["mse"].as_f64()),
                )
            };
            let t = group.runs[0].floor_levels()[level]["t"].as_f64();
            let (network, local) = (value("network"), value(LOCAL));
            let optimum = value(OPTIMAL).or(local);
            let above =
                network.zip(optimum).map(|(a, b)| format!("{:+.1}%", 100.0 * (a / b - 1.0)));
            table.rows.push(vec![
                group.words(),
                number(t),
                cell(network.map(|v| format!("{v:.5}"))),
                cell(optimum.map(|v| format!("{v:.5}"))),
                cell(local.map(|v| format!("{v:.5}"))),
                cell(above.filter(|_| optimum.is_some_and(|v| v > 1e-4))),
            ]);
        }
    }
    table
}

/// r between networks of the group, with an interval over training seeds.
fn ceiling_of(group: &SeedGroup<'_>) -> Option<Interval> {
    let samples: Option<Vec<_>> = group.runs.iter().map(|run| run.samples.as_ref()).collect();
    let samples = samples?;
    let first = samples.first()?;
    let is_alike = samples.iter().all(|other| {
        (other.first_seed, other.noise_seed, other.samples.len())
            == (first.first_seed, first.noise_seed, first.samples.len())
    });
    let images: Vec<&ImageBatch> = samples.iter().map(|samples| &samples.samples).collect();
    is_alike.then(|| ceiling(&images)).flatten()
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.collect();
    (!values.is_empty()).then(|| spread_over_runs::mean(&values))
}

#[cfg(test)]
mod tests {
    use super::super::runs_for_tests::with_training_seeds;
    use super::super::verdict_of_finding::Verdict;
    use super::*;

    const HIGH: [[f64; 3]; 3] = [[0.8, 0.77, 0.83], [0.82, 0.79, 0.85], [0.81, 0.78, 0.84]];
    const LOW: [[f64; 3]; 3] = [[0.1, 0.08, 0.12], [0.12, 0.1, 0.14], [0.11, 0.09, 0.13]];

    fn of(settings: &[&str], rates: [[f64; 3]; 3]) -> Vec<RunResults> {
        let r: Vec<f64> = (0..20).map(|i| 0.5 + 0.01 * f64::from(i % 5)).collect();
        let better: Vec<f64> = r.iter().map(|r| r + 0.1).collect();
        with_training_seeds(settings, &[(LOCAL, &r), (OPTIMAL, &better)], rates)
    }

    /// The runs of the study, with the rates of uniform attention with both readouts.
    fn runs(uniform: [[[f64; 3]; 3]; 2]) -> Vec<RunResults> {
        let variant = |name: &str, readout: &str, rates| {
            let settings =
                [format!("network.attention={name}"), format!("network.readout={readout}")];
            of(&[&settings[0], &settings[1]], rates)
        };
        [
            variant("softmax", "linear", HIGH),
            variant("uniform", "linear", uniform[0]),
            variant("uniform", "relu", uniform[1]),
            variant("identity", "linear", LOW),
            variant("identity", "relu", LOW),
            variant("none", "linear", LOW),
            variant("none", "relu", LOW),
        ]
        .concat()
    }

    #[test]
    fn each_statement_is_tested_on_the_variants_that_it_names() {
        use Verdict::{Fails, Holds, Undecided, Untested};
        let verdicts = |uniform| -> Vec<Verdict> {
            let reading = read(&runs(uniform), &Margins::default());
            reading.findings.iter().take(6).map(Finding::verdict).collect()
        };
        assert_eq!(verdicts([LOW, HIGH]), [Holds, Holds, Holds, Holds, Holds, Untested]);
        assert_eq!(verdicts([HIGH, HIGH])[1..3], [Fails, Undecided]);
    }

    #[test]
    fn entropies_are_means_over_training_seeds() {
        let mut all = of(&["network.attention=softmax"], HIGH);
        for (seed, run) in all.iter_mut().enumerate() {
            let level = |machine: &str, t, predicted| PredictedAttention {
                machine: machine.to_owned(),
                t,
                predicted,
                measured: 4.0 + seed as f64,
                r_of_logs: (seed > 0).then_some(0.5),
            };
            run.predicted_attention =
                vec![level("other", 0.5, 9.0), level(OPTIMAL, 0.5, 3.0), level(OPTIMAL, 0.6, 3.5)];
        }
        let table = entropies(&seed_groups(&all));
        let cells: Vec<&[String]> = table.rows.iter().map(|row| &row[1..]).collect();
        assert_eq!(
            cells,
            [["0.500", "5.000", "3.000", "0.500"], ["0.600", "5.000", "3.500", "0.500"]]
        );
    }

    #[test]
    fn predictions_are_compared_with_networks() {
        let mut all = runs([LOW, HIGH]);
        let predict = |run: &mut RunResults, shift: f64| {
            let mut rates = run.report["rates"].clone();
            rates["consistent"] = (rates["consistent"].as_f64().unwrap() + shift).into();
            run.report["machine_rates"] = serde_json::json!({ OPTIMAL: rates });
        };
        all.iter_mut().for_each(|run| predict(run, 0.0));
        let verdict = |all: &[RunResults]| {
            let reading = read(all, &Margins::default());
            let findings = reading.findings.iter().rev().take(2).map(Finding::verdict);
            (findings.collect::<Vec<_>>(), reading.tables[0].rows.len())
        };
        assert_eq!(verdict(&all), (vec![Verdict::Holds, Verdict::Holds], 7));
        all.iter_mut().for_each(|run| predict(run, 0.4));
        assert_eq!(verdict(&all).0[1], Verdict::Fails);
    }

    #[test]
    fn heads_are_compared_with_the_next_smaller_number() {
        let middle = [[0.5, 0.47, 0.53], [0.52, 0.49, 0.55], [0.51, 0.48, 0.54]];
        let all = [
            of(&["network.heads=1"], LOW),
            of(&["network.heads=2"], middle),
            of(&["network.heads=4"], HIGH),
        ];
        let finding = more_heads(&seed_groups(&all.concat()));
        assert_eq!((finding.comparisons.len(), finding.verdict()), (2, Verdict::Holds));
    }
}
