//! Tables and charts of copies over training.

use super::memorisation_growth::Growth;
use super::memorisation_times::{APART_FACTOR, COPIED_SHARE, Family, GOOD_FACTOR, Times};
use super::run_results::RunResults;
use crate::analysis::confidence_intervals::{Interval, mean_interval};
use crate::analysis::training_time_scales::Crossing;
use crate::evaluation::chart_panels::{Marks, Panel, Series};
use crate::evaluation::checkpoints_over_training::CheckpointFigures;
use crate::evaluation::markdown_table::{Table, cell};
use crate::evaluation::spread_over_runs::format_interval;

/// The powers of N and whether they may be that of Bonnaire et al., 1 for copies.
pub(super) fn growth_table(growths: &[Growth]) -> Table {
    let title = "Growth of training times with the number N of training images (time ~ N^power)";
    let head = ["networks", "time at which", "power [95%]", "1 within", "seeds", "runs seen"];
    let mut table = Table::new(title, &head);
    for found in growths {
        let over_seeds = found.over_seeds();
        let interval = over_seeds.map(|mean| mean.interval(0.95));
        let known = interval.filter(|interval| interval.low.is_finite());
        let is_within = known.map(|i| if i.low <= 1.0 && i.high >= 1.0 { "yes" } else { "no" });
        table.rows.push(vec![
            found.family.clone(),
            found.time.words().to_owned(),
            cell(interval.map(|found| format_interval(found.estimate, Some(found)))),
            cell(is_within),
            cell(over_seeds.map(|mean| mean.n)),
            format!("{} of {}", found.n_seen, found.n_runs),
        ]);
    }
    table
}

