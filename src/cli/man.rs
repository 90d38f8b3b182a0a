//! `mosaic man`: writes manual pages, one for each subcommand.

use std::path::Path;

use anyhow::{Context, Result};
use clap::CommandFactory;

use super::arguments::Cli;
use crate::errorln;
use crate::files::{make_folder, write_output};

/// Writes the pages.
///
/// # Errors
///
/// If the directory cannot be made, or a page cannot be written.
pub fn write(directory: &Path) -> Result<()> {
    let place = directory.display();
    make_folder(directory).with_context(|| format!("making '{place}'"))?;
    let mut program = Cli::command();
    program.build();
    let commands = std::iter::once(&program).chain(below(&program));
    let mut n = 0;
    for command in commands.filter(|command| !command.is_hide_set()) {
        let page = clap_mangen::Man::new(command.clone());
        let path = directory.join(page.get_filename());
        let mut text = Vec::new();
        page.render(&mut text).context("writing a manual page")?;
        write_output(&path, &text).with_context(|| format!("writing '{}'", path.display()))?;
        n += 1;
    }
    errorln!("wrote {n} manual pages to '{place}'; read them with man -l '{place}/mosaic.1'");
    Ok(())
}

/// All subcommands at any depth, but for those named `help`.
fn below(command: &clap::Command) -> Vec<&clap::Command> {
    let own = command.get_subcommands().filter(|command| command.get_name() != "help");
    own.flat_map(|command| std::iter::once(command).chain(below(command))).collect()
}
