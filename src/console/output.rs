//! Standard output and standard error of commands: everything that goes through is made harmless first.
//!
//! Only pictures and the dashboard write to the terminal directly. Lines that are not ours to break (notes, names) go through
//! [`super::line`] before they get here, because a stream cannot know which line feeds are forged.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::{self, Debug};
use std::io::{self, IsTerminal, StderrLock, StdoutLock, Write};
use std::{panic, thread};

use super::abilities;
use super::plain::{ascii_lines, lines};
use crate::errorln;

/// A stream of text that passes on nothing a terminal would obey.
#[derive(Debug)]
pub struct Plain<W: Write> {
    inner: W,
    /// The terminal shows nothing else.
    ascii: bool,
    /// The beginning of a character whose end was not written yet.
    begun: Vec<u8>,
}

impl<W: Write> Plain<W> {
    pub fn new(inner: W, ascii: bool) -> Self {
        Self { inner, ascii, begun: Vec::new() }
    }

    fn pass(&mut self, text: &str) -> io::Result<()> {
        let clean = if self.ascii { ascii_lines(text) } else { lines(text) };
        self.inner.write_all(clean.as_bytes())
    }
}

impl<W: Write> Write for Plain<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len();
        let joined;
        let mut rest = match self.begun.is_empty() {
            true => bytes,
            false => {
                joined = [std::mem::take(&mut self.begun).as_slice(), bytes].concat();
                &joined
            }
        };
        loop {
            match std::str::from_utf8(rest) {
                Ok(text) => {
                    self.pass(text)?;
                    return Ok(n);
                }
                Err(error) => {
                    let (valid, after) = rest.split_at(error.valid_up_to());
                    self.pass(&String::from_utf8_lossy(valid))?;
                    match error.error_len() {
                        Some(length) => {
                            self.pass("\u{fffd}")?;
                            rest = &after[length..];
                        }
                        None => {
                            self.begun = after.to_vec();
                            return Ok(n);
                        }
                    }
                }
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<W: Write> Drop for Plain<W> {
    fn drop(&mut self) {
        if !self.begun.is_empty() {
            // Whoever wanted to know of errors has flushed.
            let _ = self.pass("\u{fffd}");
        }
    }
}

/// Standard output for text, locked.
pub fn stdout() -> Plain<StdoutLock<'static>> {
    let ascii = io::stdout().is_terminal() && !abilities::is_utf8();
    Plain::new(io::stdout().lock(), ascii)
}

/// Standard error for text, locked.
pub fn stderr() -> Plain<StderrLock<'static>> {
    let ascii = io::stderr().is_terminal() && !abilities::is_utf8();
    Plain::new(io::stderr().lock(), ascii)
}

/// One message on standard error. Lines of it that are not the first are indented, so that a name with a line feed in it
/// cannot pass for a message of its own.
pub fn error_line(message: fmt::Arguments<'_>) {
    let message = message.to_string().replace('\n', "\n  ");
    // Nobody can be told that standard error is closed.
    let _ = writeln!(stderr(), "{message}");
}

/// Panics are reported like any other message: what a panic says may hold a file's name.
pub fn report_panics() {
    panic::set_hook(Box::new(|info| {
        let current = thread::current();
        let backtrace = Backtrace::capture();
        errorln!("thread '{}' {info}", current.name().unwrap_or("unnamed"));
        match backtrace.status() {
            BacktraceStatus::Captured => errorln!("{backtrace}"),
            _ => errorln!("note: RUST_BACKTRACE=1 shows a backtrace"),
        }
    }));
}

/// A message for standard error, as `eprintln!` takes it, without what a terminal would obey.
#[macro_export]
macro_rules! errorln {
    ($($message:tt)*) => { $crate::console::output::error_line(::std::format_args!($($message)*)) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(parts: &[&[u8]], ascii: bool) -> String {
        let mut out = Vec::new();
        let mut plain = Plain::new(&mut out, ascii);
        parts.iter().for_each(|part| plain.write_all(part).unwrap());
        drop(plain);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn escapes_are_seen_wherever_a_write_ends() {
        let text = "a\x1b]0;é\u{9b}2J\u{202e}\x07\tb\n".as_bytes();
        let whole = passed(&[text], false);
        assert_eq!(whole, "a\\u001b]0;é\\u009b2J\\u202e\\u0007\tb\n");
        for at in 0..text.len() {
            assert_eq!(passed(&[&text[..at], &text[at..]], false), whole);
        }
        assert_eq!(passed(&[text], true), whole.replace('é', "\\u00e9"));
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(passed(&[b"a\x9b2J\xff", b"b\xe2\x82"], false), "a\u{fffd}2J\u{fffd}b\u{fffd}");
    }
}
