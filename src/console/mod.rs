//! Output of commands, and what the terminal that shows it can display.
//!
//! Names, notes, messages and logs come from files, arguments and other processes, and may contain escape
//! sequences. None of these reach a terminal unchanged: [`escaped_text`] makes them visible, [`escaped_stdout_and_stderr`] applies it to
//! everything that commands print, and the dashboard applies it to its cells. [`terminal_abilities`] detects what the
//! terminal cannot show. [`panics_of_decoders`] keeps expected panics out of the output.

pub mod escaped_text;
pub mod panics_of_decoders;
pub mod escaped_stdout_and_stderr;
pub mod terminal_abilities;

pub use escaped_stdout_and_stderr::{stderr, stdout};
pub use escaped_text::{line, lines};

/// [`line()`] for text that another crate writes to the terminal; ASCII only if the locale is not UTF-8.
pub fn shown(text: &str) -> String {
    if terminal_abilities::is_utf8() {
        line(text).into_owned()
    } else {
        escaped_text::ascii_line(text)
    }
}
