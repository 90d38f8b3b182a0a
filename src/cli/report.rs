//! `report`: the page or the JSON that a finished run wrote.

use std::io::Write;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::Place;
use super::control::find;
use crate::console;
use crate::tui::words::run_state;

#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    /// The run, or the start of its name if no other starts so.
    pub run: String,
    /// report.json in place of the page.
    #[arg(long)]
    pub json: bool,
}

pub fn show(place: &Place, args: &ReportArgs) -> Result<()> {
    let run = find(&place.runs()?, &args.run)?;
    let path = run.dir.report_path().join(if args.json { "report.json" } else { "report.md" });
    if !path.exists() {
        bail!(
            "run '{}' has no report yet: it is {}; a report is written when a run is finished",
            run.id,
            run_state(&run)
        );
    }
    let text = std::fs::read(&path).with_context(|| format!("reading '{}'", path.display()))?;
    console::stdout().write_all(&text)?;
    Ok(())
}
