//! `mosaic completions`: prints a completion script for a shell.

use std::io::{self, Write};

use anyhow::Result;
use clap::CommandFactory;

use super::arguments::Cli;

/// Prints the script that completes `mosaic`'s arguments in `shell`.
///
/// # Errors
///
/// If writing to standard output fails.
pub fn run(shell: clap_complete::Shell) -> Result<()> {
    // Written to memory first: clap_complete panics if stdout is closed early.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "mosaic", &mut script);
    io::stdout().write_all(&script)?;
    Ok(())
}
