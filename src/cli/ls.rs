//! `mosaic ls`: lists the runs with their state, newest first.

use std::io::Write;

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;

use super::lab_and_runs_dir_options::LabPaths;
use crate::runs::control_holder::Steering;
use crate::runs::listed_run_state::ListedState;
use crate::runs::runs_dir::RunSummary;
use crate::{console, errorln};

#[derive(Clone, Debug, Args)]
pub struct LsArgs {
    /// One JSON array.
    #[arg(long)]
    pub json: bool,
}

/// Explains the state of a run, if there is an explanation.
fn message(run: &RunSummary) -> Option<String> {
    let newer = run.newer.as_ref().map(ToString::to_string);
    newer.or_else(|| run.status.as_ref()?.message.clone())
}

/// Name of the process that has control of a run's worker.
fn holder(run: &RunSummary) -> Option<&str> {
    match &run.steering {
        Steering::Theirs(name) => Some(name),
        Steering::Free | Steering::Mine => None,
    }
}

/// A row of `ls --json`.
#[derive(Serialize)]
struct ListedRun<'a> {
    run: &'a str,
    experiment: &'a str,
    state: ListedState,
    step: Option<u64>,
    steps: Option<u64>,
    loss: Option<f64>,
    device: Option<&'a str>,
    message: Option<String>,
    steered_by: Option<&'a str>,
    created_ms: u64,
    note: &'a str,
    tags: &'a [String],
    path: String,
}

impl<'a> ListedRun<'a> {
    fn new(run: &'a RunSummary) -> Self {
        let status = run.status.as_ref();
        Self {
            run: &run.id,
            experiment: &run.experiment,
            state: run.listed_state(),
            step: status.map(|status| status.step),
            steps: status.map(|status| status.steps),
            loss: status.and_then(|status| status.loss),
            device: status.map(|status| status.device.as_str()),
            message: message(run),
            steered_by: holder(run),
            created_ms: run.created_ms,
            note: &run.about.note,
            tags: &run.about.tags,
            path: run.dir.path().display().to_string(),
        }
    }
}

/// Prints the runs and their state.
///
/// # Errors
///
/// If the lab file is unusable, if the directory of runs cannot be read, or if writing to standard output
/// fails.
pub fn run(paths: &LabPaths, args: &LsArgs) -> Result<()> {
    let runs = paths.runs()?;
    let place = runs.path().display();
    let listing =
        runs.settled_listing().with_context(|| format!("reading the runs in '{place}'"))?;
    let found = listing.runs;
    if listing.n_unreadable > 0 {
        errorln!(
            "{} unreadable directories in '{place}' skipped; they may belong to other users",
            listing.n_unreadable
        );
    }
    let mut out = console::stdout();
    if args.json {
        let rows: Vec<_> = found.iter().map(ListedRun::new).collect();
        writeln!(out, "{}", serde_json::to_string(&rows)?)?;
        return Ok(());
    }
    if found.is_empty() {
        let words = if listing.n_unreadable > 0 { "that can be read" } else { "yet" };
        errorln!("no runs in '{place}' {words}; start one with 'mosaic run EXPERIMENT'");
        return Ok(());
    }
    let shown = |run: &RunSummary| console::line(&run.id).into_owned();
    let width = found.iter().map(|run| shown(run).len()).max().unwrap_or(0);
    writeln!(out, "{:width$}  {:9}  {:>15}  {:>9}  note", "run", "state", "step", "loss")?;
    for run in &found {
        let status = run.status.as_ref();
        let step = status.map_or_else(String::new, |s| format!("{}/{}", s.step, s.steps));
        let loss =
            status.and_then(|s| s.loss).map_or_else(String::new, |loss| format!("{loss:.5}"));
        let message = message(run).unwrap_or_default();
        let tags: String = run.about.tags.iter().map(|tag| format!("#{tag} ")).collect();
        let note = [tags.trim_end(), &run.about.note, &message];
        let note =
            note.into_iter().filter(|words| !words.is_empty()).collect::<Vec<_>>().join("  ");
        let line = format!(
            "{:width$}  {:9}  {step:>15}  {loss:>9}  {note}",
            shown(run),
            run.listed_state().word()
        );
        writeln!(out, "{}", console::line(line.trim_end()))?;
    }
    Ok(())
}
