//! Detects limitations of the terminal: ASCII only, no cursor movement, or no terminal at all.
//!
//! Detection uses the environment and the window size known to the kernel; the terminal itself is not queried.

use std::env;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use rustix::termios::tcgetwinsize;
use thiserror::Error;

/// Columns and rows of the smallest screen on which the dashboard is readable.
const SMALLEST: (u16, u16) = (10, 3);

/// Terminal types that cannot move the cursor, or not by ECMA-48 sequences (terminfo types without `cup`, and
/// VT52 with its own sequences).
const DUMB: [&str; 15] = [
    "", "dumb", "unknown", "emacs", "network", "net", "ethernet", "dialup", "patch", "switch",
    "lpr", "printer", "glasstty", "vanilla", "vt52",
];
const DUMB_FAMILIES: [&str; 3] = ["dumb-", "vt52-", "tty"];

/// Reason why the dashboard or a picture cannot be shown.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Lack {
    /// Input or output is a file or a pipe.
    #[error("input and output must be a terminal")]
    NoTerminal,
    /// The value of `$TERM`, which names a terminal without the required capabilities.
    #[error("{}", of_dumb(.0))]
    Dumb(String),
    /// The variable and value that select an encoding other than UTF-8.
    #[error(
        "the locale ({0}) is not a UTF-8 one (export LC_ALL=C.UTF-8 if the terminal shows UTF-8)"
    )]
    NotUtf8(String),
    /// The terminal's columns and rows.
    #[error(
        "the terminal says that it has {0}x{1} characters (stty cols 80 rows 24 sets another size)"
    )]
    TooSmall(u16, u16),
}

fn of_dumb(term: &str) -> String {
    match term {
        "" => "$TERM is not set, so the terminal's abilities are unknown (export TERM=xterm-256color if it can move its cursor)".to_owned(),
        term => format!("$TERM is '{term}': a terminal that cannot move its cursor (export TERM=xterm-256color if it can)"),
    }
}

/// The reason why the dashboard cannot be shown here, if there is one.
pub fn lack_of_screen() -> Option<Lack> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Some(Lack::NoTerminal);
    }
    let value = |name: &str| env::var(name).ok();
    dumb(value).map(Lack::Dumb).or_else(|| other_encoding(value).map(Lack::NotUtf8)).or_else(|| {
        let (columns, rows) = size_of(io::stdout())?;
        let is_small = columns < SMALLEST.0 || rows < SMALLEST.1;
        is_small.then_some(Lack::TooSmall(columns, rows))
    })
}

/// True if standard error is a terminal on which a line can be overwritten, as a progress bar requires.
pub fn can_overwrite_lines() -> bool {
    io::stderr().is_terminal()
        && obeys_escapes()
        && size_of(io::stderr()).is_none_or(|(columns, rows)| columns > 0 && rows > 0)
}

/// True if colours and cursor movements may be sent to a terminal here; otherwise only plain text.
pub fn obeys_escapes() -> bool {
    dumb(|name| env::var(name).ok()).is_none() && is_utf8()
}

/// True if the locale's encoding is UTF-8.
pub fn is_utf8() -> bool {
    other_locale().is_none()
}

/// The environment setting that selects an encoding other than UTF-8, as `NAME=value`.
pub fn other_locale() -> Option<String> {
    other_encoding(|name| env::var(name).ok())
}

/// The window's columns and rows according to the kernel.
fn size_of(stream: impl AsFd) -> Option<(u16, u16)> {
    tcgetwinsize(stream).ok().map(|size| (size.ws_col, size.ws_row))
}

/// `$TERM`, if it names a terminal without the required capabilities.
fn dumb(value: impl Fn(&str) -> Option<String>) -> Option<String> {
    let term = value("TERM").unwrap_or_default();
    let is_dumb =
        DUMB.contains(&term.as_str()) || DUMB_FAMILIES.iter().any(|of| term.starts_with(of));
    is_dumb.then_some(term)
}

/// The setting that selects a locale other than UTF-8. The first non-empty variable counts (POSIX,
/// "Internationalization Variables"); without any, the locale is C, whose encoding is ASCII.
fn other_encoding(value: impl Fn(&str) -> Option<String>) -> Option<String> {
    let set = |name: &str| value(name).filter(|value| !value.is_empty());
    let found = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| Some((name, set(name)?)));
    let Some((name, locale)) = found else { return Some("LANG is not set".to_owned()) };
    let lower = locale.to_ascii_lowercase();
    let is_utf8 = lower.contains("utf-8") || lower.contains("utf8");
    (!is_utf8).then(|| format!("{name}='{locale}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoding(pairs: &[(&str, &str)]) -> Option<String> {
        other_encoding(|name| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_first_variable_that_is_set_decides_the_encoding() {
        for utf8 in ["C.UTF-8", "en_US.utf8", "de_DE.UTF-8@euro", "UTF-8"] {
            assert_eq!(encoding(&[("LANG", utf8)]), None, "{utf8}");
            assert_eq!(encoding(&[("LANG", "C"), ("LC_ALL", ""), ("LC_CTYPE", utf8)]), None);
        }
        for other in ["C", "POSIX", "en_US.ISO-8859-1", "de_DE@euro", "ja_JP.eucJP"] {
            let found = encoding(&[("LANG", "C.UTF-8"), ("LC_ALL", other)]).unwrap();
            assert!(found.contains(other) && found.contains("LC_ALL"), "{found}");
        }
        assert!(encoding(&[]).is_some() && encoding(&[("LANG", "")]).is_some());
    }

    #[test]
    fn a_terminal_without_a_name_is_a_dumb_one() {
        let of = |term: Option<&str>| dumb(|_| term.map(str::to_owned));
        assert_eq!(of(Some("dumb")), Some("dumb".to_owned()));
        assert!(of(None).is_some() && of(Some("unknown")).is_some());
        for term in ["", "emacs", "network", "dumb-emacs-ansi", "vt52", "vt52-basic"] {
            assert!(of(Some(term)).is_some(), "{term}");
        }
        for term in ["xterm-256color", "linux", "vt100", "vt520", "eterm-color", "screen"] {
            assert!(of(Some(term)).is_none(), "{term}");
        }
    }
}
