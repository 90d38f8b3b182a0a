//! Parse, dispatch, print one error.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mosaic_lab::cli::denoise::{self, DenoiseArgs};

#[derive(Parser)]
#[command(name = "mosaic", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run one score machine on given tensors.
    Denoise(DenoiseArgs),
}

fn main() -> ExitCode {
    let Command::Denoise(args) = Arguments::parse().command;
    match denoise::run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
