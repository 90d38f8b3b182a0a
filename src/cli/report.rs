//! `report`: prints the report of a finished run, as a page or as JSON; after the page, its comparison with other networks.

use std::io::Write;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::lab_and_runs_dir_options::LabPaths;
use crate::console;
use crate::evaluation::networks::networks_report;

#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    /// Run name, or a unique prefix of it.
    pub run: String,
    /// Print report.json instead of the report.
    #[arg(long)]
    pub json: bool,
}

/// Prints the report of a run.
///
/// # Errors
///
/// If the lab file is unusable, if the runs cannot be read, if no run or several runs match, if the run has
/// no report or it cannot be read, or if writing to standard output fails.
pub fn show(paths: &LabPaths, args: &ReportArgs) -> Result<()> {
    let run = paths.run(&args.run)?;
    let path = run.dir.report_path().join(if args.json { "report.json" } else { "report.md" });
    if !path.exists() {
        bail!(
            "run '{}' has no report yet: it is {}; the report is written when the run finishes, and by 'mosaic compare {}'",
            run.id,
            run.listed_state().word(),
            run.id
        );
    }
    let text = std::fs::read(&path).with_context(|| format!("reading '{}'", path.display()))?;
    console::stdout().write_all(&text)?;
    let networks = run.dir.report_path().join(networks_report::PAGE);
    if !args.json && networks.exists() {
        let text = std::fs::read(&networks)
            .with_context(|| format!("reading '{}'", networks.display()))?;
        console::stdout().write_all(b"\n")?;
        console::stdout().write_all(&text)?;
    }
    Ok(())
}
