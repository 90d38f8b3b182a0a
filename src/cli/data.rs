//! `data ls`, `data show`, `data export` and `data fetch`: the training images of experiments, and of paths.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Subcommand;

use super::data_export::{self, ExportArgs};
use super::data_fetch::{self, FetchArgs};
use super::lab_and_runs_dir_options::LabPaths;
use super::stream_for_messages::words_beside;
use crate::analysis::creativity_judge::Judge;
use crate::config::Experiment;
use crate::config::experiment_name::ExperimentName;
use crate::console;
use crate::dataset::{Half, array_images, cifar, parquet_images};
use crate::evaluation::load_networks_and_data::open_dataset;
use crate::files::{check_output, is_stdout};
use crate::image::{contact_sheet, picture_file};

#[derive(Clone, Debug, Subcommand)]
pub enum DataCommand {
    /// One line an experiment: its data set, and whether its files are there.
    Ls,
    /// Describe a data set; with --out, draw its first images.
    Show {
        /// An experiment of the lab file, or images, as 'mosaic theory' takes them.
        dataset: String,
        /// Change a setting (dataset.n, dataset.path, ...); repeatable.
        #[arg(long = "set", value_name = "KEY=VALUE")]
        settings: Vec<String>,
        /// A .png or .jpg for the first images; a device or pipe such as /dev/stdout gets a PNG.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// How many of them.
        #[arg(long, default_value_t = 16)]
        images: usize,
    },
    /// Write a data set to a .npz or .safetensors file, which is read with dataset.kind = 'arrays'.
    Export(ExportArgs),
    /// Fetch a well-known data set (mnist, cifar10, ...; --list), check it, and print the lines for lab.toml.
    ///
    /// A file is put in place only if its SHA-256 is the one that is pinned in this program. What was interrupted goes on
    /// from where it stopped. HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY are followed, and SSL_CERT_FILE.
    Fetch(FetchArgs),
}

/// Lists the data sets of the experiments, describes or exports one, or fetches one.
///
/// # Errors
///
/// If the lab file or the data set is unusable, if a setting is invalid, if the picture's name is unsuitable,
/// if an output cannot be written, or if a data set cannot be fetched.
pub fn run(paths: &LabPaths, command: &DataCommand) -> Result<ExitCode> {
    match command {
        DataCommand::Ls => {
            let mut stdout = console::stdout();
            let lab = paths.lab()?;
            let width = lab.experiments.iter().map(|e| e.name.len()).max().unwrap_or(0);
            for experiment in &lab.experiments {
                let data = &experiment.dataset;
                let n = data.n.map_or(0, NonZeroUsize::get);
                let what = match &data.path {
                    Some(path) => format!("'{}'", experiment.path(path).display()),
                    None => format!("{n} drawn images, seed {}", data.seed),
                };
                let what = match data.half {
                    Half::All => what,
                    half => format!("{what}, {half} half"),
                };
                let there = if experiment.check_files().is_ok() { "" } else { " (missing)" };
                let words = format!("{:width$}  {:7}  {what}{there}", experiment.name, data.kind);
                writeln!(stdout, "{}", console::line(&words))?;
            }
        }
        DataCommand::Show { dataset, settings, out, images } => {
            show(paths, dataset, settings, out.as_deref(), *images)?;
        }
        DataCommand::Export(args) => {
            let format = data_export::format_of_output(args)?;
            let (_, mut experiment) = experiment_over(paths, &args.dataset)?;
            experiment.set_pairs(&args.settings)?;
            experiment.check().context("checking the settings")?;
            let all = open_dataset(&experiment)?;
            let dataset = args.images.map_or_else(|| all.clone(), |n| all.first(n));
            data_export::write(&dataset, args.values, format, &args.out)?;
            let words = format!(
                "wrote {} images of {} to '{}'",
                dataset.len(),
                dataset.shape(),
                args.out.display()
            );
            writeln!(console::stdout(), "{}", console::line(&words))?;
        }
        DataCommand::Fetch(args) => return data_fetch::run(paths, args),
    }
    Ok(ExitCode::SUCCESS)
}

