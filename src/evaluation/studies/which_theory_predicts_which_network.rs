//! Which machine predicts which network: with attention, without, and how far theory gets without a network.

use super::consistency::rates;
use super::run_results::{RunResults, twins};
use super::verdict::{Finding, Reading, Verdict};
use crate::analysis::agreement::share_won;
use crate::analysis::confidence_intervals::Interval;
use crate::evaluation::markdown_table::{Table, cell, number};
use crate::evaluation::png_charts::{Panel, Series};

/// The machine without attention that pairs with circular padding, and with zeros.
const PLAIN: [&str; 2] = ["els", "bbels"];

pub(super) fn read(runs: &[RunResults]) -> Reading {
    let mut better = Finding::new(
        "a network with attention is predicted better by an attention machine than by the machine without",
    );
    let mut nothing = Finding::new(
        "a network without attention is not predicted better by sharing along attention",
    );
    let mut worse = Finding::new(
        "the machine without attention predicts a network with attention worse than its twin (same seeds)",
    );
    let mut rate = Finding::new(
        "theory without a network makes consistent samples as often as the network with attention does",
    );
    for run in runs {
        let Some(plain) = plain(run) else { continue };
        for machine in run.machines().filter(|name| name.starts_with("attention-")) {
            let Some((share, words)) = run.contest(machine, plain) else { continue };
            match run.has_attention() {
                true => better.add(Verdict::above_half(share), words),
                false => nothing.add(Verdict::unless(Verdict::above_half(share)), words),
            }
            let is_informed = matches!(machine, "attention-trajectory" | "attention-measured");
            if run.has_attention()
                && !is_informed
                && let (Some(theory), Some(network)) =
                    (run.machine_rate(machine, "consistent"), run.rate("consistent"))
            {
                let words = format!(
                    "{}: {machine} {theory}, the network {network}, {plain} {}",
                    run.arm.words(),
                    cell(run.machine_rate(plain, "consistent"))
                );
                rate.add(within(theory, network), words);
            }
        }
    }
    for (with, without) in twins(runs) {
        let Some(plain) = plain(with) else { continue };
        if let Some(share) = share_won(without.r(plain), with.r(plain)) {
            let words = format!(
                "{}: {plain} predicts the twin better on {share} of seeds; median r {} against {}",
                with.arm.words(),
                without.median_r(plain),
                with.median_r(plain)
            );
            worse.add(Verdict::above_half(share), words);
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

fn plain(run: &RunResults) -> Option<&'static str> {
    PLAIN.into_iter().find(|name| !run.r(name).is_empty())
}

/// Whether an estimate lies within another's interval; undecided if only the intervals meet.
fn within(theory: Interval, network: Interval) -> Verdict {
    if (network.low..=network.high).contains(&theory.estimate) {
        Verdict::Holds
    } else if theory.high < network.low || theory.low > network.high {
        Verdict::Fails
    } else {
        Verdict::Undecided
    }
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
    use super::super::example_runs::run;
    use super::*;

    #[test]
    fn each_statement_is_put_to_the_runs_that_it_is_about() {
        let (low, high) = ([0.1; 50], [0.9; 50]);
        let with = run(
            &[],
            &[("els", &low), ("attention-trajectory", &high), ("attention-similarity", &low)],
            [0.8, 0.7, 0.9],
        );
        let without = run(
            &["network.attention=none"],
            &[("els", &high), ("attention-similarity", &high)],
            [0.1, 0.0, 0.2],
        );
        let reading = read(&[with, without]);
        let verdicts: Vec<Vec<Verdict>> = reading
            .findings
            .iter()
            .map(|finding| finding.evidence.iter().map(|e| e.verdict).collect())
            .collect();
        use Verdict::{Fails, Holds};
        // Similarity never wins here: ties are not won.
        assert_eq!(verdicts, [vec![Holds, Fails], vec![Holds], vec![Holds], vec![Holds]]);
        assert_eq!(reading.tables[0].rows.len(), 5);
    }

    #[test]
    fn an_estimate_outside_an_interval_that_its_own_meets_is_undecided() {
        let at = |low, high| Interval { estimate: (low + high) / 2.0, low, high };
        assert_eq!(within(at(0.4, 0.8), at(0.5, 0.7)), Verdict::Holds);
        assert_eq!(within(at(0.3, 0.6), at(0.5, 0.7)), Verdict::Undecided);
        assert_eq!(within(at(0.1, 0.3), at(0.5, 0.7)), Verdict::Fails);
    }
}
