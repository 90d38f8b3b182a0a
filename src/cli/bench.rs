//! `mosaic bench`: how fast theory and training compute on this host.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use clap::{Args, Subcommand};
use strum::VariantNames;

use super::bench_gpu::GpuArgs;
use crate::bench::peak_rates::PeakRates;
use crate::bench::theory::{TheoryCase, TheoryTiming, fixed, time_theory};
use crate::bench::train::{Net, TrainTiming, time_training};
use crate::dataset::{Dataset, DatasetError, DatasetSource, open};
use crate::evaluation::devices::{open_gpus, with_gpus};
use crate::hardware::device::DeviceRequest;
use crate::theory::spec::MachineKind;
use crate::theory::{Machine, Precision, TrainingImages};
use crate::{console, errorln};

#[derive(Clone, Debug, Subcommand)]
pub enum BenchCommand {
    /// Seconds a step of score machines, by patch side, dictionary and noise level.
    Theory(TheoryArgs),
    /// Milliseconds a step of training, and where they go, on the CPU.
    Train(TrainArgs),
    /// A GPU against the CPU: are its results right, and how fast is it?
    Gpu(GpuArgs),
}

#[derive(Clone, Debug, Args)]
pub struct TrainArgs {
    /// Networks [default: resnet unet attention]; 'attention' is the operation alone.
    #[arg(long, value_delimiter = ',', num_args = 1.., value_parser = parse_net)]
    net: Vec<Net>,
    /// Threads [default: as many as cores].
    #[arg(long, value_parser = at_least_one)]
    threads: Option<usize>,
    /// Each figure is the median of so many steps.
    #[arg(long, default_value_t = 10, value_parser = at_least_one)]
    repeats: usize,
    /// Print one JSON object a row.
    #[arg(long)]
    json: bool,
}

fn parse_net(text: &str) -> Result<Net, String> {
    let known = || Net::VARIANTS.join(", ");
    text.parse().map_err(|_| format!("unknown network '{text}'; choose from {}", known()))
}

#[derive(Clone, Debug, Args)]
pub struct TheoryArgs {
    /// Grey images to compare with, an IDX file; by default the lab's handwritten digits.
    #[arg(long, value_name = "IDX")]
    data: Option<PathBuf>,
    /// Machines by name [default: ideal ls els els-interior bbels attention].
    #[arg(long, value_delimiter = ',', num_args = 1..)]
    machine: Vec<String>,
    /// Patch sides.
    #[arg(long, value_delimiter = ',', num_args = 1.., default_value = "3,7,15")]
    k: Vec<usize>,
    /// Numbers of training images.
    #[arg(long, value_delimiter = ',', num_args = 1.., default_value = "1000")]
    n: Vec<usize>,
    /// Times in (0, 1]; larger is noisier.
    #[arg(long, value_delimiter = ',', num_args = 1.., default_value = "0.5")]
    t: Vec<f64>,
    /// Images are resized to this side.
    #[arg(long, default_value_t = 32)]
    size: usize,
    #[arg(long, default_value_t = 1, value_parser = at_least_one)]
    queries: usize,
    /// Each figure is the median of so many.
    #[arg(long, default_value_t = 3, value_parser = at_least_one)]
    repeats: usize,
    /// auto, cpu, cuda:N or cuda:N,M for several GPUs.
    #[arg(long, default_value = "auto")]
    device: DeviceRequest,
    /// Compute entropy and provenance as well.
    #[arg(long)]
    posterior: bool,
    /// Print one JSON object a row.
    #[arg(long)]
    json: bool,
}

/// Shipped with the repository, so that a bench needs nothing else.
const DIGITS: &str = "datasets/digits/images-idx3-ubyte.gz";
const DEFAULT_MACHINES: [&str; 6] = ["ideal", "ls", "els", "els-interior", "bbels", "attention"];

