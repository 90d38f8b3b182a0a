//! A report as a Markdown page.

use crate::runs::seen_held_out_seeds;
use std::ops::Range;

use super::controls_section;
use super::interventions_section;
use super::json;
use super::machine_settings_caption;
use super::over_training_section;
use super::report_figures::{Report, ReportContext, SHEET_ROWS};
use super::verdict_in_words::{QUOTE, verdict};
use crate::analysis::excess_over_floor::{Bound, MeanSquaredError};
use crate::analysis::glossary::words_in;
use crate::config::{Experiment, NamedMachine, noise_seed_purposes::NoiseSeeds};
use crate::dataset::Half;
use crate::evaluation::copies_and_mosaics::{MosaicFigures, SAME_COLOUR};
use crate::evaluation::floors::NetworkFloors;
use crate::evaluation::markdown_table::{Table, cell, number, rate_cell, text_or, with_ends};
use crate::runs::event::{AttentionMetrics, LossByLevel};
use crate::theory::machine_spec::AttentionSource;

/// `report.md`.
pub fn page(report: &Report<'_>) -> String {
    let (context, comparison) = (report.context, report.comparison);
    let mut text = heading(report);
    text += &format!("{QUOTE}{}\n\n", verdict(&json::to_json(report)));
    text += &context.floors.map_or_else(String::new, floors_table);
    text += &agreement_table(report);
    text += &report.paper_units.section();
    text += &report.published.section(&report.paper_units.machines);
    text += &controls_section::section(&report.controls);
    text += &rates_table(report);
    text += &mosaics_table(&comparison.mosaics);
    text += &over_training_section::section(context.over_training);
    text += &interventions_section::section(context.interventions);
    if let Some(attention) = &report.attention {
        text += &attention_table(attention);
    }
    text += &predicted_attention(report);
    text += &report.clamp.section();
    text += "## Machines\n\n";
    for machine in &context.machines {
        text += &format!(
            "- **{}**: {}\n",
            machine.name,
            machine_settings_caption::words(&machine.spec)
        );
    }
    text += &origin_of_settings(context);
    let n_rows = comparison.n_seeds.min(SHEET_ROWS);
    text +=
        &format!("\n`samples.png`: the first {n_rows} seeds, a row each; columns: seed, network, ");
    let names: Vec<&str> = context.machines.iter().map(|machine| machine.name.as_str()).collect();
    text += &format!("{}, then machine minus network in the same order.\n", names.join(", "));
    let terms: String =
        words_in(&text).map(|(word, meaning)| format!("- **{word}**: {meaning}\n")).collect();
    text + "\n## Words\n\n" + &terms
}

/// What was trained and which seeds were compared.
fn heading(report: &Report<'_>) -> String {
    let (context, comparison) = (report.context, report.comparison);
    let experiment = context.experiment;
    let seeds = NoiseSeeds::held_out(comparison.n_seeds);
    let n_judged = comparison.rates.as_ref().map_or(comparison.n_seeds, |rates| rates.n_samples);
    let loss = cell(context.final_loss.map(|loss| format!("{loss:.5}")));
    let training = match (context.n_steps, experiment.training.steps as u64) {
        // Weights that were imported.
        (0, _) => "not trained here".to_owned(),
        (done, planned) if done == planned => {
            format!("{done} steps of {} images", experiment.training.batch)
        }
        (done, planned) => {
            format!("{done} of {planned} planned steps of {} images", experiment.training.batch)
        }
    };
    let run = format!(
        "# {}\n\nExperiment `{}` ({}), {training}, {} training images{}, {}, {}.\nFinal loss {loss}{}.\n\n",
        context.run,
        experiment.name,
        experiment.description,
        context.n_training_images,
        match experiment.dataset.half {
            Half::All => String::new(),
            half => format!(" (the {half} of two disjoint halves)"),
        },
        context
            .n_parameters
            .map_or_else(|| "no network at hand".to_owned(), |n| format!("{n} parameters")),
        context.device,
        levels_in_words(context.loss_by_level),
    );
    run + &format!(
        "Held-out noise seeds {} to {} of noise seed {} (for the network's rates: to {}); {} DDIM steps for network and machines alike.\n\n",
        seeds.first(),
        seeds.last(),
        comparison.noise_seed,
        NoiseSeeds::held_out(n_judged).last(),
        experiment.sampling_steps
    ) + &copies_in_words(experiment)
        + &seen_in_words(&report.seen_seeds())
}

