//! Which machine predicts which network: with attention, without, and how far theory gets without a network.

use super::consistency::rates;
use super::paired_training_seeds::{Differences, SeedGroup, seed_groups};
use super::run_results::RunResults;
use super::verdict_of_finding::{Finding, Reading, Scope};
use crate::analysis::claim_tests::Claim;
use crate::config::Margins;
use crate::evaluation::chart_panels::{Panel, Series};
use crate::evaluation::markdown_table::{Table, cell, number};
use crate::network::network_config::AttentionVariant;
use crate::theory::machine_spec::AttentionSource;

/// The machine without attention that pairs with circular padding, and with zeros.
const PLAIN: [&str; 2] = ["els", "bbels"];

pub(super) fn read(runs: &[RunResults], margins: &Margins) -> Reading {
    let above = Claim::Above { margin: 0.0 };
    let mut better = Finding::new(
        "a network with attention is predicted better by an attention machine than by the machine without",
        above,
    );
    let mut nothing = Finding::new(
        "a network without attention is not predicted better by sharing along attention",
        Claim::NotAbove { margin: margins.r },
    );
    let mut worse = Finding::new(
        "the machine without attention predicts a network with attention worse than its twin (same seeds)",
        above,
    );
    let mut rate = Finding::new(
        "theory without a network makes consistent samples as often as the network with attention does",
        Claim::Within { margin: margins.rate },
    );
    let groups = seed_groups(runs);
    for group in &groups {
        let Some(plain) = plain(group.runs[0]) else { continue };
        let has_attention = group.experiment().network.attention.is_some();
        let machines = group.runs[0].machines().filter(|name| name.starts_with("attention-"));
        for machine in machines {
            let finding = if has_attention { &mut better } else { &mut nothing };
            compare_machines(finding, group, machine, plain);
            if has_attention && !is_informed(machine) {
                compare_rates(&mut rate, group, machine);
            }
        }
        if group.experiment().network.attention == Some(AttentionVariant::Softmax) {
            compare_with_twins(&mut worse, group, &groups, plain);
        }
    }
    let mut tables = vec![agreement(runs)];
    if runs.iter().any(|run| run.judged().is_some()) {
        tables.push(rates(runs));
        tables.push(machine_rates(runs));
    }
    let findings = vec![better, nothing, worse, rate];
    Reading { findings, tables, panels: panels(runs) }
}

/// Compares how well two machines predict the networks of a group: r on the same noise seeds, difference by difference.
pub(super) fn compare_machines(
    finding: &mut Finding,
    group: &SeedGroup<'_>,
    machine: &str,
    other: &str,
) {
    let found = Differences::of_r(group.runs.iter().map(|run| (run.r(machine), run.r(other))));
    let won: Vec<f64> =
        group.runs.iter().filter_map(|run| Some(run.won(machine, other)?.estimate)).collect();
    let share = 100.0 * won.iter().sum::<f64>() / won.len() as f64;
    let words = format!(
        "{}: {machine} above {other} on {share:.0}% of noise seeds; mean r {:.3} against {:.3}",
        group.words(),
        found.mean_a,
        found.mean_b
    );
    match is_informed(machine) {
        true => finding.compare(Scope::Informed, &found.each, words),
        false => finding.compare_networks(&found.each, words),
    }
}

/// Compares the machine's share of consistent samples with that of the networks.
fn compare_rates(finding: &mut Finding, group: &SeedGroup<'_>, machine: &str) {
    let pair =
        |run: &&RunResults| (run.machine_rate(machine, "consistent"), run.rate("consistent"));
    let found = Differences::of_rates(group.runs.iter().map(pair));
    let (a, b) = (found.mean_a, found.mean_b);
    let words = format!("{}: {machine} {a:.2}, the network {b:.2}", group.words());
    finding.compare_networks(&found.each, words);
}

/// Compares how well a machine predicts the networks without attention and those with it.
fn compare_with_twins(
    finding: &mut Finding,
    group: &SeedGroup<'_>,
    groups: &[SeedGroup<'_>],
    machine: &str,
) {
    let twins = group.without_attention(groups);
    let found = Differences::of_r(
        twins.iter().map(|(with, without)| (without.r(machine), with.r(machine))),
    );
    let words = format!(
        "{}: mean r of {machine} {:.3} for the twin, {:.3} with attention",
        group.words(),
        found.mean_a,
        found.mean_b
    );
    finding.compare_networks(&found.each, words);
}

fn plain(run: &RunResults) -> Option<&'static str> {
    PLAIN.into_iter().find(|name| !run.r(name).is_empty())
}

/// Whether a machine uses attention maps of the network that it predicts.
fn is_informed(machine: &str) -> bool {
    let source = machine.strip_prefix("attention-").map(AttentionSource::parse);
    source.is_some_and(|source| source.is_ok_and(|source| source.needs_provider()))
}

