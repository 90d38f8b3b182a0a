//! What commands print, and what the terminal they print to can show.
//!
//! Names, notes, messages and logs come from files, arguments and other processes, and may hold escape sequences. Nothing of that kind reaches a
//! terminal as it is: [`plain`] makes it visible, [`output`] applies it to everything that commands print, and the dashboard
//! applies it to its cells. [`abilities`] says what cannot be shown here at all.

pub mod plain;
pub mod output;
pub mod abilities;

pub use output::{stderr, stdout};
pub use plain::{line, lines};

/// [`line()`] for text that another crate writes to the terminal: in ASCII where the locale has no more.
pub fn shown(text: &str) -> String {
    match abilities::is_utf8() {
        true => line(text).into_owned(),
        false => plain::ascii_line(text),
    }
}