/// The mirrored and turned copies in the dictionaries, as a sentence; nothing if there are none.
fn copies_in_words(experiment: &Experiment) -> String {
    let copies = experiment.copies_in_words();
    copies.map_or_else(String::new, |copies| format!("Dictionaries: {copies}.\n\n"))
}

/// The held-out seeds that somebody has looked at before, as a sentence; nothing if there are none.
fn seen_in_words(seen: &[Range<u64>]) -> String {
    if seen.is_empty() {
        return String::new();
    }
    format!(
        "**Seen before:** seeds {} were inspected or sampled by hand before this comparison (seen_seeds.jsonl).\n\n",
        seen_held_out_seeds::in_words(seen)
    )
}

/// The loss in ranges of t, as the rest of a sentence.
fn levels_in_words(levels: &LossByLevel) -> String {
    let words: Vec<String> =
        levels.ranges().map(|(end, loss)| format!("{loss:.5} up to t = {end:.1}")).collect();
    if words.is_empty() { String::new() } else { format!("; by noise level, {}", words.join(", ")) }
}

/// The seeds that settings were calibrated on, and what the `trajectory` source knows of the sample.
fn origin_of_settings(context: &ReportContext<'_>) -> String {
    let mut text = String::new();
    if let Some(found) = context.calibration {
        let last = found.first_seed + found.n_seeds as u64 - 1;
        text += &format!(
            "\nSettings per step were calibrated on noise seeds {} to {last}, none of which is used above (calibration.png, the run's calibration.json).\n",
            found.first_seed
        );
        text += "Patch sides in pixels that competed, and those that were kept:\n\n";
        for machine in &found.machines {
            let mut kept: Vec<usize> = machine.schedule().iter().map(|step| step.k).collect();
            kept.sort_unstable();
            kept.dedup();
            text += &format!("- {}: {:?}, kept {kept:?}\n", machine.machine, machine.sides);
        }
    }
    let is_trajectory = |machine: &NamedMachine| {
        machine.spec.kind.attention_source() == Some(AttentionSource::Trajectory)
    };
    if context.machines.iter().any(is_trajectory) {
        text += "\nThe source `trajectory` uses the network's attention maps along the trajectory of the very sample that is predicted, and so knows which pixels end up alike; the other sources know only the noise seed.\n";
    }
    text
}

/// The network's error beside the floors, and what the difference means.
fn floors_table(found: &NetworkFloors) -> String {
    let title = "Is the network trained enough? Errors by noise level, and the floors";
    let class = found.class_floor;
    let mut table = Table::new(title, &["t", "network", "held out", "excess", "of the floor"]);
    let names: Vec<&str> = found
        .floors
        .levels
        .first()
        .map_or_else(Vec::new, |level| level.means().map(|(name, _)| name).collect());
    table.head.extend(names.iter().map(|name| (*name).to_owned()));
    for (floor, level) in found.floors.levels.iter().zip(&found.levels) {
        let share = match level.share() {
            // Below this a share of the floor says nothing.
            _ if level.floor.mse < 1e-4 => "-".to_owned(),
            share => format!("{:.0}%", 100.0 * share),
        };
        let mut row = vec![
            format!("{:.1}", level.t),
            error_cell(level.network),
            cell(level.held_out.map(error_cell)),
            error_cell(level.excess),
            share,
        ];
        row.extend(floor.means().map(|(_, error)| error_cell(error)));
        table.rows.push(row);
    }
    let word: &str = found.convergence.into();
    let (draws, side) = (found.floors.n_draws(), found.floors.patch_side);
    let patches = match class {
        "ideal" | "es" => String::new(),
        _ => format!(" (patches of {side} pixels a side)"),
    };
    let relation = match found.bound {
        Bound::Exact => "the floor of its class",
        Bound::Upper => "an upper bound of the floor of its class, since attention sees more",
        Bound::Lower => "a lower bound of the floor of its class",
    };
    table.section()
        + &format!(
            "\n**{word}**: {}.\n\nMean squared error of the clean estimate per value (images in [-1, 1]; standard error in brackets) on {draws} noised images per level (`es`: fewer). Excess: network minus `{class}`{patches}, {relation}. Held out: images of the set that are not training images, a quarter as many. The level t = 1, almost pure noise, does not count towards the verdict. Also in floors.png and floors.csv.\n\n",
            found.convergence.meaning(class, found.bound)
        )
}

