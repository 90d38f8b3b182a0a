//! `mosaic attach`, and `mosaic` without a subcommand: opens the dashboard, on a run or read-only if asked.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::exit_codes::{MISUSE, SIGNALLED};
use super::lab_and_runs_dir_options::LabPaths;
use crate::console::terminal_abilities;
use crate::errorln;
use crate::runs::runs_dir::RunsDir;
use crate::tui::{self, Left};

/// Options for opening the dashboard.
#[derive(Clone, Debug, Default, Args)]
pub struct AttachArgs {
    /// Run name, or a unique prefix of it [default: the newest running one].
    pub run: Option<String>,
    /// Read-only: do not launch, pause, stop or change anything.
    #[arg(long)]
    pub read_only: bool,
}

/// Printed if the dashboard cannot be shown.
const WITHOUT_DASHBOARD: &str = "without the dashboard use
  mosaic experiments        what can be run
  mosaic run EXPERIMENT     train, compare and report
  mosaic ls                 list runs and their state
  mosaic --help             everything else";

/// Opens the dashboard and returns when it is left.
///
/// # Errors
///
/// If the lab file or the directory of runs is unusable, if no run or several runs match, or if the terminal fails.
pub fn run(paths: &LabPaths, args: &AttachArgs) -> Result<ExitCode> {
    if let Some(lack) = terminal_abilities::lack_of_screen() {
        errorln!("mosaic's dashboard needs a terminal that can show it: {lack}");
        WITHOUT_DASHBOARD.lines().for_each(|line| errorln!("{line}"));
        return Ok(ExitCode::from(MISUSE));
    }
    let lab = paths.lab()?;
    RunsDir::new(&lab.settings.runs_dir).check()?;
    let run = args.run.as_ref().map(|name| paths.run(name)).transpose()?;
    match tui::run(lab, run.map(|run| run.id), args.read_only)? {
        Left::Detached => Ok(ExitCode::SUCCESS),
        Left::Signalled(signal) => Ok(ExitCode::from(SIGNALLED.saturating_add(signal))),
    }
}
