//! Output of commands, and what the terminal that shows it can display.
//!
//! Names, notes, messages and logs come from files, arguments and other processes, and may contain escape
//! sequences. None of these reach a terminal unchanged: [`plain`] makes them visible, [`output`] applies it to
//! everything that commands print, and the dashboard applies it to its cells. [`abilities`] detects what the
//! terminal cannot show.

pub mod plain;
pub mod output;
pub mod abilities;

pub use output::{stderr, stdout};
pub use plain::{line, lines};

/// [`line()`] for text that another crate writes to the terminal; ASCII only if the locale is not UTF-8.
pub fn shown(text: &str) -> String {
    match abilities::is_utf8() {
        true => line(text).into_owned(),
        false => plain::ascii_line(text),
    }
}