fn error_cell(error: MeanSquaredError) -> String {
    format!("{:.5} ({:.5})", error.mse, error.se)
}

fn agreement_table(report: &Report<'_>) -> String {
    let baseline = report.baseline_name();
    let approximations = &report.comparison.approximations;
    let won_against = format!("won against {}", baseline.unwrap_or("the first"));
    let head = ["machine", "r", "r^2", "R^2", "seeds (R^2)", &won_against, "R^2 of x0hat"];
    let title = "Agreement with the network (median [quartiles] over seeds)";
    let mut table = Table::new(title, &head);
    for machine in &report.machines {
        let [r, r2, cod] =
            [machine.r, machine.r2, machine.cod].map(|quartiles| text_or(quartiles, UNDEFINED));
        let (n_r, n) = (machine.n_seeds_r, machine.n_seeds);
        let seeds = if n_r == n { n.to_string() } else { format!("{n_r} ({n})") };
        let won = machine.won.filter(|_| baseline != Some(machine.name));
        let won = cell(won.map(|share| format!("{:.0}%", 100.0 * share)));
        let steps = number(machine.r_squared_along_network);
        let is_approximate = approximations.iter().any(|error| error.machine == machine.name);
        let name = machine.name.to_owned() + if is_approximate { " (approximate)" } else { "" };
        table.rows.push(vec![name, r, r2, cod, seeds, won, steps]);
    }
    let errors: String =
        approximations.iter().map(|error| format!("{}.\n\n", error.words())).collect();
    table.section()
        + "\nOf final samples but for the last column: R^2 of x0hat at the network's own states, of all noise seeds and steps together (1 - sum of squared errors / sum of squared deviations). by_step.csv and agreement.png have it step by step, as the mean over seeds.\n\n"
        + &errors
}

/// Rates of the table and their headings.
const COLUMNS: [(&str, &str); 7] = [
    ("whole", "whole"),
    ("valid", "valid"),
    ("consistent", "consistent"),
    ("consistent_of_valid", "of valid ones"),
    ("novel", "novel"),
    ("creative", "creative"),
    ("hue_purity", "hue purity"),
];

fn rates_table(report: &Report<'_>) -> String {
    if report.rates.is_empty() {
        return String::new();
    }
    let head: Vec<&str> =
        ["who", "n"].into_iter().chain(COLUMNS.map(|(_, head)| head)).chain(["chance"]).collect();
    let mut table = Table::new("Judged samples (share [95% interval])", &head);
    for (who, rates) in &report.rates {
        let mut row = vec![(*who).to_owned(), rates.n_samples.to_string()];
        row.extend(COLUMNS.iter().map(|(name, _)| rate_cell(rates, name)));
        row.push(cell(rates.chance.map(|chance| format!("{chance:.2}"))));
        table.rows.push(row);
    }
    let novel = report.context.novel_by_chance.map_or_else(String::new, |share| {
        format!(" Of all arrangements that keep the rule, {share} are novel: what novel would be among consistent samples drawn at random.")
    });
    table.section()
        + &format!(
            "\nWhole: share of components that are a feature of the set. Valid: all of an image's are. Chance: what consistent would be if the same features were assigned to images at random.{novel}\n\n"
        )
}

