//! `init`: writes the built-in lab file for editing.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::config::BUILT_IN;
use crate::errorln;
use crate::files::write_output;

#[derive(Clone, Debug, Args)]
pub struct InitArgs {
    /// Replace an existing lab.toml.
    #[arg(long)]
    pub force: bool,
}

/// Writes `lab.toml` into the current directory; replaces an existing file only with `--force`.
///
/// # Errors
///
/// If the file exists and `--force` is not given, or if it cannot be written.
pub fn write(args: &InitArgs) -> Result<()> {
    let path = Path::new("lab.toml");
    if args.force {
        write_output(path, BUILT_IN.as_bytes()).context("writing 'lab.toml'")?;
    } else {
        match File::create_new(path) {
            Ok(mut file) => {
                if let Err(error) = file.write_all(BUILT_IN.as_bytes()) {
                    // A partial lab file would be mistaken for an edited one.
                    let _ = fs::remove_file(path);
                    return Err(error).context("writing 'lab.toml'");
                }
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                bail!("'lab.toml' already exists; use --force to replace it")
            }
            Err(error) => return Err(error).context("creating 'lab.toml'"),
        }
    }
    errorln!("wrote lab.toml; data set paths in it are relative to its directory");
    Ok(())
}
