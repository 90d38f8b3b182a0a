//! `data ls` and `data show`: which images experiments train on, and how a path of images is one.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};

use super::Place;
use crate::analysis::consistency::Judge;
use crate::console;
use crate::dataset::cifar;
use crate::lab::config::Experiment;
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
    /// Describe a data set; with --out, draw its first images.
    Show {
        /// An experiment of the lab file, or images, as 'mosaic theory' takes them.
        dataset: String,
        /// Change a setting (dataset.n, dataset.path, ...); may be given many times.
        #[arg(long = "set", value_name = "KEY=VALUE")]
        settings: Vec<String>,
        /// A .png for the first images.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// How many of them.
        #[arg(long, default_value_t = 16)]
        images: usize,
    },
}

pub fn run(place: &Place, args: &DataArgs) -> Result<()> {
    let mut stdout = console::stdout();
    match &args.command {
        DataCommand::Ls => {
            let lab = place.lab()?;
            let width = lab.experiments.iter().map(|e| e.name.len()).max().unwrap_or(0);
            for experiment in &lab.experiments {
                let data = &experiment.dataset;
                let what = match data.is_read() {
                    true => format!("'{}'", experiment.path(&data.path).display()),
                    false => format!("{} drawn images, seed {}", data.n, data.seed),
                };
                let there = if experiment.check_files().is_ok() { "" } else { " (missing)" };
                let words = format!("{:width$}  {:7}  {what}{there}", experiment.name, data.kind);
                writeln!(stdout, "{}", console::line(&words))?;
            }
        }
        DataCommand::Show { dataset, settings, out, images } => {
            let (_, mut experiment) = experiment_over(place, dataset)?;
            experiment.set_pairs(settings)?;
            experiment.check().context("checking the settings")?;
            let dataset = open_dataset(&experiment)?;
            writeln!(
                stdout,
                "{}: {} images of {}",
                console::line(&dataset.name),
                dataset.len(),
                dataset.shape()
            )?;
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

/// The experiment called `name`, or one over the images of that path; and a name for it.
pub fn experiment_over(place: &Place, name: &str) -> Result<(String, Experiment)> {
    let lab = place.lab()?;
    let path = Path::new(name);
    if lab.experiment(name).is_err() && path.exists() {
        let stem = path.file_name().map_or("images", |name| name.to_str().unwrap_or("images"));
        let stem = stem.split('.').next().unwrap_or(stem).to_owned();
        let mut experiment = Experiment::new(&stem);
        experiment.root = std::env::current_dir().context("finding the current directory")?;
        let kind = match path {
            path if cifar::is_likely(path) => "cifar",
            path if path.is_dir() => "folder",
            _ => "idx",
        };
        for (key, text) in [
            ("dataset.kind", kind),
            ("dataset.path", name),
            ("dataset.n", "0"),
            ("dataset.size", if kind == "folder" { "32" } else { "0" }),
            ("network.attention", "none"),
            ("network.padding", "zeros"),
            ("theory.machines", "bbels"),
        ] {
            experiment.set(key, text).with_context(|| format!("setting {key}"))?;
        }
        return Ok((stem, experiment));
    }
    let found = lab.experiment(name).with_context(|| {
        format!("'{name}' is neither a file nor an experiment; see 'mosaic experiments'")
    })?;
    Ok((name.to_owned(), found.clone()))
}