fn mosaics_table(mosaics: &[MosaicFigures]) -> String {
    let mut table = Table::new(
        "Mosaics and copies (with 95% intervals over samples)",
        &[
            "who",
            "n",
            "copies",
            "distance",
            "n",
            "patch centres",
            "leading image",
            "images used",
            "region",
        ],
    );
    for figures in mosaics {
        let ends = &figures.intervals95;
        let distance = figures.distance.map(|median| with_ends(median, ends.distance, 3));
        table.rows.push(vec![
            figures.who.clone(),
            figures.n.to_string(),
            figures.copies().to_string(),
            text_or(distance, UNDEFINED),
            figures.n_patches.unwrap_or(figures.n).to_string(),
            with_ends(figures.centres, ends.centres, 2),
            with_ends(figures.leading_share, ends.leading_share, 2),
            with_ends(figures.images_used, ends.images_used, 1),
            with_ends(figures.region_area, ends.region_area, 1),
        ]);
    }
    table.section()
        + &format!(
            "\nn: samples searched, all of them for copies (fewer only of data sets so large that it would take minutes), the first for patches. Copies: the nearest training image, over all shifts, is less than a third as far as the second nearest. Distance: to the nearest, root mean square, median. Patch centres: pixels within {SAME_COLOUR} of the centre of their nearest training patch (Kamb & Ganguli, Theorem 4.1). Leading image: share of pixels whose nearest patch comes from the image most used. Region: pixels in a connected region from one image.\n\n"
        )
}

fn attention_table(metrics: &AttentionMetrics) -> String {
    let uniform = (metrics.n_pixels as f64).ln();
    let list = |values: &Vec<f64>| {
        values.iter().map(|value| format!("{value:.3}")).collect::<Vec<_>>().join(", ")
    };
    let title = "Attention along the network's own trajectories";
    let mut table = Table::new(title, &["t", "entropy", "distance", "sink", "largest logit"]);
    for level in &metrics.levels {
        let figures =
            [&level.entropy_nats, &level.distance_pixels, &level.sink, &level.largest_logit];
        let time = format!("{:.3}", level.t);
        table.rows.push([time].into_iter().chain(figures.map(list)).collect());
    }
    format!(
        "## {title}\n\nPer head: entropy in nats (uniform attention: {uniform:.3}), mean distance in pixels, the share of all attention that an image's most attended pixel receives and the largest logit (of softmax attention).\n\n{}\n",
        table.markdown()
    )
}

/// Attention that machines predict against the network's.
fn predicted_attention(report: &Report<'_>) -> String {
    let predictions: Vec<_> = report.predictors().map(|(_, machine)| machine).collect();
    let Some(first) = predictions.first() else { return String::new() };
    let title = "Attention predicted without the network";
    let mut table = Table::new(title, &["t", "measured entropy"]);
    for machine in &predictions {
        table.head.extend([format!("{}: entropy", machine.name), "r of log maps".to_owned()]);
    }
    // A machine may have no attention at some steps, such as `attention-optimal` where nothing is solved.
    for (at, step) in first.by_step.iter().enumerate() {
        let maps = predictions.iter().map(|machine| machine.by_step.get(at)?.attention);
        let maps: Vec<_> = maps.collect();
        let Some(measured) = maps.iter().flatten().next().map(|map| map.measured_nats) else {
            continue;
        };
        let mut row = vec![format!("{:.3}", step.t), format!("{measured:.3}")];
        for map in maps {
            row.push(cell(map.map(|map| format!("{:.3}", map.predicted_nats))));
            row.push(cell(map.map(|map| or_undefined(map.r_of_logs))));
        }
        table.rows.push(row);
    }
    let over_steps: Vec<String> = predictions
        .iter()
        .map(|machine| {
            format!("{} ({})", or_undefined(machine.r_of_predicted_entropy), machine.name)
        })
        .collect();
    format!(
        "## {title}\n\nAt the network's own states: mean entropy (nats) and Pearson's r of the logarithms of all weights, against the mean over the network's heads; means over seeds. Over all steps, the r of predicted and measured entropy is {}.\n\n{}\n",
        over_steps.join(", "),
        table.markdown()
    )
}

const UNDEFINED: &str = "undefined";

fn or_undefined(value: Option<f64>) -> String {
    text_or(value.map(|value| format!("{value:.3}")), UNDEFINED)
}
