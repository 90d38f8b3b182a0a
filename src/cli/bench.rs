//! `mosaic bench`: how fast theory and training compute on this host.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use clap::{Args, Subcommand};
use strum::VariantNames;

use super::bench_gpu::GpuArgs;
use super::bench_peer::{self, PeerArgs, cell, ratio};
use super::data::experiment_over;
use super::lab_paths::LabPaths;
use crate::bench::peak_rates::PeakRates;
use crate::bench::peer;
use crate::bench::theory::{TheoryCase, TheoryTiming, fixed, time_theory};
use crate::bench::train::{Net, TrainTiming, time_training};
use crate::dataset::{Dataset, DatasetError, DatasetSource, open};
use crate::evaluation::loading::open_dataset;
use crate::evaluation::open_devices::{open_gpus, with_gpus};
use crate::hardware::device_request::DeviceRequest;
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
    /// Networks [default: resnet unet attention glyphs]; 'attention' is the operation alone, 'glyphs' the default
    /// experiment with its own network and batch; names with -bf16 train with training.compute_type = "bf16".
    #[arg(long, value_delimiter = ',', num_args = 1.., value_parser = parse_net)]
    net: Vec<Net>,
    /// Threads [default: as many as cores].
    #[arg(long, value_parser = at_least_one)]
    threads: Option<usize>,
    /// Each figure is the median of so many steps.
    #[arg(long, default_value_t = 10, value_parser = at_least_one)]
    repeats: usize,
    #[command(flatten)]
    peers: PeerArgs,
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
    /// The data set of an experiment instead, or other images as 'mosaic theory' takes them, at their own size.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["data", "size"])]
    experiment: Option<String>,
    /// Machines by name [default: ideal ls els els-interior bbels attention].
    #[arg(long, value_delimiter = ',', num_args = 1..)]
    machine: Vec<String>,
    /// Patch sides.
    #[arg(long, value_delimiter = ',', num_args = 1.., default_value = "3,7,15")]
    k: Vec<usize>,
    /// Numbers of training images [default: 1000; of an experiment, all].
    #[arg(long, value_delimiter = ',', num_args = 1..)]
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
    #[command(flatten)]
    peers: PeerArgs,
    /// Print one JSON object a row.
    #[arg(long)]
    json: bool,
}

/// Shipped with the repository, so that a bench needs nothing else.
const DIGITS: &str = "datasets/digits/images-idx3-ubyte.gz";
/// Training images without an experiment.
const DEFAULT_N: usize = 1000;
const DEFAULT_MACHINES: [&str; 6] = ["ideal", "ls", "els", "els-interior", "bbels", "attention"];

/// Runs the requested benchmark.
///
/// # Errors
///
/// If the arguments or the images are unusable, if a computation cannot be prepared or fails, if a GPU is
/// required and missing, if a check on it fails, or if writing to standard output fails.
pub fn run(paths: &LabPaths, command: &BenchCommand) -> Result<()> {
    match command {
        BenchCommand::Theory(args) => theory(paths, args),
        BenchCommand::Train(args) => train(args),
        BenchCommand::Gpu(args) => super::bench_gpu::run(args),
    }
}

fn train(args: &TrainArgs) -> Result<()> {
    let nets = if args.net.is_empty() { Net::ALL.to_vec() } else { args.net.clone() };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(args.threads.unwrap_or(0)).build()?;
    let threads = pool.current_num_threads();
    let peers = args.peers.version(peer::version);
    let mut stdout = console::stdout();
    if !args.json {
        print_training_head(&mut stdout, threads, args.repeats, &peers)?;
    }
    for net in nets {
        let mut row = pool.install(|| time_training(net, args.repeats))?;
        if peers.is_ok() {
            // Threads of ours sleep meanwhile.
            let peer = net.peer()?.on_cpu(threads, args.repeats);
            row.peer = bench_peer::time(row.net, &peer);
        }
        print_training(&mut stdout, &row, args.json)?;
    }
    Ok(())
}

