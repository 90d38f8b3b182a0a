//! The arguments of `export`.

use std::ops::Range;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, Args};
use strum::VariantNames;

use super::export_places::ResultFormat;
use crate::config::noise_seed_argument::parse_seeds;
use crate::evaluation::export::export_parts::ExportPart;

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
