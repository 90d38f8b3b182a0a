//! `mosaic`: parse, dispatch, print one error.

use std::process::ExitCode;

use clap::Parser;
use mosaic_lab::allocator::Allocator;
use mosaic_lab::cli::{self, Cli};

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() -> ExitCode {
    match cli::dispatch(Cli::parse()) {
        Ok(code) => code,
        Err(error) if cli::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", cli::in_words(&error));
            ExitCode::FAILURE
        }
    }
}
