//! `--lab` and `--runs-dir`: locations of experiments and runs.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::config::{self, Lab};
use crate::runs::runs_dir::{RunSummary, RunsDir};

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

    /// Finds the run that a name or prefix refers to.
    ///
    /// # Errors
    ///
    /// If the lab file is unusable, if the runs cannot be read, or if no run or several runs match.
    pub fn run(&self, prefix: &str) -> Result<RunSummary> {
        let runs = self.runs()?;
        let place = runs.path().display();
        let reading = || format!("reading the runs in '{place}'");
        let mut found = runs.matching(prefix).with_context(reading)?;
        if found.len() == 1 {
            return Ok(found.remove(0));
        }
        if found.is_empty() {
            let listing = runs.listing().with_context(reading)?;
            let hidden = match listing.n_unreadable {
                0 => String::new(),
                n => {
                    format!(" ({n} unreadable directories skipped; they may belong to other users)")
                }
            };
            let known: Vec<String> = listing.runs.into_iter().take(10).map(|run| run.id).collect();
            if known.is_empty() {
                bail!(
                    "there is no run '{prefix}': '{place}' holds no runs that can be read{hidden}; start one with 'mosaic run EXPERIMENT'"
                );
            }
            bail!(
                "there is no run '{prefix}' in '{place}'{hidden}; the newest are {}",
                known.join(", ")
            );
        }
        let candidates: Vec<String> = found.into_iter().map(|run| run.id).collect();
        bail!(
            "'{prefix}' matches {} runs: {}; type more of the name",
            candidates.len(),
            candidates.join(", ")
        )
    }
}
