//! Standard output and standard error of commands, with everything made safe for terminals.
//!
//! Only pictures and the dashboard write to the terminal directly. Text that must stay on one line (notes,
//! names) goes through [`super::line`] first, because a stream cannot tell which line feeds are forged.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::{self, Debug};
use std::io::{self, IsTerminal, StderrLock, StdoutLock, Write};
use std::{panic, thread};

use super::escaped_text::{ascii_lines, lines};
use super::{panics_of_decoders, terminal_abilities};
use crate::errorln;

/// A text stream that escapes everything a terminal would interpret.
#[derive(Debug)]
pub struct Plain<W: Write> {
    inner: W,
    /// True if the terminal shows only ASCII.
    ascii: bool,
    /// First bytes of a character whose remaining bytes have not been written yet.
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
        let all = match self.begun.is_empty() {
            true => bytes,
            false => {
                joined = [std::mem::take(&mut self.begun).as_slice(), bytes].concat();
                &joined
            }
        };
        for chunk in all.utf8_chunks() {
            self.pass(chunk.valid())?;
            let is_begun = |rest| str::from_utf8(rest).is_err_and(|e| e.error_len().is_none());
            match chunk.invalid() {
                [] => {}
                rest if is_begun(rest) => self.begun = rest.to_vec(),
                _ => self.pass("\u{fffd}")?,
            }
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<W: Write> Drop for Plain<W> {
    fn drop(&mut self) {
        if !self.begun.is_empty() {
            // Callers that care about errors have flushed.
            let _ = self.pass("\u{fffd}");
        }
    }
}

/// Locks standard output for writing text.
pub fn stdout() -> Plain<StdoutLock<'static>> {
    let ascii = io::stdout().is_terminal() && !terminal_abilities::is_utf8();
    Plain::new(io::stdout().lock(), ascii)
}

/// Locks standard error for writing text.
pub fn stderr() -> Plain<StderrLock<'static>> {
    let ascii = io::stderr().is_terminal() && !terminal_abilities::is_utf8();
    Plain::new(io::stderr().lock(), ascii)
}

/// Writes one message to standard error. All lines but the first are indented, so that a name with a line feed
/// in it cannot pass for a separate message.
pub fn error_line(message: fmt::Arguments<'_>) {
    let message = message.to_string().replace('\n', "\n  ");
    // There is no way to report that standard error is closed.
    let _ = writeln!(stderr(), "{message}");
}

/// The message of a caught panic.
pub fn panic_words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("it panicked")
}

/// Installs a panic hook that reports panics like other messages, since they may contain file names.
pub fn report_panics() {
    panic::set_hook(Box::new(|info| {
        if panics_of_decoders::is_answered() {
            return;
        }
        let current = thread::current();
        let backtrace = Backtrace::capture();
        errorln!("thread '{}' {info}", current.name().unwrap_or("unnamed"));
        match backtrace.status() {
            BacktraceStatus::Captured => errorln!("{backtrace}"),
            _ => errorln!("note: RUST_BACKTRACE=1 shows a backtrace"),
        }
    }));
}

/// Writes a message to standard error like `eprintln!`, with everything a terminal would interpret escaped.
#[macro_export]
macro_rules! errorln {
    ($($message:tt)*) => { $crate::console::escaped_stdout_and_stderr::error_line(::std::format_args!($($message)*)) };
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
