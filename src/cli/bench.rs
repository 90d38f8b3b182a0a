//! `mosaic bench`: how fast theory and training compute on this computer; a file per benchmark (`bench_theory`,
//! `bench_train`, `bench_gpu`).

use anyhow::Result;
use clap::Subcommand;

use super::bench_gpu::GpuArgs;
use super::bench_theory::TheoryArgs;
use super::bench_train::TrainArgs;
use super::lab_and_runs_dir_options::LabPaths;
use super::{bench_gpu, bench_theory, bench_train};

#[derive(Clone, Debug, Subcommand)]
pub enum BenchCommand {
    /// Seconds a step of score machines, by patch side, dictionary and noise level.
    Theory(TheoryArgs),
    /// Milliseconds a step of training, and where they go, on the CPU.
    Train(TrainArgs),
    /// A GPU against the CPU: are its results right, and how fast is it?
    Gpu(GpuArgs),
}

/// Runs the requested benchmark.
///
/// # Errors
///
/// If the arguments or the images are unusable, if a computation cannot be prepared or fails, if a GPU is
/// required and missing, if a check on it fails, or if writing to standard output fails.
pub fn run(paths: &LabPaths, command: &BenchCommand) -> Result<()> {
    match command {
        BenchCommand::Theory(args) => bench_theory::run(paths, args),
        BenchCommand::Train(args) => bench_train::run(args),
        BenchCommand::Gpu(args) => bench_gpu::run(args),
    }
}
