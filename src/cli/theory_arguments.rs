//! The arguments of `mosaic theory`, and the data that both of its forms start from: samples and floors.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;

use super::data::experiment_over;
use super::lab_and_runs_dir_options::LabPaths;
use crate::config::Experiment;
use crate::config::noise_seed_argument::parse_seeds;
use crate::dataset::Dataset;
use crate::errorln;
use crate::evaluation::choose_gpu_or_cpu::{open_gpus, with_gpus};
use crate::evaluation::floors::floors_file::LEVELS;
use crate::evaluation::load_networks_and_data::network_of;
use crate::evaluation::network_and_machines_of_run::SOLUTIONS;
use crate::hardware::device_request::DeviceRequest;
use crate::network::network_config::NetworkConfig;
use crate::optimum::CachedSolver;
use crate::theory::TrainingImages;

#[derive(Clone, Debug, Args)]
pub struct TheoryArgs {
    /// An experiment of the lab file, for its data set and theory settings, or images: an IDX file, CIFAR
    /// (directory, archive or .bin file), arrays (.npz, .npy, .safetensors), a folder of PNG, JPEG and WebP images, or
    /// Parquet tables (the last two 32 pixels a side, or --set dataset.size=N).
    pub dataset: String,
    /// Machines to sample [default: the experiment's]; names: 'theory.machines' in 'mosaic experiments NAME'.
    #[arg(long, value_delimiter = ',', num_args = 1..)]
    pub machine: Vec<String>,
    /// Noise seeds, first to one past the last.
    #[arg(long, value_name = "A..B", default_value = "0..8", value_parser = parse_seeds)]
    pub seeds: Range<u64>,
    /// Sampling steps [default: the experiment's].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub steps: Option<u32>,
    /// Patch side [default: the experiment's].
    #[arg(long)]
    pub k: Option<usize>,
    /// Only training images with this label.
    #[arg(long, value_name = "L")]
    pub label: Option<i64>,
    /// Change a setting (dataset.n, theory.scales, theory.lambda, ...); repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// auto, cpu, cuda:N or cuda:N,M (several GPUs) [default: the lab file's device].
    #[arg(long)]
    pub device: Option<DeviceRequest>,
    /// Instead of samples, print the smallest error that theory allows at each noise level: the mean squared error of the
    /// clean estimate (per value, images in [-1, 1]) of 'ideal', 'es', and 'els' or 'bbels' at the patch side.
    #[arg(long, conflicts_with_all = ["machine", "seeds", "steps", "out"])]
    pub floors: bool,
    /// Noise levels of --floors, from 0 (clean) to 1.
    #[arg(long, value_name = "LIST", value_delimiter = ',', num_args = 1.., requires = "floors", default_values_t = LEVELS, value_parser = parse_time)]
    pub t: Vec<f64>,
    /// Noised images per level of --floors [default: 512 (es: 128), fewer for large data sets].
    #[arg(long, value_name = "N", requires = "floors", value_parser = clap::value_parser!(u32).range(2..=10_000))]
    pub draws: Option<u32>,
    /// Output directory [default: ./theory/NAME]; existing samples are kept.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print one JSON object at the end; with --floors, one per level and line.
    #[arg(long)]
    pub json: bool,
}

/// A time in (0, 1].
///
/// # Errors
///
/// If the text is not a number in that range.
fn parse_time(text: &str) -> Result<f64, String> {
    let t: f64 = text.trim().parse().map_err(|_| format!("'{text}' is not a number"))?;
    if t > 0.0 && t <= 1.0 {
        return Ok(t);
    }
    Err(format!("'{text}' must lie above 0 (clean) and at most at 1 (noise)"))
}

/// The folder of samples.
pub(super) fn folder(args: &TheoryArgs, name: &str) -> PathBuf {
    args.out.clone().unwrap_or_else(|| Path::new("theory").join(name))
}

/// The images with the label of `--label`; all of them without it.
pub(super) fn of_label(args: &TheoryArgs, dataset: &Dataset) -> Dataset {
    match (args.label, dataset.labels()) {
        (Some(label), Some(labels)) => {
            let has_label = |&i: &usize| i64::from(labels[i]) == label;
            dataset.select(&(0..dataset.len()).filter(has_label).collect::<Vec<_>>())
        }
        _ => dataset.clone(),
    }
}

/// What both kinds of this command start from.
pub(super) struct Opened {
    pub name: String,
    pub experiment: Experiment,
    pub network: NetworkConfig,
    pub dataset: Dataset,
    /// The dictionary: all images, or those with the label that was asked for.
    pub images: Arc<TrainingImages>,
    /// Solves for `attention-optimal`.
    pub solver: Arc<CachedSolver>,
}

/// The experiment with the settings of the command line, its data set and the dictionary.
pub(super) fn open(paths: &LabPaths, args: &TheoryArgs) -> Result<Opened> {
    let (name, mut experiment) = experiment_over(paths, &args.dataset)?;
    let given = [
        ("theory.machines", (!args.machine.is_empty()).then(|| args.machine.join(","))),
        ("diffusion.sampling_steps", args.steps.map(|steps| steps.to_string())),
        ("theory.patch_size", args.k.map(|k| k.to_string())),
        ("theory.scales", args.k.map(|_| "[]".to_owned())),
    ];
    for (key, text) in given.into_iter().filter_map(|(key, text)| Some((key, text?))) {
        experiment.set(key, &text).with_context(|| format!("setting {key} to '{text}'"))?;
    }
    experiment.set_pairs(&args.settings)?;
    experiment.check().context("checking the settings")?;
    let (network, dataset) = network_of(&experiment)?;
    dataset.notices().iter().for_each(|notice| errorln!("warning: {notice}"));
    let device = match &args.device {
        Some(device) => device.clone(),
        None => paths.lab()?.settings.device,
    };
    let (gpus, _) = open_gpus(&device, |problem| errorln!("{problem}"))?;
    let solver = Arc::new(CachedSolver::new(paths.runs()?.path().join(SOLUTIONS)));
    let images = TrainingImages::from_dataset(&dataset)?;
    let images = with_gpus(images.augmented(experiment.dictionary_augmentation())?, gpus);
    let images = images.with_optimum_solver(solver.clone());
    let images = match args.label {
        Some(label) => images.only_label(label)?,
        None => images,
    };
    Ok(Opened { name, experiment, network, dataset, images: Arc::new(images), solver })
}
