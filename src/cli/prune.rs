//! `mosaic prune`: deletes what old runs do not need any more, after asking.

use std::io::{self, BufRead, IsTerminal, Write};
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use indicatif::HumanBytes;
use strum::VariantNames;

use super::lab_and_runs_dir_options::LabPaths;
use crate::runs::alive_silent_or_lost::Health;
use crate::runs::prune::{Found, Prunable, find};
use crate::runs::runs_dir::RunSummary;
use crate::runs::status_json::now_ms;
use crate::{console, errorln};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Clone, Debug, Args)]
pub struct PruneArgs {
    /// Runs, by name or unique prefix [default: all without a worker].
    pub runs: Vec<String>,
    /// Only runs that were launched at least so many days ago.
    #[arg(long, value_name = "DAYS", default_value_t = 0.0)]
    pub older_than: f64,
    /// previews (but the newest), traces, checkpoints (but the newest), solutions of attention-optimal [default: previews
    /// and traces].
    #[arg(long, value_name = "LIST", value_delimiter = ',', num_args = 1..)]
    pub what: Vec<String>,
    /// Delete without asking.
    #[arg(long)]
    pub yes: bool,
}

/// Shows what the runs could give back, asks, and deletes it.
///
/// # Errors
///
/// If a kind or a run is unknown, if nobody can be asked, or if something cannot be deleted; the other runs are still pruned.
pub fn run(paths: &LabPaths, args: &PruneArgs) -> Result<()> {
    let kinds = kinds(&args.what)?;
    let found = candidates(paths, args, &kinds)?;
    let mut out = console::stdout();
    if found.is_empty() {
        errorln!("nothing to give back");
        return Ok(());
    }
    let width = found.iter().map(|(run, _)| run.id.chars().count()).max().unwrap_or(0);
    for (run, files) in &found {
        let parts = kinds.iter().filter_map(|kind| {
            let of: Vec<&Found> = files.iter().filter(|file| file.kind == *kind).collect();
            let bytes: u64 = of.iter().map(|file| file.bytes).sum();
            let name: &str = kind.into();
            (!of.is_empty()).then(|| format!("{} {name} ({})", of.len(), HumanBytes(bytes)))
        });
        let parts = parts.collect::<Vec<_>>().join(", ");
        writeln!(out, "{:width$}  {parts}", console::line(&run.id))?;
    }
    let total: u64 = found.iter().flat_map(|(_, files)| files).map(|file| file.bytes).sum();
    writeln!(out, "{} in {} runs", HumanBytes(total), found.len())?;
    out.flush()?;
    if !args.yes && !is_wanted()? {
        errorln!("nothing was deleted");
        return Ok(());
    }
    let mut n_failed = 0;
    let mut deleted = 0;
    for (run, files) in &found {
        match run.dir.prune(files) {
            Ok(bytes) => deleted += bytes,
            Err(error) => {
                n_failed += 1;
                errorln!("error: {:#}", anyhow::Error::new(error));
            }
        }
    }
    errorln!("deleted {}", HumanBytes(deleted));
    if n_failed > 0 {
        bail!("{n_failed} of {} runs could not be pruned", found.len());
    }
    Ok(())
}

fn kinds(words: &[String]) -> Result<Vec<Prunable>> {
    if words.is_empty() {
        return Ok(vec![Prunable::Previews, Prunable::Traces]);
    }
    let kind = |word: &String| match word.parse() {
        Ok(kind) => Ok(kind),
        Err(_) => bail!(
            "--what '{word}': accepted are {}",
            <Prunable as VariantNames>::VARIANTS.join(", ")
        ),
    };
    words.iter().map(kind).collect()
}

/// The runs without a worker that have something to give back.
fn candidates(
    paths: &LabPaths,
    args: &PruneArgs,
    kinds: &[Prunable],
) -> Result<Vec<(RunSummary, Vec<Found>)>> {
    let runs = match args.runs.as_slice() {
        [] => paths.runs()?.settled_listing()?.runs,
        named => named.iter().map(|run| paths.run(run)).collect::<Result<_>>()?,
    };
    let is_old = |run: &RunSummary| {
        let age = Duration::from_millis(now_ms().saturating_sub(run.created_ms));
        age.as_secs_f64() >= args.older_than * DAY.as_secs_f64()
    };
    let is_idle = |run: &RunSummary| matches!(run.health, Health::Over | Health::Lost);
    let chosen = runs.into_iter().filter(|run| is_old(run) && is_idle(run));
    let found = chosen.map(|run| {
        let files = find(&run.dir, kinds);
        (run, files)
    });
    Ok(found.filter(|(_, files)| !files.is_empty()).collect())
}

/// Asks on the terminal.
fn is_wanted() -> Result<bool> {
    if !io::stdin().is_terminal() {
        bail!(
            "nothing was deleted: nobody can be asked without a terminal; --yes deletes without asking"
        );
    }
    write!(console::stderr(), "delete this? y/N ")?;
    console::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