/// Every machine against every network.
pub(super) fn agreement(runs: &[RunResults]) -> Table {
    let head = [
        "run",
        "machine",
        "median r [quartiles]",
        "median r^2",
        "median R^2",
        "R^2 of x0hat along the network's way",
        "seeds won against els or bbels",
        "r of predicted entropy",
    ];
    let mut table = Table::new("Agreement of final samples, held-out seeds", &head);
    for run in runs {
        for machine in run.machines() {
            let won = plain(run).filter(|p| *p != machine).and_then(|p| run.won(machine, p));
            let figure = |key| number(run.agreement(machine, key));
            table.rows.push(vec![
                run.arm.words(),
                machine.to_owned(),
                cell(run.r_quartiles(machine)),
                figure("r2"),
                figure("R2"),
                figure("R2_along_network"),
                cell(won),
                figure("r_of_predicted_entropy"),
            ]);
        }
    }
    table
}

fn machine_rates(runs: &[RunResults]) -> Table {
    let names = ["whole", "consistent", "novel", "creative", "hue_purity"];
    let head: Vec<&str> = ["run", "machine"].into_iter().chain(names).collect();
    let mut table = Table::new("Judged samples of the machines", &head);
    for run in runs {
        for machine in run.machines() {
            let cells = names.iter().map(|name| cell(run.machine_rate(machine, name)));
            let who = [run.arm.words(), machine.to_owned()];
            table.rows.push(who.into_iter().chain(cells).collect());
        }
    }
    table
}

/// A panel a run: `R^2` of x0hat by t, a line a machine.
pub(super) fn panels(runs: &[RunResults]) -> Vec<Panel> {
    // One colour a machine in all panels.
    let mut names: Vec<&str> = Vec::new();
    for run in runs {
        for (name, _) in &run.by_step {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
    }
    let panel = |run: &RunResults| {
        let curves = run.by_step.iter().map(|(name, points)| {
            let colour = names.iter().position(|other| other == name).unwrap_or(0);
            Series::line(name, colour, points.clone())
        });
        let title = format!("{}: R^2 of x0hat", run.arm.words());
        Panel { y_range: Some((-0.5, 1.02)), ..Panel::over_time(title, curves.collect()) }
    };
    runs.iter().filter(|run| !run.by_step.is_empty()).map(panel).collect()
}

#[cfg(test)]
mod tests {
    use super::super::runs_for_tests::with_training_seeds;
    use super::super::verdict_of_finding::Verdict;
    use super::*;

    /// r around `centre`, alike for all noise seeds but for a little.
    fn around(centre: f64) -> Vec<f64> {
        (0..50).map(|i| centre + 0.01 * f64::from(i % 5)).collect()
    }

    const RATES: [[f64; 3]; 3] = [[0.8, 0.77, 0.83], [0.82, 0.79, 0.85], [0.81, 0.78, 0.84]];

    #[test]
    fn each_statement_is_put_to_the_runs_that_it_is_about() {
        let (low, high) = (around(0.1), around(0.9));
        let with = with_training_seeds(
            &[],
            &[("els", &low), ("attention-trajectory", &high), ("attention-similarity", &low)],
            RATES,
        );
        let without = with_training_seeds(
            &["network.attention=none"],
            &[("els", &high), ("attention-similarity", &high), ("attention-pooled", &low)],
            [[0.1, 0.0, 0.2]; 3],
        );
        let runs = [with, without].concat();
        let findings = read(&runs, &Margins::default()).findings;
        let verdicts: Vec<Verdict> = findings.iter().map(Finding::verdict).collect();
        use Verdict::{Holds, Undecided};
        // Similarity equals els here, and pooled is far worse, which is no gain either.
        assert_eq!(verdicts, [Undecided, Holds, Holds, Holds]);
        let scopes: Vec<Scope> = findings[0].comparisons.iter().map(|each| each.scope).collect();
        assert_eq!(scopes, [Scope::Informed, Scope::Networks]);
        let words = &findings[0].comparisons[0].words;
        assert!(words.contains("on 100% of noise seeds; mean r 0.920 against 0.120"), "{words}");
        assert_eq!(findings[3].comparisons.len(), 1, "similarity alone was judged uninformed");
        assert_eq!(read(&runs, &Margins::default()).tables[0].rows.len(), 18);
    }

    #[test]
    fn few_judged_samples_do_not_make_rates_equal() {
        let machines: [(&str, &[f64]); 2] = [("els", &[0.1]), ("attention-similarity", &[0.2])];
        let wide = [[0.8, 0.5, 0.95]; 3];
        let runs = with_training_seeds(&[], &machines, wide);
        let rate = &read(&runs, &Margins::default()).findings[3];
        assert_eq!(
            (rate.verdict(), rate.comparisons[0].difference.mean),
            (Verdict::Undecided, 0.0)
        );
    }
}
