//! What the terminal cannot do: show more than ASCII, move its cursor, show anything at all.
//!
//! Decided from the environment and the system's knowledge of the terminal's size; nothing is asked of the terminal.

use std::env;
use std::fmt::{self, Display};
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use rustix::termios::tcgetwinsize;

/// The smallest screen on which the dashboard's words can be read.
const SMALLEST: (u16, u16) = (10, 3);

/// Names of terminals that cannot move their cursor, or not as ECMA-48 has it (terminfo's database: types without `cup`, and VT52's own).
const DUMB: [&str; 15] = [
    "", "dumb", "unknown", "emacs", "network", "net", "ethernet", "dialup", "patch", "switch",
    "lpr", "printer", "glasstty", "vanilla", "vt52",
];
const DUMB_FAMILIES: [&str; 3] = ["dumb-", "vt52-", "tty"];

/// Why the dashboard or a picture cannot be shown, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lack {
    /// Input or output is a file or a pipe.
    NoTerminal,
    /// `$TERM`, which promises nothing.
    Dumb(String),
    /// The variable and value that choose an encoding other than UTF-8.
    NotUtf8(String),
    /// Columns and rows.
    TooSmall(u16, u16),
}

impl Display for Lack {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTerminal => write!(out, "input and output must be a terminal"),
            Self::Dumb(term) if term.is_empty() => {
                write!(
                    out,
                    "$TERM is not set, so the terminal's abilities are unknown (export TERM=xterm-256color if it can move its cursor)"
                )
            }
            Self::Dumb(term) => write!(
                out,
                "$TERM is '{term}': a terminal that cannot move its cursor (export TERM=xterm-256color if it can)"
            ),
            Self::NotUtf8(locale) => write!(
                out,
                "the locale ({locale}) is not a UTF-8 one (export LC_ALL=C.UTF-8 if the terminal shows UTF-8)"
            ),
            Self::TooSmall(columns, rows) => write!(
                out,
                "the terminal says that it has {columns}x{rows} characters (stty cols 80 rows 24 sets another size)"
            ),
        }
    }
}

/// What keeps the dashboard from being shown here, if anything.
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

/// Whether standard error is a terminal on which a line can be written over: a progress bar can be shown.
pub fn can_overwrite_lines() -> bool {
    io::stderr().is_terminal()
        && obeys_escapes()
        && size_of(io::stderr()).is_none_or(|(columns, rows)| columns > 0 && rows > 0)
}

/// Whether colours and moves of the cursor may be sent to a terminal here: words alone elsewhere.
pub fn obeys_escapes() -> bool {
    dumb(|name| env::var(name).ok()).is_none() && is_utf8()
}

/// Whether the locale's encoding is UTF-8.
pub fn is_utf8() -> bool {
    other_locale().is_none()
}

/// The setting that asks for another encoding than UTF-8, as people write it.
pub fn other_locale() -> Option<String> {
    other_encoding(|name| env::var(name).ok())
}

/// Columns and rows as the system knows them.
fn size_of(stream: impl AsFd) -> Option<(u16, u16)> {
    tcgetwinsize(stream).ok().map(|size| (size.ws_col, size.ws_row))
}

/// `$TERM`, if it promises nothing.
fn dumb(value: impl Fn(&str) -> Option<String>) -> Option<String> {
    let term = value("TERM").unwrap_or_default();
    let is_dumb =
        DUMB.contains(&term.as_str()) || DUMB_FAMILIES.iter().any(|of| term.starts_with(of));
    is_dumb.then_some(term)
}

/// The setting that makes the locale another than a UTF-8 one. The first of these that is not empty counts (POSIX, "Internationalization
/// Variables"); without any the locale is C, whose encoding is ASCII.
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
