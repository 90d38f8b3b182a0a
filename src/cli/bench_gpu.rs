//! `mosaic bench gpu`: a GPU against the CPU, against what it reaches at best, and against PyTorch.

use std::io::Write;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Value, json};

use super::bench_against_pytorch::{self, PeerArgs};
use crate::bench::gpu::{self, Check, Row};
use crate::bench::pytorch_times;
use crate::evaluation::choose_gpu_or_cpu::{Opened, ceilings, open};
use crate::hardware::device_request::DeviceRequest;
use crate::theory::gpu::Ceilings;
use crate::{console, errorln};

#[derive(Clone, Debug, Args)]
pub struct GpuArgs {
    /// cuda:N, or auto for the first GPU.
    #[arg(long, default_value = "auto")]
    device: DeviceRequest,
    /// Fewer and smaller cases.
    #[arg(long)]
    quick: bool,
    /// Only what is named: checks, theory, training, sampling.
    #[arg(long, value_delimiter = ',', num_args = 1.., value_parser = ["checks", "theory", "training", "sampling"])]
    only: Vec<String>,
    #[command(flatten)]
    peers: PeerArgs,
    /// Print one JSON object a row.
    #[arg(long)]
    json: bool,
}

impl GpuArgs {
    fn wants(&self, what: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == what)
    }
}

/// Checks and times the commands of our own on a GPU.
///
/// # Errors
///
/// If there is no GPU or the requested one cannot be opened, if a computation fails, if a check finds a
/// difference, or if writing to standard output fails.
pub fn run(args: &GpuArgs) -> Result<()> {
    let opened = open(&args.device, |problem| errorln!("{problem}"))?;
    let Some(gpus) = &opened.gpus else {
        let remedy = match cfg!(feature = "cuda") {
            true => "",
            false => {
                "; this build is without CUDA: cargo build --release --features cuda,cudnn (docs/gpu.md)"
            }
        };
        bail!("no GPU to benchmark: {}{remedy}", opened.words);
    };
    let mut out = console::stdout();
    let mut n_failed = 0;
    if !args.json {
        writeln!(out, "{}", opened.words)?;
    }
    if args.wants("checks") {
        let checks =
            [gpu::check_and_time_theory::check(gpus, args.quick)?, check_networks(&opened, args)?];
        for check in checks.iter().flatten() {
            n_failed += usize::from(!check.passed);
            print_check(&mut out, check, args.json)?;
        }
    }
    if ["theory", "training", "sampling"].into_iter().any(|what| args.wants(what)) {
        let ceilings = ceilings(&args.device)?;
        let peers = args.peers.version(pytorch_times::version_on_gpu);
        print_head(&mut out, &ceilings, &peers, args.json)?;
        let mut rows = Vec::new();
        if args.wants("theory") {
            rows.extend(gpu::check_and_time_theory::time(gpus, args.quick)?);
        }
        rows.extend(time_networks(&opened, args)?);
        for mut row in rows {
            if let (Ok(_), Some(peer)) = (&peers, &row.peer) {
                row.peer_ms =
                    bench_against_pytorch::time(&row.what, peer).map(|timing| timing.wall_ms);
            }
            print_row(&mut out, &row, &ceilings, args.json)?;
        }
    }
    if n_failed > 0 {
        bail!("{n_failed} checks failed");
    }
    Ok(())
}

#[cfg(feature = "cudnn")]
fn check_networks(opened: &Opened, args: &GpuArgs) -> Result<Vec<Check>> {
    let mut checks = gpu::check_and_time_sampling::check(&opened.tensors, args.quick)?;
    checks.extend(gpu::check_and_time_training::check(&opened.tensors, args.quick)?);
    Ok(checks)
}

#[cfg(feature = "cudnn")]
fn time_networks(opened: &Opened, args: &GpuArgs) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    if args.wants("training") {
        rows.extend(gpu::check_and_time_training::time(&opened.tensors, args.quick)?);
    }
    if args.wants("sampling") {
        rows.extend(gpu::check_and_time_sampling::time(&opened.tensors, args.quick)?);
    }
    Ok(rows)
}

/// Commands of our own for networks need cuDNN.
#[cfg(not(feature = "cudnn"))]
fn check_networks(_: &Opened, _: &GpuArgs) -> Result<Vec<Check>> {
    errorln!("checks of networks are left out: this build is without the feature 'cudnn'");
    Ok(Vec::new())
}

#[cfg(not(feature = "cudnn"))]
fn time_networks(_: &Opened, args: &GpuArgs) -> Result<Vec<Row>> {
    for what in ["training", "sampling"].into_iter().filter(|what| args.wants(what)) {
        errorln!("{what} is left out: this build is without the feature 'cudnn'");
    }
    Ok(Vec::new())
}

fn print_check(out: &mut impl Write, check: &Check, json: bool) -> Result<()> {
    if json {
        return Ok(writeln!(out, "{}", serde_json::to_string(check)?)?);
    }
    let word = if check.passed { "agrees" } else { "DIFFERS" };
    Ok(writeln!(out, "{word:7} {:44} {}", check.name, check.detail)?)
}