/// Runs the requested benchmark.
///
/// # Errors
///
/// If the arguments or the images are unusable, if a computation cannot be prepared or fails, if a GPU is
/// required and missing, if a check on it fails, or if writing to standard output fails.
pub fn run(command: &BenchCommand) -> Result<()> {
    match command {
        BenchCommand::Theory(args) => theory(args),
        BenchCommand::Train(args) => train(args),
        BenchCommand::Gpu(args) => super::bench_gpu::run(args),
    }
}

fn train(args: &TrainArgs) -> Result<()> {
    let nets = if args.net.is_empty() { Net::ALL.to_vec() } else { args.net.clone() };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(args.threads.unwrap_or(0)).build()?;
    let mut stdout = console::stdout();
    if !args.json {
        let threads = pool.current_num_threads();
        writeln!(
            stdout,
            "{threads} threads; medians of {} steps, milliseconds a step\n",
            args.repeats
        )?;
        writeln!(
            stdout,
            "{:10} {:>9} {:>9} {:>8} {:>10}  where the wall time goes",
            "net", "cpu ms", "wall ms", "peak MB", "images/s"
        )?;
    }
    for net in nets {
        let row = pool.install(|| time_training(net, args.repeats))?;
        print_training(&mut stdout, &row, args.json)?;
    }
    Ok(())
}

fn print_training(out: &mut impl Write, row: &TrainTiming, json: bool) -> Result<()> {
    if json {
        writeln!(out, "{}", serde_json::to_string(row)?)?;
        return Ok(());
    }
    let operations = row.operations.iter().filter(|(_, ms)| *ms > 0.0);
    let shares: Vec<String> = operations.map(|(name, ms)| format!("{name} {ms:.1}")).collect();
    writeln!(
        out,
        "{:10} {:>9.1} {:>9.1} {:>8} {:>10.1}  {}",
        row.net,
        row.cpu_ms,
        row.wall_ms,
        megabytes(row.peak_rss_mb),
        row.samples_per_s,
        shares.join(", "),
    )?;
    Ok(())
}

fn megabytes(peak: Option<f64>) -> String {
    peak.map_or_else(|| "N/A".to_owned(), |mb| format!("{mb:.0}"))
}

fn theory(args: &TheoryArgs) -> Result<()> {
    let kinds = check_arguments(args)?;
    let (path, all) = open_images(args)?;
    let cases = cases(args, &kinds);
    let (gpus, device) = open_gpus(&args.device, |problem| errorln!("{problem}"))?;
    let dictionary = |n: usize| -> Result<Arc<TrainingImages>> {
        let images = TrainingImages::from_dataset(&all.first(n))?;
        Ok(Arc::new(with_gpus(images, gpus.clone())))
    };
    // Machines that cannot be built are refused before the first minute is spent.
    let one = dictionary(1)?;
    for (_, case) in &cases {
        Machine::new(case.spec.clone(), one.clone(), Precision::F32, None)?;
    }
    let peak_rates = PeakRates::measure();
    let mut stdout = console::stdout();
    if !args.json {
        let (path, repeats) = (path.display(), args.repeats);
        let (n, shape) = (all.len(), all.shape());
        writeln!(stdout, "{n} images of {shape} from '{path}'; {device}; medians of {repeats}")?;
        print_theory_head(&mut stdout, &peak_rates)?;
    }
    let mut images: Option<Arc<TrainingImages>> = None;
    for (n, case) in &cases {
        let of_size = images.take().filter(|images| images.len() == *n);
        let of_size = of_size.map_or_else(|| dictionary(*n), Ok)?;
        print_theory(&mut stdout, &time_theory(&of_size, case, &peak_rates)?, args.json)?;
        images = Some(of_size);
    }
    Ok(())
}

