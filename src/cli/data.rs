//! `data ls` and `data show`: which images experiments train on.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};

use super::Place;
use crate::analysis::consistency::Judge;
use crate::lab::picture;
use crate::lab::worker::prepare::open_dataset;

#[derive(Clone, Debug, Args)]
pub struct DataArgs {
    #[command(subcommand)]
    pub command: DataCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub enum DataCommand {
    /// One line an experiment: its data set, and whether its files are there.
    Ls,
    /// Describe an experiment's data set; with --out, draw its first images.
    Show {
        experiment: String,
        /// A .png for the first images.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[arg(long, default_value_t = 16)]
        images: usize,
    },
}

pub fn run(place: &Place, args: &DataArgs) -> Result<()> {
    let lab = place.lab()?;
    let mut stdout = io::stdout().lock();
    match &args.command {
        DataCommand::Ls => {
            let width = lab.experiments.iter().map(|e| e.name.len()).max().unwrap_or(0);
            for experiment in &lab.experiments {
                let data = &experiment.dataset;
                let what = match data.is_read() {
                    true => format!("'{}'", experiment.path(&data.path).display()),
                    false => format!("{} drawn images, seed {}", data.n, data.seed),
                };
                let there = if experiment.check_files().is_ok() { "" } else { " (missing)" };
                writeln!(stdout, "{:width$}  {:7}  {what}{there}", experiment.name, data.kind)?;
            }
        }
        DataCommand::Show { experiment, out, images } => {
            let experiment = lab.experiment(experiment)?;
            let dataset = open_dataset(experiment)?;
            writeln!(stdout, "{}: {} images of {}", dataset.name, dataset.len(), dataset.shape())?;
            if let Some(labels) = dataset.labels() {
                let largest = labels.iter().max().copied().unwrap_or(0);
                writeln!(stdout, "labels 0 to {largest}")?;
            }
            let judged = match Judge::new(&dataset) {
                Some(_) => "its samples can be judged by its rule",
                None => "it has no rule to judge samples by",
            };
            writeln!(stdout, "{judged}")?;
            if let Some(path) = out {
                let batch = dataset.batch(0, (*images).min(dataset.len()));
                picture::gallery(&batch)
                    .save(path)
                    .with_context(|| format!("writing '{}'", path.display()))?;
            }
        }
    }
    Ok(())
}