fn print_training_head(
    out: &mut impl Write,
    threads: usize,
    repeats: usize,
    peers: &Result<String, String>,
) -> Result<()> {
    writeln!(out, "{threads} threads; medians of {repeats} steps, milliseconds a step")?;
    writeln!(out, "{}", bench_peer::compared_with(peers))?;
    let heads = ["cpu ms", "wall ms", "peak MB", "images/s", "steps/s"];
    let [cpu, wall, peak, images, steps] = heads;
    let heads = ["PT cpu ms", "PT wall ms", "PT steps/s", "ratio"];
    let [peer_cpu, peer_wall, peer_steps, ratio] = heads;
    writeln!(
        out,
        "{:12} {cpu:>9} {wall:>9} {peak:>8} {images:>10} {steps:>8} {peer_cpu:>10} {peer_wall:>10} {peer_steps:>10} \
         {ratio:>6}  where the wall time goes",
        "net"
    )?;
    Ok(())
}

fn print_training(out: &mut impl Write, row: &TrainTiming, json: bool) -> Result<()> {
    if json {
        writeln!(out, "{}", serde_json::to_string(row)?)?;
        return Ok(());
    }
    let peer = row.peer.as_ref();
    let operations = row.operations.iter().filter(|(_, ms)| *ms > 0.0);
    let shares: Vec<String> = operations.map(|(name, ms)| format!("{name} {ms:.1}")).collect();
    writeln!(
        out,
        "{:12} {:>9.1} {:>9.1} {:>8} {:>10.1} {:>8.1} {:>10} {:>10} {:>10} {:>6}  {}",
        row.net,
        row.cpu_ms,
        row.wall_ms,
        megabytes(row.peak_rss_mb),
        row.samples_per_s,
        1e3 / row.wall_ms,
        cell(peer, 1, |peer| peer.cpu_ms),
        cell(peer, 1, |peer| peer.wall_ms),
        cell(peer, 1, |peer| 1e3 / peer.wall_ms),
        ratio(peer, row.cpu_ms),
        shares.join(", "),
    )?;
    Ok(())
}

fn megabytes(peak: Option<f64>) -> String {
    peak.map_or_else(|| "N/A".to_owned(), |mb| format!("{mb:.0}"))
}

