//! `external`: prepares a directory for the record of a model from elsewhere, which `compare --external` reads.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;

use super::lab_and_runs_dir_options::LabPaths;
use crate::arrays::FileFormat;
use crate::config::noise_seed_purposes::NoiseSeeds;
use crate::console;
use crate::evaluation::external::external_toml::{self, Channels, ExternalToml, QUESTIONS};
use crate::evaluation::external::questions::Questions;
use crate::evaluation::load_networks_and_data::network_of;
use crate::files::{make_folder, write_output};

#[derive(Clone, Debug, Args)]
pub struct ExternalArgs {
    /// Directory for the questions and the model's answers.
    pub directory: PathBuf,
    /// Experiment of the lab file whose data set, machines and comparison are meant.
    #[arg(long, value_name = "NAME")]
    pub experiment: String,
    /// Change a setting of the experiment, such as network.padding or diffusion.sampling_steps; repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// Held-out noise seeds to sample.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..=NoiseSeeds::HELD_OUT_MAX as i64))]
    pub seeds: u32,
    /// Noise seeds on which machines are calibrated [default: calibrate.seeds of the experiment].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=NoiseSeeds::CALIBRATION_MAX as i64))]
    pub calibration: Option<u32>,
    /// Noised training images at each of ten noise levels, for the model's error beside the floors; 0: none [default:
    /// compare.floor_draws of the experiment].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub noised: Option<u32>,
}

/// Writes questions.npz and external.toml.
///
/// # Errors
///
/// If the experiment or its data set cannot be used, if a file is there already, or if one cannot be written.
pub fn run(paths: &LabPaths, args: &ExternalArgs) -> Result<()> {
    let lab = paths.lab()?;
    let mut settings = args.settings.clone();
    if let Some(n) = args.noised {
        ensure!(
            n != 1,
            "--noised 1 has no spread, and so no standard error; ask for none (0) or at least 2"
        );
        // The comparison asks for as many.
        settings.push(format!("compare.floor_draws={n}"));
    }
    let mut experiment = lab.experiment(&args.experiment)?.clone();
    experiment.set_pairs(&settings)?;
    experiment.check()?;
    let (network, dataset) = network_of(&experiment)?;
    let wanted = experiment.calibrate.seeds.map_or(0, std::num::NonZeroUsize::get);
    let questions = Questions {
        n_calibration: args.calibration.map_or(wanted, |n| n as usize),
        n_held_out: args.seeds as usize,
        n_noised: experiment.compare.floor_draws,
    };
    let directory = &args.directory;
    make_folder(directory).with_context(|| format!("making '{}'", directory.display()))?;
    let (toml, arrays) =
        (directory.join(external_toml::FILE), directory.join(format!("{QUESTIONS}.npz")));
    for path in [&toml, &arrays] {
        ensure!(
            !path.exists(),
            "'{}' is there already; remove it, or choose another directory",
            path.display()
        );
    }
    let name = directory.canonicalize().ok();
    let name = name.as_deref().and_then(|path| path.file_name()).unwrap_or_default();
    let description = ExternalToml {
        name: name.to_string_lossy().into_owned(),
        experiment: args.experiment.clone(),
        set: settings,
        arrays: Vec::new(),
        value_range: None,
        channels: Channels::First,
        calibration: Some(questions.n_calibration),
        directory: None,
        digest: None,
    };
    let bytes = questions.arrays(&experiment, &network, &dataset)?.into_bytes(FileFormat::Npz);
    write_output(&arrays, &bytes).with_context(|| format!("writing '{}'", arrays.display()))?;
    let text = toml::to_string(&description)?;
    write_output(&toml, text.as_bytes())
        .with_context(|| format!("writing '{}'", toml.display()))?;
    writeln!(
        console::stdout(),
        "wrote {} noise seeds of {} and the noised images to '{}'; let the model answer (examples/pytorch/answer.py), then: mosaic \
         compare --external {}",
        questions.n_calibration + questions.n_held_out,
        network.image,
        console::line(&arrays.display().to_string()),
        console::line(&directory.display().to_string())
    )?;
    Ok(())
}
