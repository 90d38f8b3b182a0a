//! `experiments`: lists the experiments, or explains every setting of one.

use std::io::Write;

use anyhow::Result;
use clap::Args;
use serde_json::{Map, Value, json};

use super::lab_and_runs_dir_options::LabPaths;
use crate::console;

#[derive(Clone, Debug, Args)]
pub struct ExperimentsArgs {
    /// Show all settings of this experiment.
    pub experiment: Option<String>,
    /// One JSON value.
    #[arg(long)]
    pub json: bool,
}

/// Prints the list of experiments, or the settings of one.
///
/// # Errors
///
/// If the lab file is unusable, the experiment is unknown, or writing to standard output fails.
pub fn show(paths: &LabPaths, args: &ExperimentsArgs) -> Result<()> {
    let lab = paths.lab()?;
    let mut out = console::stdout();
    let Some(name) = &args.experiment else {
        if args.json {
            let rows: Vec<Value> = lab
                .experiments
                .iter()
                .map(|e| json!({ "name": &*e.name, "description": e.description }))
                .collect();
            writeln!(out, "{}", Value::Array(rows))?;
            return Ok(());
        }
        let width = lab.experiments.iter().map(|e| e.name.len()).max().unwrap_or(0);
        for experiment in &lab.experiments {
            let words = format!("{:width$}  {}", experiment.name, experiment.description);
            writeln!(out, "{}", console::line(&words))?;
        }
        return Ok(());
    };
    let experiment = lab.experiment(name)?;
    if args.json {
        let values: Map<String, Value> = experiment
            .entries()
            .into_iter()
            .map(|entry| (entry.key.to_owned(), Value::String(entry.value)))
            .collect();
        writeln!(out, "{}", Value::Object(values))?;
        return Ok(());
    }
    writeln!(out, "{}: {}\n", experiment.name, experiment.description)?;
    for entry in experiment.entries() {
        let mark = if entry.is_default { ' ' } else { '*' };
        writeln!(out, "{mark} {} = {}", entry.key, console::line(&entry.value))?;
        writeln!(out, "      {} ({})", entry.doc, entry.accepted)?;
    }
    writeln!(out, "\n* differs from the default; change one with --set key=value")?;
    Ok(())
}
