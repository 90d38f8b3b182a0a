//! Chooses the stream for messages when results are written to standard output or standard error.

use std::io::{self, Write};
use std::path::Path;

use crate::console;
use crate::files::{is_stderr, is_stdout};

/// The stream for messages about outputs: standard error; standard output if an output goes to standard error;
/// none if outputs go to both.
pub fn words_beside<'a>(outputs: impl Iterator<Item = &'a Path> + Clone) -> Box<dyn Write> {
    match (outputs.clone().any(is_stderr), outputs.clone().any(is_stdout)) {
        (false, _) => Box::new(console::stderr()),
        (true, false) => Box::new(console::stdout()),
        (true, true) => Box::new(io::sink()),
    }
}