fn print_head(
    out: &mut impl Write,
    ceilings: &Ceilings,
    peers: &Result<String, String>,
    json: bool,
) -> Result<()> {
    let Ceilings { bytes_per_s, multiply_adds_per_s, exponentials_per_s } = ceilings;
    if json {
        let peers = peers.as_ref().ok();
        let line = json!({
            "bytes_per_s": bytes_per_s,
            "multiply_adds_per_s": multiply_adds_per_s,
            "exponentials_per_s": exponentials_per_s,
            "peer": peers,
        });
        return Ok(writeln!(out, "{line}")?);
    }
    writeln!(
        out,
        "\nat best: {} bytes/s copied, {} multiply-adds/s and {} exponentials/s in single precision. Shares of these; of a \
         large matrix product for tf32 and bf16.",
        short(*bytes_per_s),
        short(*multiply_adds_per_s),
        short(*exponentials_per_s)
    )?;
    match peers {
        Ok(version) => writeln!(out, "ratio: {version} over ours")?,
        Err(problem) => writeln!(out, "{}", bench_against_pytorch::no_peers(problem))?,
    }
    let heads = ["ms", "PyTorch", "ratio", "operations/s", "bytes/s"];
    let [ms, peer, ratio, operations, bytes] = heads;
    writeln!(out, "\n{:52} {ms:>9} {peer:>9} {ratio:>6} {operations:>15} {bytes:>15}", "")?;
    Ok(())
}

fn print_row(out: &mut impl Write, row: &Row, ceilings: &Ceilings, json: bool) -> Result<()> {
    let per_s = 1e3 / row.median_ms;
    let (operations, bytes) = (row.operations * per_s, row.bytes * per_s);
    let most = ceilings.multiply_adds_per_s * row.operations_each;
    let arithmetic = operations / row.operations_per_s_max.unwrap_or(most);
    let bandwidth = bytes / ceilings.bytes_per_s;
    if json {
        let mut line = serde_json::to_value(row)?;
        if let Value::Object(fields) = &mut line {
            fields.insert("arithmetic_share".to_owned(), json!(arithmetic));
            fields.insert("memory_share".to_owned(), json!(bandwidth));
        }
        return Ok(writeln!(out, "{line}")?);
    }
    let share = |per_s: f64, share: f64| format!("{} {:>5.1}%", short(per_s), 100.0 * share);
    writeln!(
        out,
        "{:52} {:>9.3} {:>9} {:>6} {:>15} {:>15}  {}",
        row.what,
        row.median_ms,
        row.peer_ms.map_or("-".to_owned(), |ms| format!("{ms:.3}")),
        row.peer_ms.map_or("-".to_owned(), |ms| format!("{:.2}", ms / row.median_ms)),
        share(operations, arithmetic),
        share(bytes, bandwidth),
        row.rate
    )?;
    if !row.parts.is_empty() {
        let parts: Vec<String> =
            row.parts.iter().map(|(name, ms)| format!("{name} {ms:.3}")).collect();
        writeln!(out, "    one by one, ms: {}", parts.join(", "))?;
    }
    Ok(())
}

/// Three digits and a thousand's power, such as `2.61T`.
fn short(value: f64) -> String {
    let (scaled, unit) = match value {
        value if value >= 1e12 => (value * 1e-12, "T"),
        value if value >= 1e9 => (value * 1e-9, "G"),
        value => (value * 1e-6, "M"),
    };
    let digits = if scaled < 10.0 { 2 } else { usize::from(scaled < 100.0) };
    format!("{scaled:.digits$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_what_share_of_the_gpu_it_reaches() {
        let ceilings =
            Ceilings { bytes_per_s: 2e12, multiply_adds_per_s: 20e12, exponentials_per_s: 4e12 };
        let row = |what: &str, operations_each, operations_per_s_max| Row {
            what: what.to_owned(),
            median_ms: 2.0,
            rate: "fast".to_owned(),
            operations: 20e9,
            operations_each,
            operations_per_s_max,
            bytes: 1e9,
            peer: None,
            peer_ms: Some(5.0),
            parts: Vec::new(),
        };
        let printed = |row: &Row| {
            let mut out = Vec::new();
            print_row(&mut out, row, &ceilings, false).unwrap();
            String::from_utf8(out).unwrap()
        };
        let of_theory = printed(&row("els", 1.0, None));
        assert!(of_theory.contains("2.50    10.0T  50.0%     500G  25.0%  fast"), "{of_theory}");
        assert!(printed(&row("resnet batch 1", 2.0, None)).contains("10.0T  25.0%"));
        assert!(printed(&row("resnet batch 1 tf32", 2.0, Some(100e12))).contains("10.0T  10.0%"));
        let mut out = Vec::new();
        print_row(&mut out, &row("els", 1.0, None), &ceilings, true).unwrap();
        let line: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!((&line["arithmetic_share"], &line["memory_share"]), (&json!(0.5), &json!(0.25)));
    }

    #[test]
    fn large_numbers_are_short() {
        assert_eq!([2.613e12, 34.56e9, 789e9, 1e3].map(short), ["2.61T", "34.6G", "789G", "0.00M"]);
    }
}
