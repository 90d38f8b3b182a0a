//! `import`: makes a run of weights that were trained elsewhere, so that they can be sampled and compared with theory.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use super::lab_and_runs_dir_options::LabPaths;
use crate::config::Experiment;
use crate::config::experiment_name::ExperimentName;
use crate::evaluation::imported_run::ImportChoices;
use crate::hardware::device_request::DeviceRequest;
use crate::runs::runs_dir::RunsDir;
use crate::weights::{WeightsFile, patch_sides, weights_file};
use crate::{console, errorln};

#[derive(Clone, Debug, Args)]
pub struct ImportArgs {
    /// PyTorch's .pt or .pth (a state_dict, a whole module, or a checkpoint with either) or .safetensors. Nothing in it is
    /// executed.
    pub file: PathBuf,
    /// Experiment of the lab file whose data set, theory and comparison the run gets.
    #[arg(long, value_name = "NAME")]
    pub experiment: Option<String>,
    /// Change a setting, or give what the weights do not tell (dataset.*, network.padding); repeatable. Paths are relative
    /// to the lab file. Weights without mosaic's metadata are taken for Kamb & Ganguli's: network.output noise,
    /// network.time_scale 1, network.clamp false.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// Patch sides by sampling step (Kamb & Ganguli's scales_*.pt); they become theory.scales, and nothing is calibrated.
    #[arg(long, value_name = "FILE")]
    pub scales: Option<PathBuf>,
    /// Which entry of --scales belongs to t = i/n.
    #[arg(long, value_enum, value_name = "ORDER", default_value_t = ScalesOrder::Calibrated, requires = "scales")]
    pub scales_order: ScalesOrder,
    /// Name of the run, to which a suffix is added [default: the file's name].
    #[arg(long = "as", value_name = "NAME")]
    pub name: Option<String>,
    /// auto, cpu, cuda:N or cuda:N,M: where the network will be computed; overrides device of the lab file.
    #[arg(long)]
    pub device: Option<DeviceRequest>,
}

/// Which entry of a list of patch sides belongs to t = i/n.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScalesOrder {
    /// Entry i - 1: the step at which the side was calibrated.
    Calibrated,
    /// Entry i, as Kamb & Ganguli's sampler reads it; for i = n, where it has none, the last.
    Published,
}

/// Imports weights and prints the new run's name.
///
/// # Errors
///
/// If a file cannot be read or is refused, if a setting is missing, unusable or contradicts the weights, if the data set
/// cannot be opened, or if the run cannot be written.
pub fn run(paths: &LabPaths, args: &ImportArgs) -> Result<()> {
    let reading = |path: &Path| format!("importing '{}'", path.display());
    let bytes = weights_file::read(&args.file).with_context(|| reading(&args.file))?;
    let file = WeightsFile::parse(&bytes).with_context(|| reading(&args.file))?;
    describe(&file);
    let lab = paths.lab()?;
    let experiment = args.experiment.as_ref().map(|name| lab.experiment(name)).transpose()?;
    let name = match &args.name {
        Some(name) => ExperimentName::new(name)?,
        None => ExperimentName::like(&args.file.file_stem().unwrap_or_default().to_string_lossy()),
    };
    let root = lab.path.as_deref().and_then(Path::parent).unwrap_or(Path::new("."));
    let patch_sides = args.scales.as_ref().map(|path| {
        let sides = weights_file::read(path).with_context(|| reading(path))?;
        let sides = patch_sides::read(&sides).with_context(|| reading(path))?;
        anyhow::Ok(in_order(sides, args.scales_order))
    });
    let choices = ImportChoices {
        experiment,
        name,
        root: if root.as_os_str().is_empty() { Path::new(".") } else { root },
        settings: &args.settings,
        patch_sides: patch_sides.transpose()?,
    };
    let imported = choices.apply(&file).with_context(|| reading(&args.file))?;
    imported.notes.iter().for_each(|note| errorln!("{note}"));
    tell_scales(&imported.experiment, args);
    let device = args.device.clone().unwrap_or(lab.settings.device);
    let runs = RunsDir::new(&lab.settings.runs_dir);
    let run = imported.write(&runs, &device, (&args.file, &bytes))?;
    errorln!("run {} in '{}'", run.id(), run.path().display());
    writeln!(console::stdout(), "{}", run.id())?;
    Ok(())
}

/// Says what was found.
fn describe(file: &WeightsFile) {
    let told = &file.told;
    let settings: Vec<String> =
        told.settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let padding =
        told.padding.as_ref().map_or_else(String::new, |mode| format!(" network.padding={mode}"));
    errorln!(
        "{} tensors for images of {} channels: {}{padding}",
        file.network.tensors.len(),
        told.channels,
        settings.join(" ")
    );
    file.network.notes.iter().for_each(|note| errorln!("{note}"));
}

/// Sides by step, entry i - 1 for t = i/n.
fn in_order(sides: Vec<usize>, order: ScalesOrder) -> Vec<usize> {
    match order {
        ScalesOrder::Calibrated => sides,
        ScalesOrder::Published => {
            let last = sides.last().copied();
            sides.into_iter().skip(1).chain(last).collect()
        }
    }
}

fn tell_scales(experiment: &Experiment, args: &ImportArgs) {
    if args.scales.is_none() {
        return;
    }
    let how = match args.scales_order {
        ScalesOrder::Calibrated => {
            "entry i - 1 at t = i/n, the step at which it was calibrated (Kamb & Ganguli's sampler reads entry i there; \
             --scales-order published does so)"
        }
        ScalesOrder::Published => {
            "entry i at t = i/n as Kamb & Ganguli's sampler reads them, the last one twice"
        }
    };
    let sides = &experiment.theory.scales;
    errorln!("patch sides by step, cleanest first: {sides:?}; {how}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_sampler_reads_one_entry_later() {
        assert_eq!(in_order(vec![3, 5, 7], ScalesOrder::Calibrated), [3, 5, 7]);
        assert_eq!(in_order(vec![3, 5, 7], ScalesOrder::Published), [5, 7, 7]);
        assert_eq!(in_order(vec![3], ScalesOrder::Published), [3]);
    }
}
