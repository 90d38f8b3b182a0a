//! `mosaic rename`: renames a run that has no worker.

use std::io::Write;

use anyhow::Result;
use clap::Args;

use super::lab_and_runs_dir_options::LabPaths;
use crate::console;

#[derive(Clone, Debug, Args)]
pub struct RenameArgs {
    /// Run name, or a unique prefix of it.
    pub run: String,
    /// New name; the time of launch stays at the end.
    pub to: String,
}

/// Renames a run.
///
/// # Errors
///
/// If the lab file is unusable, if the runs cannot be read, if no run or several runs match, if the new name
/// is invalid or taken, if the run has a worker or was written by a newer mosaic, if it cannot be renamed, or
/// if writing to standard output fails.
pub fn run(paths: &LabPaths, args: &RenameArgs) -> Result<()> {
    let run = paths.run(&args.run)?;
    let name = paths.runs()?.rename(&run.dir, &args.to)?;
    writeln!(console::stdout(), "{} is now {name}", run.id)?;
    Ok(())
}
