//! `mosaic`: parses the command line, dispatches, and prints at most one error.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use mosaic_lab::allocator::Allocator;
use mosaic_lab::cli::{self, Cli};
use mosaic_lab::{console, errorln};

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() -> ExitCode {
    console::escaped_stdout_and_stderr::report_panics();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return cli::refuse(&error),
    };
    // The last output may still be buffered.
    let done = cli::dispatch(cli).and_then(|code| {
        io::stdout().flush()?;
        Ok(code)
    });
    match done {
        Ok(code) => code,
        Err(error) if cli::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            errorln!("error: {}", cli::in_words(&error));
            ExitCode::FAILURE
        }
    }
}
