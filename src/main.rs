//! `mosaic`: parse, dispatch, print one error.

use std::process::ExitCode;

use clap::Parser;
use mosaic_lab::cli::{self, Cli};

// Large short-lived tensors make the system allocator fault pages in and out; see the engine notes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match cli::dispatch(Cli::parse()) {
        Ok(code) => code,
        Err(error) if cli::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