/// Describes a data set, and draws its first images.
fn show(
    paths: &LabPaths,
    dataset: &str,
    settings: &[String],
    out: Option<&Path>,
    images: usize,
) -> Result<()> {
    if let Some(path) = out {
        check_output(path).with_context(|| format!("writing '{}'", path.display()))?;
        if picture_file::format_of(path).is_none() {
            bail!("'{}' must end in .png or .jpg", path.display());
        }
    }
    // A picture on stdout must not be mixed with text.
    let mut words: Box<dyn Write> = match out.is_some_and(is_stdout) {
        true => words_beside(out.into_iter()),
        false => Box::new(console::stdout()),
    };
    let (_, mut experiment) = experiment_over(paths, dataset)?;
    experiment.set_pairs(settings)?;
    experiment.check().context("checking the settings")?;
    let dataset = open_dataset(&experiment)?;
    writeln!(
        words,
        "{}: {} images of {}",
        console::line(&dataset.name),
        dataset.len(),
        dataset.shape()
    )?;
    for fact in dataset.facts() {
        writeln!(words, "{}", console::line(fact))?;
    }
    if let Some(labels) = dataset.labels() {
        writeln!(words, "{}", label_range(labels))?;
    }
    let judged = match Judge::new(&dataset) {
        Some(_) => "samples can be judged (the set has a rule)",
        None => "samples cannot be judged (the set has no rule)",
    };
    writeln!(words, "{judged}")?;
    for notice in dataset.notices() {
        writeln!(words, "warning: {notice}")?;
    }
    if let Some(path) = out {
        let batch = dataset.batch(0, images.min(dataset.len()));
        picture_file::write(&contact_sheet::gallery(&batch), path)
            .with_context(|| format!("writing '{}'", path.display()))?;
    }
    Ok(())
}

/// The smallest and the largest label present, and the number of labels missing between them.
fn label_range(labels: &[u8]) -> String {
    let present: BTreeSet<u8> = labels.iter().copied().collect();
    let (Some(&low), Some(&high)) = (present.first(), present.last()) else {
        return "no labels".to_owned();
    };
    let absent: Vec<String> = (low..=high)
        .filter(|label| !present.contains(label))
        .map(|label| label.to_string())
        .collect();
    let gaps = match absent.len() {
        0 => String::new(),
        n @ 1..=5 => format!(", {n} of them without images: {}", absent.join(", ")),
        n => format!(", {n} of them without images: {}, ...", absent[..5].join(", ")),
    };
    format!("labels {low} to {high}{gaps}")
}

/// A name derived from a file or folder: without extensions, never empty, never hidden.
fn name_of(path: &Path) -> String {
    let found = path.file_name().map(OsStr::to_owned).or_else(|| {
        // Paths such as '.' and '..' stand for a folder with a proper name.
        std::fs::canonicalize(path).ok()?.file_name().map(OsStr::to_owned)
    });
    let name = found.unwrap_or_default().to_string_lossy().into_owned();
    let name = name.trim_start_matches('.');
    let stem = if path.is_dir() { name } else { name.split('.').next().unwrap_or(name) };
    if stem.is_empty() { "images".to_owned() } else { stem.to_owned() }
}

/// The experiment called `name`, or one for the images at that path, and its display name.
///
/// # Errors
///
/// If the lab file is unusable, if `name` is neither a path nor an experiment, or if the settings for the
/// images at that path cannot be made.
pub fn experiment_over(paths: &LabPaths, name: &str) -> Result<(String, Experiment)> {
    let lab = paths.lab()?;
    let path = Path::new(name);
    if lab.experiment(name).is_err() && path.exists() {
        let stem = name_of(path);
        let name_of_set = ExperimentName::like(&stem);
        let mut experiment = Experiment { name: name_of_set, ..Experiment::default() };
        experiment.root = std::env::current_dir().context("finding the current directory")?;
        let kind = match path {
            path if cifar::is_likely(path) => "cifar",
            path if parquet_images::is_likely(path) => "parquet",
            path if path.is_dir() => "folder",
            path if array_images::is_likely(path) => "arrays",
            _ => "idx",
        };
        let size = if matches!(kind, "folder" | "parquet") { "32" } else { "0" };
        for (key, text) in [
            ("dataset.kind", kind),
            ("dataset.path", name),
            ("dataset.n", "0"),
            ("dataset.size", size),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_labels_are_those_that_occur() {
        assert_eq!(
            label_range(&[26, 1, 2, 3]),
            "labels 1 to 26, 22 of them without images: 4, 5, 6, 7, 8, ..."
        );
        assert_eq!(label_range(&[2, 1, 2]), "labels 1 to 2");
        assert_eq!(label_range(&[4, 6]), "labels 4 to 6, 1 of them without images: 5");
    }

    #[test]
    fn hidden_files_and_folders_without_a_name_are_called_something() {
        for (path, name) in [
            (".hidden.idx", "hidden"),
            ("a/train-images.idx.gz", "train-images"),
            (".gz", "gz"),
            ("...", "images"),
            ("/", "images"),
        ] {
            assert_eq!(name_of(Path::new(path)), name, "{path}");
        }
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("mine.v2");
        std::fs::create_dir(&inner).unwrap();
        assert_eq!(name_of(&inner), "mine.v2");
        assert_eq!(name_of(&inner.join("..").join("mine.v2").join(".")), "mine.v2");
    }
}
