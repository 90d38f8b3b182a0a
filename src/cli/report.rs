//! `report`: prints the report of a finished run, as a page or as JSON; after the page, its comparison with other networks.
//! Or writes the reports of runs as an HTML file.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::lab_and_runs_dir_options::LabPaths;
use crate::console;
use crate::errorln;
use crate::evaluation::networks::networks_report;
use crate::evaluation::report_page::page_of_runs;
use crate::files::{check_output, write_output};
use crate::runs::runs_dir::RunSummary;

#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    /// Run name, or a unique prefix of it; several with --html.
    #[arg(required = true)]
    pub runs: Vec<String>,
    /// Print report.json instead of the report.
    #[arg(long)]
    pub json: bool,
    /// Write the reports of the runs and, of several, their comparison as one HTML file with all tables, charts and pictures,
    /// which needs nothing else: light and dark, for screens and printers.
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    pub html: Option<PathBuf>,
}

/// Prints the report of a run, or writes the HTML file.
///
/// # Errors
///
/// If the lab file is unusable, if the runs cannot be read, if no run or several runs match, if a run has
/// no report or it cannot be read, or if writing to standard output or the file fails.
pub fn show(paths: &LabPaths, args: &ReportArgs) -> Result<()> {
    match (&args.html, &args.runs[..]) {
        (Some(path), _) => write_page(paths, args, path),
        (None, [name]) => print(paths, name, args.json),
        (None, names) => bail!(
            "{} runs were named, but one report is printed at a time; '--html FILE' writes several into one file, and 'mosaic compare' \
             compares them",
            names.len()
        ),
    }
}

fn write_page(paths: &LabPaths, args: &ReportArgs, path: &Path) -> Result<()> {
    let writing = || format!("writing '{}'", path.display());
    check_output(path).with_context(writing)?;
    let mut runs = Vec::new();
    for name in &args.runs {
        let run = paths.run(name)?;
        if runs.iter().any(|other: &RunSummary| other.id == run.id) {
            bail!("run '{}' is named twice", run.id);
        }
        runs.push(run);
    }
    let page = page_of_runs::page(&runs, &paths.lab()?)?;
    write_output(path, page.as_bytes()).with_context(writing)?;
    errorln!("wrote {:.1} MB to '{}'", page.len() as f64 / 1e6, path.display());
    Ok(())
}

fn print(paths: &LabPaths, name: &str, is_json: bool) -> Result<()> {
    let run = paths.run(name)?;
    let path = run.dir.report_path().join(if is_json { "report.json" } else { "report.md" });
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
    if !is_json && networks.exists() {
        let text = std::fs::read(&networks)
            .with_context(|| format!("reading '{}'", networks.display()))?;
        console::stdout().write_all(b"\n")?;
        console::stdout().write_all(&text)?;
    }
    Ok(())
}
