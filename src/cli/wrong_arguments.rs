//! Wrong arguments and `--help`: prints the argument parser's output safely.

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use super::arguments::Cli;
use super::exit_codes::MISUSE;
use crate::console::{self, terminal_abilities};
use crate::errorln;

/// Prints the argument parser's output: help on standard output, errors on standard error. Colours are used
/// unless the terminal shows none or an argument contains characters that it would interpret. (The arguments
/// are checked rather than the rendered text, which lacks escape sequences that are printed nevertheless.)
pub fn refuse(error: &clap::Error) -> ExitCode {
    let given: Vec<String> =
        env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let clean: Vec<String> =
        given.iter().map(|argument| console::line(argument).into_owned()).collect();
    let is_clean = given == clean;
    // The parser quotes arguments literally, including line feeds, so it is given sanitised ones.
    let cleaned = (!is_clean).then(|| Cli::try_parse_from(clean).err()).flatten();
    let error = cleaned.as_ref().unwrap_or(error);
    let text = error.render().to_string();
    let code = u8::try_from(error.exit_code()).unwrap_or(MISUSE);
    let printed = match (is_clean && terminal_abilities::obeys_escapes(), error.use_stderr()) {
        (true, _) => error.print(),
        (false, true) => write!(console::stderr(), "{text}"),
        (false, false) => write!(console::stdout(), "{text}"),
    };
    match printed.and_then(|()| io::stdout().flush()) {
        // The help text could not be written; a closed pipe is not an error.
        Err(problem) if code == 0 && problem.kind() != io::ErrorKind::BrokenPipe => {
            errorln!("error: writing to standard output: {problem}");
            ExitCode::FAILURE
        }
        Err(_) | Ok(()) => ExitCode::from(code),
    }
}
