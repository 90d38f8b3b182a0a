//! `mosaic ls`: lists the runs with their state, newest first.

use std::io::Write;

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;

use super::lab_and_runs_dir_options::LabPaths;
use super::ls_columns::{self, Column};
use crate::runs::control_holder::Steering;
use crate::runs::listed_run_state::ListedState;
use crate::runs::runs_dir::RunSummary;
use crate::{console, errorln};

#[derive(Clone, Debug, Args)]
pub struct LsArgs {
    /// One JSON array.
    #[arg(long, conflicts_with_all = ["columns", "sort"])]
    pub json: bool,
    /// Columns: run, experiment, state, step, loss, age, device, convergence, tags, note, r.MACHINE (median r of the
    /// report), or any setting [default: run,state,step,loss,note].
    #[arg(long, value_name = "LIST", value_delimiter = ',', num_args = 1..)]
    pub columns: Vec<String>,
    /// Sort by a column instead of by age; with a minus before it, the other way round: --sort=-r.els.
    #[arg(long, value_name = "COLUMN", allow_hyphen_values = true)]
    pub sort: Option<String>,
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
    let columns: Vec<Column> =
        args.columns.iter().map(|name| Column::named(name)).collect::<Result<_>>()?;
    let order = match args.sort.as_deref().map(|name| (name.strip_prefix('-'), name)) {
        Some((Some(name), _)) => Some((Column::named(name)?, true)),
        Some((None, name)) => Some((Column::named(name)?, false)),
        None => None,
    };
    let runs = paths.runs()?;
    let place = runs.path().display();
    let listing =
        runs.settled_listing().with_context(|| format!("reading the runs in '{place}'"))?;
    let found = sorted(listing.runs, order.as_ref());
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
    if !columns.is_empty() {
        return table(&mut out, &found, &columns);
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

/// The runs in the order of a column, or the other way round.
fn sorted(runs: Vec<RunSummary>, order: Option<&(Column, bool)>) -> Vec<RunSummary> {
    let Some((column, is_reversed)) = order else { return runs };
    let needed = std::slice::from_ref(column);
    let mut read: Vec<_> =
        runs.iter().map(|run| ls_columns::ListedRun::read(run, needed)).collect();
    read.sort_by(|one, other| {
        let order = column.compare(one, other);
        if *is_reversed { order.reverse() } else { order }
    });
    read.into_iter().map(|listed| listed.run.clone()).collect()
}

/// Prints chosen columns.
fn table(out: &mut impl Write, runs: &[RunSummary], columns: &[Column]) -> Result<()> {
    let row = |run: &RunSummary| -> Vec<String> {
        let run = ls_columns::ListedRun::read(run, columns);
        columns.iter().map(|column| console::line(&column.cell(&run)).into_owned()).collect()
    };
    let head = columns.iter().map(Column::title).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(runs.iter().map(row)).collect();
    let width = |index: usize| rows.iter().map(|row| row[index].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    for row in &rows {
        let cells = row.iter().zip(columns).zip(&widths);
        let cells = cells.map(|((cell, column), &width)| match column.is_number() {
            true => format!("{cell:>width$}"),
            false => format!("{cell:width$}"),
        });
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}
