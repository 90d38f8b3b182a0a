//! `mosaic bench`: how fast this machine computes.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};

use crate::dataset::source::{DatasetSource, open};
use crate::lab::bench::{
    TheoryCase, TheoryTiming, dictionary, fixed, multiply_adds_per_core, time_theory,
};
use crate::theory::spec::MachineKind;

#[derive(Clone, Debug, Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    pub command: BenchCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub enum BenchCommand {
    /// Seconds a step of score machines, by patch side, dictionary and noise level.
    Theory(TheoryArgs),
}

#[derive(Clone, Debug, Args)]
pub struct TheoryArgs {
    /// Grey images to compare with, an IDX file; by default the lab's handwritten digits.
    #[arg(long, value_name = "IDX")]
    data: Option<PathBuf>,
    /// Machines by name [default: ideal ls els els-interior bbels attention].
    #[arg(long, value_delimiter = ',')]
    machine: Vec<String>,
    /// Patch sides.
    #[arg(long, value_delimiter = ',', default_value = "3,7,15")]
    k: Vec<usize>,
    /// Numbers of training images.
    #[arg(long, value_delimiter = ',', default_value = "1000")]
    n: Vec<usize>,
    /// Times in (0, 1]; larger is noisier.
    #[arg(long, value_delimiter = ',', default_value = "0.5")]
    t: Vec<f64>,
    /// Images are resized to this side.
    #[arg(long, default_value_t = 32)]
    size: usize,
    #[arg(long, default_value_t = 1)]
    queries: usize,
    /// Each figure is the median of so many.
    #[arg(long, default_value_t = 3)]
    repeats: usize,
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

pub fn run(args: &BenchArgs) -> Result<()> {
    match &args.command {
        BenchCommand::Theory(args) => theory(args),
    }
}

fn theory(args: &TheoryArgs) -> Result<()> {
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
    let kinds = names.into_iter().map(MachineKind::parse).collect::<Result<Vec<_>, _>>()?;
    let images = args.data.clone().unwrap_or_else(|| DIGITS.into());
    let source = DatasetSource::Idx { images: images.clone(), labels: None, size: Some(args.size) };
    let all = open("bench", &source, None, 0).with_context(|| match &args.data {
        Some(_) => "opening '--data'".to_owned(),
        None => format!("no '--data' given, and '{DIGITS}' is not here"),
    })?;
    if let Some(n) = args.n.iter().find(|n| **n == 0 || **n > all.len()) {
        bail!("'--n {n}' cannot be benched; '{}' holds {} images", images.display(), all.len());
    }
    let peak = multiply_adds_per_core();
    let mut stdout = io::stdout().lock();
    if !args.json {
        writeln!(
            stdout,
            "{} images of {} from '{}'; {} threads; a core makes {:.1}e9 multiply-adds a second\n",
            all.len(),
            all.shape(),
            images.display(),
            rayon::current_num_threads(),
            peak * 1e-9,
        )?;
        writeln!(
            stdout,
            "{:22} {:>3} {:>7} {:>5} {:>9} {:>9} {:>8} {:>14} {:>6}",
            "machine", "k", "n", "t", "wall s", "cpu s", "peak MB", "pairs/s/core", "peak"
        )?;
    }
    for &n in &args.n {
        let images = dictionary(&all.select(&(0..n).collect::<Vec<_>>()))?;
        for kind in &kinds {
            for &t in &args.t {
                let sides = if kind.uses_patches() { &args.k[..] } else { &args.k[..1] };
                for &k in sides {
                    let case = TheoryCase {
                        spec: fixed(*kind, k),
                        t,
                        n_queries: args.queries,
                        repeats: args.repeats,
                        posterior: args.posterior,
                    };
                    print(&mut stdout, &time_theory(&images, &case, peak)?, args.json)?;
                }
            }
        }
    }
    Ok(())
}

fn print(out: &mut impl Write, row: &TheoryTiming, json: bool) -> Result<()> {
    if json {
        writeln!(out, "{}", serde_json::to_string(row)?)?;
        return Ok(());
    }
    let k = row.k.map_or_else(|| "-".to_owned(), |k| k.to_string());
    let memory = row.peak_rss_mb.map_or_else(|| "N/A".to_owned(), |mb| format!("{mb:.0}"));
    writeln!(
        out,
        "{:22} {k:>3} {:>7} {:>5} {:>9.4} {:>9.4} {memory:>8} {:>12.0}e6 {:>5.0}%",
        row.machine,
        row.n,
        row.t,
        row.wall_s,
        row.cpu_s,
        row.pairs_per_cpu_s * 1e-6,
        100.0 * row.share_of_peak,
    )?;
    Ok(())
}
