//! `mosaic rm`: deletes a run that has no worker.

use std::io::Write;

use anyhow::Result;

use super::lab_and_runs_dir_options::LabPaths;
use super::pause_resume_stop_kill::RunArg;
use crate::console;

/// Deletes a run.
///
/// # Errors
///
/// If the lab file is unusable, if the runs cannot be read, if no run or several runs match, if the run has a
/// worker or was written by a newer mosaic, if it cannot be deleted, or if writing to standard output fails.
pub fn run(paths: &LabPaths, args: &RunArg) -> Result<()> {
    let run = paths.run(&args.run)?;
    run.dir.delete()?;
    writeln!(console::stdout(), "{} is deleted", run.id)?;
    Ok(())
}
