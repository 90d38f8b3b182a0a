//! `export`: writes what a run has learned to files that other programs read.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};

use super::export_arguments::ExportArgs;
use super::export_results;
use super::export_tensorboard;
use super::lab_and_runs_dir_options::LabPaths;
use crate::config::Experiment;
use crate::config::setting_value::Value;
use crate::errorln;
use crate::evaluation::load_networks_and_data::{load_checkpoint, network_of};
use crate::files::{check_output, write_output};
use crate::runs::run_dir::RunDir;
use crate::weights::exported_weights::{ExportedHeader, to_bytes};

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
