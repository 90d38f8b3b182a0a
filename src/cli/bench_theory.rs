//! `mosaic bench theory`: seconds a step of score machines, by patch side, number of training images and noise level.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use clap::Args;

use super::bench_against_pytorch::{self, PeerArgs, cell, ratio};
use super::bench_number_format::{at_least_one, megabytes};
use super::data::experiment_over;
use super::lab_and_runs_dir_options::LabPaths;
use crate::bench::peak_rates::PeakRates;
use crate::bench::pytorch_times;
use crate::bench::time_one_score_machine::{TheoryCase, TheoryTiming, fixed, time_theory};
use crate::dataset::{Dataset, DatasetError, DatasetSource, Selection, open};
use crate::evaluation::choose_gpu_or_cpu::{open_gpus, with_gpus};
use crate::evaluation::load_networks_and_data::open_dataset;
use crate::hardware::device_request::DeviceRequest;
use crate::theory::machine_spec::MachineKind;
use crate::theory::{Machine, Precision, TrainingImages};
use crate::{console, errorln};

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

/// Times score machines and prints a row per machine, number of images, time and patch side.
///
/// # Errors
///
/// If the arguments or the images are unusable, if a machine cannot be built or fails, if a GPU is required and
/// missing, or if writing to standard output fails.
pub fn run(paths: &LabPaths, args: &TheoryArgs) -> Result<()> {
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
    let peers = args.peers.version(pytorch_times::version);
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
            let of_query = bench_against_pytorch::time(&row.machine, &peer);
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
    let all = open("bench", &source, Selection::all()).map_err(|error| match error {
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
    writeln!(out, "{}", bench_against_pytorch::compared_with(peers))?;
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
    use crate::bench::pytorch_times::PeerTiming;

    #[test]
    fn rows_have_a_cell_for_each_head_with_and_without_a_peer() {
        let mut timing = TheoryTiming {
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
        let last_cells = |timing: &TheoryTiming| {
            let mut row = Vec::new();
            print_theory(&mut row, timing, false).unwrap();
            let row = String::from_utf8(row).unwrap();
            row.split_whitespace().collect::<Vec<_>>()[10..13].join(" ")
        };
        assert_eq!(last_cells(&timing), "- - -");
        timing.peer = Some(PeerTiming {
            cpu_ms: 400.0,
            wall_ms: 250.0,
            torch: "9.9".to_owned(),
            optimizer: None,
        });
        // Repeated patches can make a machine many times as fast.
        timing.cpu_s = 1e-3;
        assert_eq!(last_cells(&timing), "0.2500 0.4000 2.5e-3");
    }
}
