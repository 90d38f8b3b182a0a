//! `samples.safetensors` of a report: the samples that its figures are of, so that runs can be compared with each other
//! without sampling again.
//!
//! Tensors `noise`, `network` and one per machine, `[n, C, H, W]`, single precision, samples in [-1, 1]; sample i is of noise
//! seed `first_seed + i`. The header holds `first_seed`, `noise_seed` and `sampling_steps` as decimal numbers.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use safetensors::tensor::Dtype;

use super::report_figures::Report;
use crate::arrays::safetensors_file::{Array, TensorFile, to_bytes};
use crate::config::noise_seed_purposes::NoiseSeeds;
use crate::files::write_output;
use crate::image::{ImageBatch, ImageShape};
use crate::random::noise_seeds;
use crate::runs::preview_files::NETWORK;

/// Name of the file in a report's folder.
const NAME: &str = "samples.safetensors";
/// Name of the tensor with the noise that sampling started from.
const NOISE: &str = "noise";

/// The network's samples of a report and what they were made from.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkSamples {
    pub first_seed: u64,
    pub noise_seed: u64,
    pub sampling_steps: usize,
    pub samples: ImageBatch,
}

/// The samples of the network and the machines from held-out noise seeds.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportSamples {
    pub first_seed: u64,
    pub sampling_steps: usize,
    /// The noise that sampling started from.
    pub seeds: ImageBatch,
    pub network: ImageBatch,
    /// By name, in no particular order.
    pub machines: Vec<(String, ImageBatch)>,
}

impl NetworkSamples {
    /// Those of a report that was just made.
    pub fn of(report: &Report<'_>) -> Self {
        let comparison = report.comparison;
        Self {
            first_seed: NoiseSeeds::held_out(comparison.n_seeds).first(),
            noise_seed: comparison.noise_seed,
            sampling_steps: report.context.experiment.sampling_steps,
            samples: comparison.samples.network.clone(),
        }
    }

    /// Those in a report's folder; `None` if they are missing or cannot be read, as in reports of older versions.
    pub fn read(folder: &Path) -> Option<Self> {
        let bytes = std::fs::read(folder.join(NAME)).ok()?;
        Self::of_file(&TensorFile::parse(&bytes).ok()?)
    }

    fn of_file(file: &TensorFile<'_>) -> Option<Self> {
        let number = |key: &str| file.word(key).ok()?.parse::<u64>().ok();
        Some(Self {
            first_seed: number("first_seed")?,
            noise_seed: number("noise_seed")?,
            sampling_steps: usize::try_from(number("sampling_steps")?).ok()?,
            samples: batch(file, NETWORK)?,
        })
    }
}

/// The samples of the network and of every machine in a report's folder, with their noise; `None` if they are missing or
/// cannot be read.
pub(super) fn read_all(folder: &Path) -> Option<ReportSamples> {
    let bytes = std::fs::read(folder.join(NAME)).ok()?;
    let file = TensorFile::parse(&bytes).ok()?;
    let NetworkSamples { first_seed, noise_seed, sampling_steps, samples: network } =
        NetworkSamples::of_file(&file)?;
    let same =
        |other: &ImageBatch| other.shape() == network.shape() && other.len() == network.len();
    let names = file.names().filter(|name| !matches!(*name, NETWORK | NOISE));
    let machines = names
        .map(|name| Some((name.to_owned(), batch(&file, name).filter(same)?)))
        .collect::<Option<Vec<_>>>()?;
    // Reports of older versions do not hold it; it was always that of the noise seed.
    let drawn = || noise_seeds(noise_seed, first_seed, network.len(), network.shape());
    let seeds = batch(&file, NOISE).filter(same).unwrap_or_else(drawn);
    Some(ReportSamples { first_seed, sampling_steps, seeds, network, machines })
}

/// The images of a tensor `[n, C, H, W]` in single precision.
fn batch(file: &TensorFile<'_>, name: &str) -> Option<ImageBatch> {
    let tensor = file.tensor(name).ok()?;
    let &[_, channels, height, width] = tensor.shape() else { return None };
    if tensor.dtype() != Dtype::F32 {
        return None;
    }
    let (values, _) = tensor.data().as_chunks::<4>();
    let values = values.iter().map(|&bytes| f64::from(f32::from_le_bytes(bytes))).collect();
    Some(ImageBatch::new(ImageShape::of_file(channels, height, width)?, values))
}

/// Writes the samples of a report into its folder.
///
/// # Errors
///
/// If the file cannot be written.
pub(super) fn write(report: &Report<'_>, folder: &Path) -> io::Result<()> {
    let set = &report.comparison.samples;
    let of_network = NetworkSamples::of(report);
    let header = HashMap::from([
        ("first_seed".to_owned(), of_network.first_seed.to_string()),
        ("noise_seed".to_owned(), of_network.noise_seed.to_string()),
        ("sampling_steps".to_owned(), of_network.sampling_steps.to_string()),
    ]);
    let machines = set.machines.iter().map(|(name, samples)| (name.as_str(), samples));
    let both = [(NOISE, &set.seeds), (NETWORK, &set.network)];
    let arrays: Vec<Array> = both.into_iter().chain(machines).map(array).collect();
    let bytes = to_bytes(&arrays, Some(header)).map_err(io::Error::other)?;
    Ok(write_output(&folder.join(NAME), &bytes)?)
}

fn array((name, samples): (&str, &ImageBatch)) -> Array {
    let ImageShape { channels, height, width } = samples.shape();
    let bytes = samples.values().iter().flat_map(|&v| (v as f32).to_le_bytes()).collect();
    (name.to_owned(), Dtype::F32, vec![samples.len(), channels, height, width], bytes)
}
