//! `theory --floors`: the smallest error that theory allows a denoiser at each noise level, without a network.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::exit_codes::STOPPED;
use super::lab_and_runs_dir_options::LabPaths;
use super::progress_bar;
use super::theory_arguments::{Opened, TheoryArgs, of_label, open};
use crate::analysis::excess_over_floor::MeanSquaredError;
use crate::config::enum_settings::MachineName;
use crate::console;
use crate::diffusion::DenoiseError;
use crate::evaluation::floors::{DRAWS_MAX, Draws, FloorMachine, LevelFloor};
use crate::optimum::class_of_network;
use crate::runs::catch_signals;

/// Measures the floors and prints them level by level, as soon as each is known.
///
/// # Errors
///
/// If the arguments, the lab file or the data set are unusable, if a machine fails, or if nothing can be printed.
pub(super) fn run(paths: &LabPaths, args: &TheoryArgs) -> Result<ExitCode> {
    let Opened { name, experiment, network, dataset, images, solver } = open(paths, args)?;
    let dataset = of_label(args, &dataset);
    let patch_side = args.k.unwrap_or_else(|| network.receptive_field());
    let n_classes = network.n_classes.filter(|_| args.label.is_none());
    let is_wanted = experiment.theory.machines.contains(&MachineName::AttentionOptimal);
    let class = is_wanted.then(|| class_of_network(&network).ok()).flatten();
    let dictionaries = images.by_class(n_classes)?;
    let machines = FloorMachine::all(&dictionaries, network.padding, patch_side, class)?;
    let n = args.draws.map_or(Draws::AtMost(DRAWS_MAX), |n| Draws::Exactly(n as usize));
    let stop = catch_signals::stop_on(&[SIGINT, SIGTERM]).context("listening for Ctrl-C")?;
    solver.watch(progress_bar::of_solving(stop.clone()));
    if !args.json {
        let (n_images, shape) = (images.len(), dataset.shape());
        writeln!(
            console::stdout(),
            "Mean squared error of the clean estimate per value of '{name}' ({n_images} images of {shape} in [-1, 1]),\nwith standard error; {} noised images per level; patches of {patch_side} pixels a side.\n\n{}",
            draws_in_words(n, &machines),
            heading(&machines)
        )?;
    }
    for &t in &args.t {
        let level = experiment.schedule.level(t);
        let seed = experiment.noise_seed;
        match LevelFloor::measure(&dataset, &machines, level, n, seed, &stop) {
            Ok(floor) if args.json => writeln!(console::stdout(), "{}", json_line(&floor))?,
            Ok(floor) => writeln!(console::stdout(), "{}", text_line(&floor))?,
            Err(DenoiseError::Cancelled) => return Ok(ExitCode::from(STOPPED)),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The number of draws, of each machine if they differ.
fn draws_in_words(n: Draws, machines: &[FloorMachine]) -> String {
    let counts: Vec<usize> = machines.iter().map(|machine| machine.draws(n)).collect();
    if counts.iter().all(|count| *count == counts[0]) {
        return counts[0].to_string();
    }
    let each = machines.iter().zip(counts).map(|(machine, n)| format!("{n} ({})", machine.name));
    each.collect::<Vec<_>>().join(", ")
}

/// Width of one machine's column: an error and its standard error.
const COLUMN: usize = 22;

fn heading(machines: &[FloorMachine]) -> String {
    let columns = machines.iter().map(|machine| format!("{:>COLUMN$}", machine.name));
    format!("{:>6}{}", "t", columns.collect::<String>())
}

fn text_line(floor: &LevelFloor) -> String {
    let columns = floor.means().map(|(_, MeanSquaredError { mse, se })| {
        let number = |x: f64| if x < 1e-3 { format!("{x:.1e}") } else { format!("{x:.4}") };
        let digits = format!("{} ({})", number(mse), number(se));
        format!("{digits:>COLUMN$}")
    });
    format!("{:>6}{}", floor.level.t, columns.collect::<String>())
}

/// `{"t": .., "ideal": {"mse": .., "se": ..}, ..}`.
fn json_line(floor: &LevelFloor) -> Value {
    let mut line = Map::new();
    line.insert("t".to_owned(), json!(floor.level.t));
    line.extend(floor.means().map(|(name, error)| (name.to_owned(), json!(error))));
    Value::Object(line)
}
