//! Where messages go when results are written to standard output or standard error.

use std::io::{self, Write};
use std::path::Path;

use crate::console;
use crate::files::{is_stderr, is_stdout};

/// Where words about outputs go: standard error, or standard output where an output leads to that, and nowhere where outputs lead to both.
pub fn words_beside<'a>(outputs: impl Iterator<Item = &'a Path> + Clone) -> Box<dyn Write> {
    match (outputs.clone().any(is_stderr), outputs.clone().any(is_stdout)) {
        (false, _) => Box::new(console::stderr()),
        (true, false) => Box::new(console::stdout()),
        (true, true) => Box::new(io::sink()),
    }
}