/// Refuses times and patch sides that cannot be timed; returns the machines.
fn check_arguments(args: &TheoryArgs) -> Result<Vec<MachineKind>> {
    if let Some(t) = args.t.iter().find(|t| !(**t > 0.0 && **t <= 1.0)) {
        bail!("'--t {t}' cannot be benched; choose times above 0 and up to 1");
    }
    if let Some(k) = args.k.iter().find(|k| k.is_multiple_of(2)) {
        bail!("'--k {k}' cannot be benched; patch sides are odd");
    }
    let names: Vec<&str> = match &args.machine[..] {
        [] => DEFAULT_MACHINES.to_vec(),
        names => names.iter().map(String::as_str).collect(),
    };
    Ok(names.into_iter().map(MachineKind::parse).collect::<Result<_, _>>()?)
}

/// The file of training images and its images, enough for every `--n`.
fn open_images(args: &TheoryArgs) -> Result<(PathBuf, Dataset)> {
    let path = args.data.clone().unwrap_or_else(|| DIGITS.into());
    let source = DatasetSource::Idx { images: path.clone(), labels: None, size: Some(args.size) };
    let all = open("bench", &source, None, 0).map_err(|error| match error {
        DatasetError::Read { path, source } => anyhow!(
            "cannot read '{}' ({source}); name a file with --data (without it, the lab's digits are looked \
             for below the current directory)",
            path.display()
        ),
        other => other.into(),
    })?;
    if let Some(n) = args.n.iter().find(|n| **n == 0 || **n > all.len()) {
        bail!("'--n {n}' cannot be benched; '{}' holds {} images", path.display(), all.len());
    }
    Ok((path, all))
}

/// Every combination of sizes, machines, times and patch sides, with the number of training images.
fn cases(args: &TheoryArgs, kinds: &[MachineKind]) -> Vec<(usize, TheoryCase)> {
    let mut cases = Vec::new();
    for &n in &args.n {
        for kind in kinds {
            for &t in &args.t {
                let sides = if kind.uses_patches() { &args.k[..] } else { &args.k[..1] };
                let case = |&k: &usize| TheoryCase {
                    spec: fixed(kind.clone(), k),
                    t,
                    n_queries: args.queries,
                    repeats: args.repeats,
                    posterior: args.posterior,
                };
                cases.extend(sides.iter().map(|k| (n, case(k))));
            }
        }
    }
    cases
}

fn print_theory_head(out: &mut impl Write, peak_rates: &PeakRates) -> Result<()> {
    writeln!(
        out,
        "one core: {:.0}e9 operations/s in f32, {:.0}e9 in f64; reads {:.1}e9 bytes/s. Shares of these:\n",
        peak_rates.f32_per_s * 1e-9,
        peak_rates.f64_per_s * 1e-9,
        peak_rates.bytes_per_s * 1e-9,
    )?;
    writeln!(
        out,
        "{:22} {:>3} {:>7} {:>5} {:>9} {:>9} {:>8} {:>12} {:>6} {:>6}",
        "machine", "k", "n", "t", "wall s", "cpu s", "peak MB", "pairs/cpu-s", "arith.", "memory"
    )?;
    Ok(())
}

fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    if percent < 9.95 { format!("{percent:.1}%") } else { format!("{percent:.0}%") }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err(format!("'{text}' is no number of at least 1")),
    }
}

fn print_theory(out: &mut impl Write, row: &TheoryTiming, json: bool) -> Result<()> {
    if json {
        writeln!(out, "{}", serde_json::to_string(row)?)?;
        return Ok(());
    }
    let k = row.k.map_or_else(|| "-".to_owned(), |k| k.to_string());
    let memory = megabytes(row.peak_rss_mb);
    writeln!(
        out,
        "{:22} {k:>3} {:>7} {:>5} {:>9.4} {:>9.4} {memory:>8} {:>10.0}e6 {:>6} {:>6}",
        row.machine,
        row.n,
        row.t,
        row.wall_s,
        row.cpu_s,
        row.pairs_per_cpu_s * 1e-6,
        row.arithmetic_share.map_or_else(|| "-".to_owned(), percent),
        row.memory_share.map_or_else(|| "-".to_owned(), percent),
    )?;
    Ok(())
}