fn theory(paths: &LabPaths, args: &TheoryArgs) -> Result<()> {
    let kinds = check_arguments(args)?;
    let (source, all) = open_images(paths, args)?;
    let sizes = sizes(args, &source, all.len())?;
    let cases = cases(args, &kinds, &sizes);
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
    let peers = args.peers.version(peer::version);
    let mut stdout = console::stdout();
    if !args.json {
        let (n, shape, repeats) = (all.len(), all.shape(), args.repeats);
        writeln!(stdout, "{n} images of {shape} from '{source}'; {device}; medians of {repeats}")?;
        print_theory_head(&mut stdout, &peak_rates, &peers)?;
    }
    let mut images: Option<Arc<TrainingImages>> = None;
    for (n, case) in &cases {
        let of_size = images.take().filter(|images| images.len() == *n);
        let of_size = of_size.map_or_else(|| dictionary(*n), Ok)?;
        let mut row = time_theory(&of_size, case, &peak_rates)?;
        if let (Ok(_), Some(peer)) = (&peers, case.peer(&of_size)) {
            let peer = peer.on_cpu(rayon::current_num_threads(), case.repeats);
            let of_query = bench_peer::time(&row.machine, &peer);
            row.peer = of_query.map(|timing| timing.times(case.n_queries));
        }
        print_theory(&mut stdout, &row, args.json)?;
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

/// The experiment or file that the training images are from, and these.
fn open_images(paths: &LabPaths, args: &TheoryArgs) -> Result<(String, Dataset)> {
    if let Some(name) = &args.experiment {
        let (_, experiment) = experiment_over(paths, name)?;
        return Ok((name.clone(), open_dataset(&experiment)?));
    }
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
    Ok((path.display().to_string(), all))
}

/// The numbers of training images, of those that `source` holds.
fn sizes(args: &TheoryArgs, source: &str, n_images: usize) -> Result<Vec<usize>> {
    let sizes = match (&args.n[..], &args.experiment) {
        ([], None) => vec![DEFAULT_N],
        ([], Some(_)) => vec![n_images],
        (sizes, _) => sizes.to_vec(),
    };
    if let Some(n) = sizes.iter().find(|n| **n == 0 || **n > n_images) {
        bail!("'--n {n}' cannot be benched; '{source}' holds {n_images} images");
    }
    Ok(sizes)
}

/// Every combination of sizes, machines, times and patch sides, with the number of training images.
fn cases(args: &TheoryArgs, kinds: &[MachineKind], sizes: &[usize]) -> Vec<(usize, TheoryCase)> {
    let mut cases = Vec::new();
    for &n in sizes {
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

fn print_theory_head(
    out: &mut impl Write,
    peak_rates: &PeakRates,
    peers: &Result<String, String>,
) -> Result<()> {
    writeln!(out, "{}", bench_peer::compared_with(peers))?;
    writeln!(
        out,
        "one core: {:.0}e9 operations/s in f32, {:.0}e9 in f64; reads {:.1}e9 bytes/s. Shares of these:\n",
        peak_rates.f32_per_s * 1e-9,
        peak_rates.f64_per_s * 1e-9,
        peak_rates.bytes_per_s * 1e-9,
    )?;
    let heads = ["wall s", "cpu s", "peak MB", "pairs/cpu-s", "arith.", "memory"];
    let [wall, cpu, peak, pairs, arithmetic, memory] = heads;
    let [peer_wall, peer_cpu, ratio] = ["PT wall s", "PT cpu s", "ratio"];
    writeln!(
        out,
        "{:22} {:>3} {:>7} {:>5} {wall:>9} {cpu:>9} {peak:>8} {pairs:>12} {arithmetic:>6} {memory:>6} {peer_wall:>9} \
         {peer_cpu:>9} {ratio:>6}",
        "machine", "k", "n", "t"
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
    let peer = row.peer.as_ref();
    writeln!(
        out,
        "{:22} {k:>3} {:>7} {:>5} {:>9.4} {:>9.4} {memory:>8} {:>10.0}e6 {:>6} {:>6} {:>9} {:>9} {:>6}",
        row.machine,
        row.n,
        row.t,
        row.wall_s,
        row.cpu_s,
        row.pairs_per_cpu_s * 1e-6,
        row.arithmetic_share.map_or_else(|| "-".to_owned(), percent),
        row.memory_share.map_or_else(|| "-".to_owned(), percent),
        cell(peer, 4, |peer| peer.wall_ms * 1e-3),
        cell(peer, 4, |peer| peer.cpu_ms * 1e-3),
        ratio(peer, row.cpu_s * 1e3),
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::peer::PeerTiming;

    #[test]
    fn rows_have_a_cell_for_each_head_with_and_without_a_peer() {
        let peer = PeerTiming { cpu_ms: 400.0, wall_ms: 250.0, torch: "9.9".to_owned() };
        let mut training = TrainTiming {
            net: "resnet",
            cpu_ms: 100.0,
            wall_ms: 50.0,
            peak_rss_mb: None,
            samples_per_s: 1280.0,
            threads: 2,
            operations: vec![("matmul", 40.0)],
            peer: None,
        };
        let mut theory = TheoryTiming {
            machine: "els".to_owned(),
            k: Some(7),
            n: 64,
            t: 0.5,
            queries: 1,
            wall_s: 0.05,
            cpu_s: 0.1,
            peak_rss_mb: None,
            pairs_per_s: 2e6,
            pairs_per_cpu_s: 1e6,
            arithmetic_share: None,
            memory_share: None,
            peer: None,
        };
        let last_cells = |training: &TrainTiming, theory: &TheoryTiming| {
            let [mut of_training, mut of_theory] = [Vec::new(), Vec::new()];
            print_training(&mut of_training, training, false).unwrap();
            print_theory(&mut of_theory, theory, false).unwrap();
            [(of_training, 5..10), (of_theory, 10..13)].map(|(row, places)| {
                let row = String::from_utf8(row).unwrap();
                row.split_whitespace().collect::<Vec<_>>()[places].join(" ")
            })
        };
        assert_eq!(last_cells(&training, &theory), ["20.0 - - - -", "- - -"]);
        (training.peer, theory.peer) = (Some(peer.clone()), Some(peer));
        // Repeated patches can make a machine many times as fast.
        theory.cpu_s = 1e-3;
        let expected = ["20.0 400.0 250.0 4.0 0.25", "0.2500 0.4000 2.5e-3"];
        assert_eq!(last_cells(&training, &theory), expected);
    }
}
