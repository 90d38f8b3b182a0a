//! `run --training-seeds A..B`: trains several training seeds of one experiment as a group, and compares them: every figure
//! with its interval over training seeds, beside the ceiling (another training seed) and chance (another noise seed). The figures are computed in
//! `evaluation/summary_over_runs.rs`.

use std::io::Write;
use std::ops::Range;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use super::exit_codes::STOPPED;
use super::follow_several_runs::{run_together, tell_unfinished};
use crate::config::Experiment;
use crate::config::name_of_changes::changes_in_words;
use crate::config::training_seed_group::group;
use crate::evaluation::studies::study_runs::ArmState;
use crate::evaluation::summary_over_runs::{Row, summary};
use crate::hardware::device_request::DeviceRequest;
use crate::runs::catch_signals::Signals;
use crate::runs::runs_dir::RunsDir;
use crate::{console, errorln};

/// Trains the group of an experiment, which was changed from `base` in lab.toml, and prints its comparison.
///
/// # Errors
///
/// If no run of the group has a result, if a report cannot be read, or if the comparison cannot be written.
pub fn run(
    runs: &RunsDir,
    (base, experiment): (&Experiment, &Experiment),
    seeds: &Range<u64>,
    (device, jobs): (&DeviceRequest, Option<u16>),
    signals: &Signals,
    as_json: bool,
) -> Result<ExitCode> {
    let arms = group(experiment, &changes_in_words(base, experiment), seeds)
        .context("setting training.seed")?;
    let stands = run_together(runs, &arms, device, jobs, signals);
    let mut rows = Vec::new();
    for (seed, stand) in seeds.clone().zip(&stands) {
        match stand {
            ArmState::Finished(run) => rows.push(Row::read(run)?),
            ArmState::Failed(reason) => errorln!("training seed {seed}: {reason}"),
            ArmState::Waiting | ArmState::Working { .. } => {
                tell_unfinished(&stands, signals);
                return Ok(ExitCode::from(STOPPED));
            }
        }
    }
    if rows.is_empty() {
        bail!("no training seed of '{}' has a result", experiment.name);
    }
    let summary = summary(&rows);
    // Variants of one experiment have folders of their own.
    let settings: String = experiment
        .entries()
        .iter()
        .map(|entry| format!("{}={}\n", entry.key, entry.value))
        .collect();
    let code = crc32fast::hash(settings.as_bytes());
    let name = format!("{}-{}-{}-{code:08x}", experiment.name, seeds.start, seeds.end);
    let folder = runs.path().join("groups").join(name);
    summary.write(&folder)?;
    if as_json {
        writeln!(console::stdout(), "{}", summary.json)?;
    } else {
        write!(console::stdout(), "{}", summary.page)?;
    }
    errorln!("this comparison: '{}'", folder.display());
    // A group with a failed seed is incomplete.
    if rows.len() < arms.len() {
        bail!("{} of {} training seeds failed", arms.len() - rows.len(), arms.len());
    }
    Ok(ExitCode::SUCCESS)
}
