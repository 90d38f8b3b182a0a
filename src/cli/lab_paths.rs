//! `--lab` and `--runs-dir`: locations of experiments and runs.

use std::path::PathBuf;

use anyhow::Result;

use crate::config::{self, Lab};
use crate::runs::runs_dir::RunsDir;

/// Locations of experiments and runs.
#[derive(Clone, Debug, clap::Args)]
pub struct LabPaths {
    /// Lab file with experiments and settings [default: ./lab.toml, else the built-in one].
    #[arg(long, value_name = "FILE", global = true)]
    pub lab: Option<PathBuf>,
    /// Directory of runs; overrides runs_dir of the lab file.
    #[arg(long, value_name = "DIR", global = true)]
    pub runs_dir: Option<PathBuf>,
}

impl LabPaths {
    /// Reads the lab file and applies `--runs-dir`.
    pub fn lab(&self) -> Result<Lab> {
        let mut lab = config::load(self.lab.as_deref())?;
        if let Some(runs_dir) = &self.runs_dir {
            lab.settings.runs_dir.clone_from(runs_dir);
        }
        Ok(lab)
    }

    /// The directory of runs. With `--runs-dir`, it is available even if `lab.toml` is invalid.
    pub fn runs(&self) -> Result<RunsDir> {
        match &self.runs_dir {
            Some(path) => Ok(RunsDir::new(path)),
            None => Ok(RunsDir::new(self.lab()?.settings.runs_dir)),
        }
    }
}