/// Every run's times.
pub(super) fn times_table(families: &[Family<'_>]) -> Table {
    let title = format!(
        "Training steps at which: copies reach {COPIED_SHARE} (95% by bootstrap over noise seeds), the held-out error {GOOD_FACTOR} times what all N reach, the held-out error {APART_FACTOR} training errors"
    );
    let head =
        ["run", "N", "copied", "good", "apart", "lowest held-out error", "copies at the end"];
    let mut table = Table::new(&title, &head);
    for (sweep, times) in families.iter().flat_map(|family| &family.sweeps) {
        for (run, times) in sweep.runs.iter().zip(times) {
            table.rows.push(vec![
                run.arm.words(),
                run.n_training_images().to_string(),
                copied_words(times),
                cell(times.good.map(crossing_words)),
                cell(times.apart.map(crossing_words)),
                cell(times.lowest_held_out),
                cell(run.over_training.last().map(CheckpointFigures::copies)),
            ]);
        }
    }
    table
}

fn crossing_words(crossing: Crossing) -> String {
    match crossing {
        Crossing::At(step) => format!("{step:.0}"),
        Crossing::AtMost(step) => format!("{step:.0} or earlier"),
        Crossing::After(step) => format!("not by {step:.0}"),
    }
}

/// The time of copies with its percentiles over resampled noise seeds; a time that is not seen counts as the judged step
/// next to it.
fn copied_words(times: &Times) -> String {
    let Some(found) = times.copied else { return "-".to_owned() };
    let step = |crossing: &Option<Crossing>| match (*crossing)? {
        Crossing::At(step) | Crossing::AtMost(step) => Some(step),
        Crossing::After(_) => Some(f64::INFINITY),
    };
    let mut all: Vec<f64> = times.copied_resampled.iter().filter_map(step).collect();
    all.sort_by(f64::total_cmp);
    let place = |share: f64| (share * (all.len() - 1) as f64).round() as usize;
    let end = |step: f64| if step.is_finite() { format!("{step:.0}") } else { "later".to_owned() };
    match (all.is_empty(), found) {
        (false, Crossing::At(_)) => {
            let (low, high) = (end(all[place(0.025)]), end(all[place(0.975)]));
            format!("{} [{low}, {high}]", crossing_words(found))
        }
        _ => crossing_words(found),
    }
}

/// The share of copies by training step, a column for each N: over training seeds, or over samples for one training seed.
pub(super) fn copies_by_step(families: &[Family<'_>]) -> Table {
    let sizes = sizes(families);
    let title = "Share of copies by training step (95% intervals: over samples for one training seed, over training seeds for several)";
    let mut table = Table::new(title, &["networks", "step"]);
    table.head.extend(sizes.iter().map(|n| format!("N = {n}")));
    for family in families {
        for step in steps(family) {
            let mut row = vec![family.words.clone(), step.to_string()];
            row.extend(sizes.iter().map(|n| cell(share(family, *n, step))));
            table.rows.push(row);
        }
    }
    table
}

/// The share of copies over the training seeds of a family.
fn share(family: &Family<'_>, n: u64, step: u64) -> Option<Interval> {
    let all: Vec<Interval> = runs_of(family, n)
        .flat_map(|run| &run.over_training)
        .filter(|found| found.step == step)
        .map(CheckpointFigures::copies)
        .collect();
    match all[..] {
        [one] => Some(one),
        _ => {
            let shares: Vec<f64> = all.iter().map(|share| share.estimate).collect();
            let found = mean_interval(&shares)?;
            Some(Interval { low: found.low.max(0.0), high: found.high.min(1.0), ..found })
        }
    }
}

fn runs_of<'f>(family: &'f Family<'_>, n: u64) -> impl Iterator<Item = &'f RunResults> {
    let all = family.sweeps.iter().flat_map(|(sweep, _)| &sweep.runs);
    all.copied().filter(move |run| run.n_training_images() == n)
}

/// All numbers of training images, in order.
fn sizes(families: &[Family<'_>]) -> Vec<u64> {
    let sweeps = families.iter().flat_map(|family| &family.sweeps);
    let mut sizes: Vec<u64> = sweeps
        .flat_map(|(sweep, _)| sweep.runs.iter().map(|run| run.n_training_images()))
        .collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// All judged steps, in order.
fn steps(family: &Family<'_>) -> Vec<u64> {
    let runs = family.sweeps.iter().flat_map(|(sweep, _)| &sweep.runs);
    let mut steps: Vec<u64> =
        runs.flat_map(|run| run.over_training.iter().map(|found| found.step)).collect();
    steps.sort_unstable();
    steps.dedup();
    steps
}

/// Copies and errors over training, and the times of copies over N.
pub(super) fn panels(families: &[Family<'_>]) -> Vec<Panel> {
    let sizes = sizes(families);
    families.iter().flat_map(|family| [copies(family, &sizes), errors(family, &sizes)]).collect()
}

/// A line for each N, with the interval of every share as a vertical line.
fn copies(family: &Family<'_>, sizes: &[u64]) -> Panel {
    let mut series = Vec::new();
    for (colour, n) in sizes.iter().enumerate() {
        let name = format!("N = {n}");
        let of = |points, marks| Series::new(&name, colour, points, marks);
        let shares = steps(family).into_iter();
        let shares: Vec<(f64, Interval)> = shares
            .filter_map(|step| Some(((step as f64).log10(), share(family, *n, step)?)))
            .collect();
        series
            .push(of(shares.iter().map(|(x, share)| (*x, share.estimate)).collect(), Marks::Line));
        let bar = |(x, share): &(f64, Interval)| {
            of(vec![(*x, share.low), (*x, share.high)], Marks::Curve)
        };
        series.extend(shares.iter().map(bar));
    }
    Panel {
        title: format!("share of copies: {}", family.words),
        x: "log10 of the training step".to_owned(),
        y_range: Some((0.0, 1.0)),
        series,
        ..Panel::default()
    }
}

/// The held-out error over the training error for each N, mean over training seeds.
fn errors(family: &Family<'_>, sizes: &[u64]) -> Panel {
    let line = |(colour, n): (usize, &u64)| {
        let ratio = |step: u64| {
            let all = runs_of(family, *n).flat_map(|run| &run.over_training);
            let ratios = all.filter(|found| found.step == step);
            let ratios: Option<Vec<f64>> =
                ratios.map(|found| Some(found.held_out?.mse / found.training.mse)).collect();
            let ratios = ratios.filter(|ratios| !ratios.is_empty())?;
            let mean = ratios.iter().map(|ratio| ratio.log10()).sum::<f64>() / ratios.len() as f64;
            Some(((step as f64).log10(), mean))
        };
        let points = steps(family).into_iter().filter_map(ratio).collect();
        Series::line(&format!("N = {n}"), colour, points)
    };
    Panel {
        title: format!("log10 of held-out over training error: {}", family.words),
        x: "log10 of the training step".to_owned(),
        series: sizes.iter().enumerate().map(line).collect(),
        ..Panel::default()
    }
}
