//! `mosaic`: parse, dispatch, print one error.

use std::process::ExitCode;

use clap::Parser;
use mosaic_lab::cli::{self, Cli};
use mosaic_lab::{console, errorln};

// Large short-lived tensors make the system allocator fault pages in and out; see the engine notes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    console::output::report_panics();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return cli::refuse(&error),
    };
    match cli::dispatch(cli) {
        Ok(code) => code,
        Err(error) if cli::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            errorln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
