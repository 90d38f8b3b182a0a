//! `export`: writes what a run has learned to files that other programs read.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, Args};
use strum::VariantNames;

use super::export_places::ResultFormat;
use super::export_results;
use super::export_tensorboard;
use super::lab_and_runs_dir_options::LabPaths;
use crate::config::Experiment;
use crate::config::noise_seed_argument::parse_seeds;
use crate::config::setting_value::Value;
use crate::errorln;
use crate::evaluation::export::export_parts::ExportPart;
use crate::evaluation::load_networks_and_data::{load_checkpoint, network_of};
use crate::files::{check_output, write_output};
use crate::runs::run_dir::RunDir;
use crate::weights::exported_weights::{ExportedHeader, to_bytes};

#[derive(Clone, Debug, Args)]
#[command(group(ArgGroup::new("exported").required(true).args(["weights", "what", "tensorboard"])))]
pub struct ExportArgs {
    /// Run name, or a unique prefix of it; several with --tensorboard.
    #[arg(required = true)]
    pub runs: Vec<String>,
    /// Write the network's weights: safetensors, with the names of Kamb & Ganguli's state_dicts and the settings as
    /// metadata. examples/pytorch/load_mosaic_weights.py loads them into a PyTorch module.
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Write results: data (training images), samples, states, x0hat, maps (attention), provenance (the training patch behind
    /// each pixel of a machine), calibration; rates (csv: each sample judged). docs/interchange.md lists arrays and columns.
    #[arg(long, value_name = "LIST", value_delimiter = ',', requires = "out", value_parser = PossibleValuesParser::new(ExportPart::VARIANTS).try_map(|word| word.parse::<ExportPart>()))]
    pub what: Vec<ExportPart>,
    /// Write scalars, previews and settings of the runs into this directory, a folder each, for TensorBoard; a second export replaces
    /// the first.
    #[arg(long, value_name = "DIR")]
    pub tensorboard: Option<PathBuf>,
    /// Format of results [default: by the ending of --out; npz in a directory]. csv holds what is a table: data, provenance,
    /// calibration, rates.
    #[arg(long, value_name = "FORMAT", requires = "what", value_parser = PossibleValuesParser::new(ResultFormat::VARIANTS).try_map(|word| word.parse::<ResultFormat>()))]
    pub format: Option<ResultFormat>,
    /// Results go to this .npz, .safetensors or .csv file, or into this directory; one with samples is read by 'mosaic compare
    /// --external'.
    #[arg(long, value_name = "PATH", requires = "what")]
    pub out: Option<PathBuf>,
    /// Noise seeds to sample, first to one past the last [default: the held-out seeds of the run's comparison]; arrays in a
    /// directory begin with those of its calibration. 1000 to 9999 are held out: later reports name those that were exported.
    #[arg(long, value_name = "A..B", requires = "what", value_parser = parse_seeds)]
    pub seeds: Option<Range<u64>>,
    /// Machines to sample beside the network, separated by commas, or all; under calibrated settings if the run has them.
    #[arg(long = "machine", value_name = "LIST", value_delimiter = ',', requires = "what")]
    pub machines: Vec<String>,
    /// Replace existing results.
    #[arg(long, requires = "what")]
    pub force: bool,
    /// Training step of the checkpoint [default: the newest]; training.keep_every keeps earlier ones.
    #[arg(long, value_name = "STEP")]
    pub step: Option<u64>,
    /// The last weights instead of their moving average, which samples use.
    #[arg(long, requires = "weights")]
    pub no_ema: bool,
}

/// Exports what the arguments ask for.
///
/// # Errors
///
/// If no run or several runs match, if the run has no such checkpoint or its data set cannot be opened, or if an output
/// cannot be written.
pub fn run(paths: &LabPaths, args: &ExportArgs) -> Result<()> {
    if let Some(logs) = &args.tensorboard {
        return export_tensorboard::run(paths, &args.runs, logs);
    }
    let [name] = &args.runs[..] else {
        bail!(
            "{} runs were named, but only --tensorboard exports several at once",
            args.runs.len()
        );
    };
    match (&args.weights, &args.out) {
        (Some(path), _) => weights(&paths.run(name)?.dir, args, path),
        (None, Some(out)) => export_results::run(paths, name, args, out),
        (None, None) => bail!(
            "name what to export: --weights FILE, --what LIST --out PATH, or --tensorboard DIR"
        ),
    }
}

fn weights(run: &RunDir, args: &ExportArgs, path: &Path) -> Result<()> {
    let writing = || format!("writing '{}'", path.display());
    check_output(path).with_context(writing)?;
    let experiment = run.experiment()?;
    // Classes and sizes of images are the data set's.
    let (network, _) = network_of(&experiment)?;
    let (step, saved) = load_checkpoint(run, args.step)?;
    let (kind, tensors) = match args.no_ema {
        true => ("last", saved.weights),
        false => ("averaged", saved.ema),
    };
    let image = [network.image.channels, network.image.height, network.image.width];
    let settings = settings_of_network(&experiment)?;
    let header = ExportedHeader::new(&run.id(), step, kind, image, network.n_classes, settings);
    write_output(path, &to_bytes(&tensors, &header)?).with_context(writing)?;
    errorln!(
        "wrote the {kind} weights of step {step}, {} tensors, to '{}'",
        tensors.len(),
        path.display()
    );
    Ok(())
}

/// All settings on which the network's output depends, as JSON.
fn settings_of_network(experiment: &Experiment) -> Result<BTreeMap<String, serde_json::Value>> {
    let is_of_network = |key: &str| {
        key.starts_with("network.")
            || matches!(key, "diffusion.schedule" | "diffusion.sampling_steps")
    };
    let keys =
        experiment.entries().into_iter().map(|entry| entry.key).filter(|key| is_of_network(key));
    keys.map(|key| {
        let value = in_json(&experiment.get(key)?);
        Ok((key.to_owned(), value.ok_or_else(|| anyhow!("'{key}' is not finite"))?))
    })
    .collect()
}

fn in_json(value: &Value) -> Option<serde_json::Value> {
    Some(match value {
        Value::Integer(v) => (*v).into(),
        Value::Number(v) => serde_json::Number::from_f64(*v)?.into(),
        Value::Boolean(v) => (*v).into(),
        Value::Text(v) => v.clone().into(),
        Value::List(items) => items.iter().map(in_json).collect::<Option<Vec<_>>>()?.into(),
    })
}
