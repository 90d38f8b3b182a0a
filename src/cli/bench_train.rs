//! `mosaic bench train`: milliseconds a step of training, and where they go, on the CPU.

use std::io::Write;

use anyhow::Result;
use clap::Args;
use strum::VariantNames;

use super::bench_against_pytorch::{self, PeerArgs, cell, ratio};
use super::bench_number_format::{at_least_one, megabytes};
use crate::bench::pytorch_times;
use crate::bench::training_step_times::{Net, TrainTiming, time_training};
use crate::console;

#[derive(Clone, Debug, Args)]
pub struct TrainArgs {
    /// Networks [default: resnet unet attention glyphs]; 'attention' is the operation alone, 'glyphs' the default
    /// experiment with its own network and batch; names with -bf16 train with training.compute_type = "bf16".
    #[arg(long, value_delimiter = ',', num_args = 1.., value_parser = parse_net)]
    net: Vec<Net>,
    /// Threads [default: as many as cores].
    #[arg(long, value_parser = at_least_one)]
    threads: Option<usize>,
    /// Each figure is the median of so many steps; with SOAP of so many times ten, per step.
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

/// Times training steps and prints a row per network.
///
/// # Errors
///
/// If threads cannot be started, if a network cannot be built or a step fails, or if writing to standard output fails.
pub fn run(args: &TrainArgs) -> Result<()> {
    let nets = if args.net.is_empty() { Net::ALL.to_vec() } else { args.net.clone() };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(args.threads.unwrap_or(0)).build()?;
    let threads = pool.current_num_threads();
    let peers = args.peers.version(pytorch_times::version);
    let mut stdout = console::stdout();
    if !args.json {
        print_training_head(&mut stdout, threads, args.repeats, &peers)?;
    }
    for net in nets {
        let mut row = pool.install(|| time_training(net, args.repeats))?;
        if peers.is_ok() {
            // Threads of ours sleep meanwhile.
            let peer = net.peer()?.on_cpu(threads, args.repeats);
            row.peer = bench_against_pytorch::time(row.net, &peer);
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
    writeln!(
        out,
        "threads: {threads}; medians of {repeats} steps (with SOAP, of so many tens), milliseconds a step"
    )?;
    writeln!(out, "{}", bench_against_pytorch::compared_with(peers))?;
    let heads = ["cpu ms", "wall ms", "peak MB", "images/s", "steps/s"];
    let [cpu, wall, peak, images, steps] = heads;
    let heads = ["PT optimizer", "PT cpu ms", "PT wall ms", "PT steps/s", "ratio"];
    let [optimizer, peer_cpu, peer_wall, peer_steps, ratio] = heads;
    writeln!(
        out,
        "{:12} {cpu:>9} {wall:>9} {peak:>8} {images:>10} {steps:>8} {optimizer:>12} {peer_cpu:>10} {peer_wall:>10} \
         {peer_steps:>10} {ratio:>6}  where the wall time goes",
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
        "{:12} {:>9.1} {:>9.1} {:>8} {:>10.1} {:>8.1} {:>12} {:>10} {:>10} {:>10} {:>6}  {}",
        row.net,
        row.cpu_ms,
        row.wall_ms,
        megabytes(row.peak_rss_mb),
        row.samples_per_s,
        1e3 / row.wall_ms,
        peer.and_then(|peer| peer.optimizer.as_deref()).unwrap_or("-"),
        cell(peer, 1, |peer| peer.cpu_ms),
        cell(peer, 1, |peer| peer.wall_ms),
        cell(peer, 1, |peer| 1e3 / peer.wall_ms),
        ratio(peer, row.cpu_ms),
        shares.join(", "),
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::pytorch_times::PeerTiming;

    #[test]
    fn rows_have_a_cell_for_each_head_with_and_without_a_peer() {
        let mut timing = TrainTiming {
            net: "resnet",
            cpu_ms: 100.0,
            wall_ms: 50.0,
            peak_rss_mb: None,
            samples_per_s: 1280.0,
            threads: 2,
            operations: vec![("matmul", 40.0)],
            peer: None,
        };
        let last_cells = |timing: &TrainTiming| {
            let mut row = Vec::new();
            print_training(&mut row, timing, false).unwrap();
            let row = String::from_utf8(row).unwrap();
            row.split_whitespace().collect::<Vec<_>>()[5..11].join(" ")
        };
        assert_eq!(last_cells(&timing), "20.0 - - - - -");
        let (torch, optimizer) = ("9.9".to_owned(), Some("soap".to_owned()));
        timing.peer = Some(PeerTiming { cpu_ms: 400.0, wall_ms: 250.0, torch, optimizer });
        assert_eq!(last_cells(&timing), "20.0 soap 400.0 250.0 4.0 0.25");
    }
}
