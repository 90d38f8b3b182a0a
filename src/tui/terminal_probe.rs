//! Queries the terminal for how it can show pictures, before the dashboard takes it over.
//!
//! Queries are written (kitty's graphics, name and version, background colour, size of a cell, then DA1, which nearly every
//! terminal answers and answers last), and answers are read for about a second. Only answers count: variables such as
//! `TERM_PROGRAM` are inherited through multiplexers and editors that show no pictures ([`super::multiplexer`]).
//! Only what is needed is queried.
//!
//! Keys that arrive meanwhile are dropped. The dashboard's input thread continues with the same [`Decoder`], so that a late
//! answer is not taken for keys. A command waits for late answers at its end ([`ProbedTerminal`]), so that they are not typed into
//! the shell.
//!
//! The bytes are only parsed here. [`Protocol::available`] decides what the answers allow.

use crate::config::lab_settings::ImageChoice;
use std::env;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use rustix::termios::{QueueSelector, tcflush};

use super::colour_theme::Background;
use super::input::decoder::Decoder;
use super::input::reader::read_inputs;
use super::input::sequence::Input;
use super::multiplexer::Multiplexer;
use super::pictures::protocol_choice::{Protocol, Reported};
use super::terminal::Raw;

const PATIENCE: Duration = Duration::from_millis(1000);
/// Longest time until a signal is handled.
const SLICE: Duration = Duration::from_millis(50);
/// Most bytes that are read: an answer is some 60 bytes.
const MOST_BYTES: usize = 16 * 1024;
const KITTY_QUERY: &[u8] = b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\";
/// XTVERSION, name and version: there is no query for iTerm2's pictures.
const VERSION_QUERY: &[u8] = b"\x1b[>0q";
/// OSC 11, the background colour.
const BACKGROUND_QUERY: &[u8] = b"\x1b]11;?\x1b\\";
/// XTWINOPS 16, the pixels of a cell: not every connection passes on what the system knows.
const CELL_QUERY: &[u8] = b"\x1b[16t";
const DEVICE_ATTRIBUTES_QUERY: &[u8] = b"\x1b[c";

/// The result of the queries, and the protocol chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    pub protocol: Protocol,
    /// The protocols that the `i` key cycles through, best first; the last are always blocks and off.
    pub available: Vec<Protocol>,
    /// A warning, if the choice needs an explanation.
    pub note: Option<String>,
    pub answers: Answers,
}

/// The environment variables that tell terminals apart.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    pub multiplexer: Option<Multiplexer>,
    /// `COLORFGBG`, which some terminals set.
    pub colorfgbg: Option<String>,
}

impl Environment {
    /// Reads the variables through `lookup`, so that tests need not touch the real ones.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Self {
        Self {
            colorfgbg: lookup("COLORFGBG").filter(|value| !value.is_empty()),
            multiplexer: Multiplexer::of(lookup),
        }
    }

    /// The queries that are needed and safe here; none if no answer is needed. tmux takes an APC string for a window title,
    /// Emacs's terminal prints it, and GNU screen is sent no query that it does not know.
    fn questions(&self, wish: &Wish) -> Vec<&'static [u8]> {
        let needs_pictures = !matches!(wish.pictures, ImageChoice::Blocks | ImageChoice::Off);
        if !needs_pictures && !wish.background {
            return Vec::new();
        }
        let inside = self.multiplexer;
        let takes_strings = !matches!(
            inside,
            Some(Multiplexer::Screen | Multiplexer::Tmux | Multiplexer::Emacs | Multiplexer::Dvtm)
        );
        let is_screen = inside == Some(Multiplexer::Screen);
        let all = [
            (KITTY_QUERY, needs_pictures && takes_strings),
            (VERSION_QUERY, needs_pictures && takes_strings),
            (BACKGROUND_QUERY, wish.background && !is_screen),
            (CELL_QUERY, wish.cell && !is_screen),
            (DEVICE_ATTRIBUTES_QUERY, true),
        ];
        all.into_iter().filter(|(_, is_asked)| *is_asked).map(|(question, _)| question).collect()
    }
}

/// What a caller wants to know of the terminal.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    pub pictures: ImageChoice,
    pub background: bool,
    /// The size of a cell.
    pub cell: bool,
}

/// The terminal's answers, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    /// The pictures that the terminal itself reports.
    pub pictures: Reported,
    /// The background, if the terminal or `COLORFGBG` reports it.
    pub background: Option<Background>,
    /// Pixels of a cell, across and down, if the terminal reports them.
    pub cell: Option<(u32, u32)>,
    /// Whether DA1 was answered: no more answers will arrive.
    pub complete: bool,
}

/// Parses the answers in the bytes that arrived; anything else, such as keys, is skipped.
pub fn parse_answers(bytes: &[u8], environment: &Environment) -> Answers {
    let attributes = device_attributes(bytes);
    let has_sixel = |list: &[u8]| list.split(|&byte| byte == b';').skip(1).any(|one| one == b"4");
    let pictures = Reported {
        kitty: kitty_accepted(bytes),
        iterm: after_each(bytes, b"\x1bP>|").any(Reported::shows_iterm),
        sixel: attributes.is_some_and(has_sixel),
    };
    let said = environment.colorfgbg.as_deref().and_then(of_colorfgbg);
    let background = background(bytes).or(said);
    Answers { pictures, background, cell: cell(bytes), complete: attributes.is_some() }
}

/// The answer to XTWINOPS 16, `ESC [ 6 ; height ; width t`.
fn cell(bytes: &[u8]) -> Option<(u32, u32)> {
    after_each(bytes, b"\x1b[6;").find_map(|rest| {
        let end = rest.iter().position(|&byte| byte == b't')?;
        let (height, width) = std::str::from_utf8(&rest[..end]).ok()?.split_once(';')?;
        Some((width.parse().ok()?, height.parse().ok()?))
    })
}

/// The answer to OSC 11, `ESC ] 11 ; rgb:RRRR/GGGG/BBBB` with one to four digits a channel.
fn background(bytes: &[u8]) -> Option<Background> {
    after_each(bytes, b"\x1b]11;rgb:").find_map(|rest| {
        let end = rest.iter().position(|byte| matches!(byte, b'\x1b' | b'\x07'))?;
        let text = std::str::from_utf8(&rest[..end]).ok()?;
        let channel = |digits: &str| {
            let most = 16_u32.checked_pow(u32::try_from(digits.len()).ok()?)?.checked_sub(1)?;
            let value = u32::from_str_radix(digits, 16).ok()?;
            (most > 0).then(|| f64::from(value) / f64::from(most))
        };
        let channels: Vec<f64> = text.split('/').map(channel).collect::<Option<_>>()?;
        let &[red, green, blue] = &channels[..] else { return None };
        // Rec. 709 weights, without undoing gamma: only light or dark matters.
        let light = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
        Some(if light > 0.5 { Background::Light } else { Background::Dark })
    })
}

/// `FOREGROUND;BACKGROUND` as numbers of the 16 colours.
fn of_colorfgbg(text: &str) -> Option<Background> {
    match text.rsplit(';').next()?.parse().ok()? {
        7 | 15 => Some(Background::Light),
        0..=15 => Some(Background::Dark),
        _ => None,
    }
}

/// The parameters of the first `ESC [ ? Ps ; Ps ... c`.
fn device_attributes(bytes: &[u8]) -> Option<&[u8]> {
    after_each(bytes, b"\x1b[?").find_map(|rest| {
        let length = rest.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b';'))?;
        (rest[length] == b'c').then_some(&rest[..length])
    })
}

/// Whether the bytes contain `ESC _ G i=31 ; OK ESC \`.
fn kitty_accepted(bytes: &[u8]) -> bool {
    after_each(bytes, b"\x1b_G").any(|rest| {
        let end = rest.iter().position(|&byte| byte == b'\x1b').unwrap_or(rest.len());
        let reply = String::from_utf8_lossy(&rest[..end]);
        rest[end..].starts_with(b"\x1b\\")
            && reply.split_once(';').is_some_and(|(keys, message)| {
                message == "OK" && keys.split(',').any(|key| key == "i=31")
            })
    })
}

/// The bytes after each occurrence of `opening`.
fn after_each<'a>(bytes: &'a [u8], opening: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    (0..bytes.len()).filter_map(move |start| bytes[start..].strip_prefix(opening))
}

/// The answers, and the protocol that they allow for a setting.
fn choose(choice: ImageChoice, answers: Answers, environment: &Environment) -> Probe {
    let available = Protocol::available(answers.pictures, environment.multiplexer);
    let (protocol, note) = Protocol::choose(choice, &available, environment.multiplexer);
    Probe { protocol, available, note, answers }
}

/// Queries the terminal, for about a second at most. `decoder` keeps the beginning of an answer that is incomplete by then.
pub fn probe(wish: &Wish, raw: &mut Raw, decoder: &mut Decoder) -> Probe {
    let environment = Environment::read(|name| env::var(name).ok());
    let questions = environment.questions(wish);
    let bytes = match questions.is_empty() {
        true => Vec::new(),
        // A terminal that cannot be queried can show text.
        false => ask(&questions, raw, decoder).unwrap_or_default(),
    };
    choose(wish.pictures, parse_answers(&bytes, &environment), &environment)
}

/// A terminal that a command has queried. Dropping this waits a little for an answer that is missing, discards keys and
/// answers, and restores the settings.
#[derive(Debug)]
pub struct ProbedTerminal {
    raw: Option<(Raw, Decoder)>,
}

impl Drop for ProbedTerminal {
    fn drop(&mut self) {
        let Some((raw, decoder)) = &mut self.raw else { return };
        // Output is shown before the wait.
        let _ = io::stdout().flush();
        while is_answer_expected(decoder) && raw.heed(|| {}).is_ok() {
            if read_inputs(decoder, Some(SLICE)).is_err() {
                break;
            }
        }
        // Still without echo. Nothing can be done about a terminal that is gone.
        let _ = tcflush(io::stdin(), QueueSelector::IFlush);
    }
}

/// [`probe`] for a command, which drops [`ProbedTerminal`] when its output is written.
pub fn probe_once(wish: &Wish) -> (Probe, ProbedTerminal) {
    let environment = Environment::read(|name| env::var(name).ok());
    let is_asked = !environment.questions(wish).is_empty();
    let Some(mut raw) = is_asked.then(Raw::enter).and_then(Result::ok) else {
        let unasked = parse_answers(b"", &environment);
        return (choose(wish.pictures, unasked, &environment), ProbedTerminal { raw: None });
    };
    let mut decoder = Decoder::new(Instant::now());
    let found = probe(wish, &mut raw, &mut decoder);
    // If this fails, lines look worse and nothing else happens.
    let _ = raw.write_lines();
    (found, ProbedTerminal { raw: Some((raw, decoder)) })
}

/// Writes the queries and collects reports until DA1 is answered or time is up.
fn ask(questions: &[&[u8]], raw: &mut Raw, decoder: &mut Decoder) -> io::Result<Vec<u8>> {
    let mut out = io::stdout();
    questions.iter().try_for_each(|question| out.write_all(question))?;
    out.flush()?;
    let asked = Instant::now();
    decoder.ask(asked);
    let mut said = Vec::new();
    while decoder.waits_for_answer() && said.len() < MOST_BYTES {
        raw.heed(|| settle(decoder))?;
        let left = PATIENCE.saturating_sub(asked.elapsed());
        if left.is_zero() {
            break;
        }
        for input in read_inputs(decoder, Some(left.min(SLICE)))? {
            if let Input::Report(report) = input {
                said.extend_from_slice(&report);
            }
        }
    }
    Ok(said)
}

fn is_answer_expected(decoder: &Decoder) -> bool {
    decoder.answer_expected_until().is_some_and(|until| Instant::now() < until)
}

/// Drops reports until the terminal has answered or will not answer.
fn settle(decoder: &mut Decoder) {
    while is_answer_expected(decoder) && read_inputs(decoder, Some(SLICE)).is_ok() {}
}

#[cfg(test)]
mod tests {
    use super::super::pictures::protocol_choice::Protocol::{Blocks, Iterm, Kitty, Off, Sixel};
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        Environment::read(|name| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    fn parsed(bytes: &[u8], pairs: &[(&str, &str)]) -> Answers {
        parse_answers(bytes, &environment(pairs))
    }

    fn available(bytes: &[u8], pairs: &[(&str, &str)]) -> Vec<Protocol> {
        let multiplexer = environment(pairs).multiplexer;
        Protocol::available(parsed(bytes, pairs).pictures, multiplexer)
    }

    #[test]
    fn kitty_is_found_by_its_reply() {
        let reply = b"\x1b_Gi=31;OK\x1b\\\x1b[?62;c";
        let variables = [("TERM", "xterm-kitty")];
        assert_eq!(available(reply, &variables), [Kitty, Blocks, Off]);
        assert!(parsed(reply, &variables).complete);
    }

    #[test]
    fn the_background_is_what_the_terminal_says_or_else_the_environment() {
        let of = |bytes: &[u8], said: &str| parsed(bytes, &[("COLORFGBG", said)]).background;
        assert_eq!(of(b"\x1b]11;rgb:1e1e/1e1e/2e2e\x1b\\\x1b[?62c", ""), Some(Background::Dark));
        assert_eq!(of(b"\x1b]11;rgb:ff/f8/e0\x07\x1b[?62c", "15;0"), Some(Background::Light));
        assert_eq!(of(b"\x1b]11;rgb:f/f/f\x07", ""), Some(Background::Light));
        assert_eq!(of(b"\x1b[?62c", "0;15"), Some(Background::Light));
        assert_eq!(of(b"\x1b[?62c", "15;default;0"), Some(Background::Dark));
        for junk in [
            &b"\x1b]11;rgb:zz/00/00\x07"[..],
            b"\x1b]11;rgb:/0/0\x07",
            b"\x1b]11;rgb:1/2",
            b"\x1b]11;rgb:123456789/0/0\x07",
        ] {
            assert_eq!(of(junk, "default"), None);
        }
    }

    #[test]
    fn a_kitty_error_is_not_support() {
        let reply = b"\x1b_Gi=31;ENOTSUPPORTED\x1b\\\x1b[?62;22c";
        assert_eq!(available(reply, &[]), [Blocks, Off]);
    }

    #[test]
    fn sixel_is_attribute_four_and_nothing_that_contains_a_four() {
        assert_eq!(available(b"\x1b[?62;4;22c", &[]), [Sixel, Blocks, Off]);
        assert_eq!(available(b"\x1b[?1;2;4c", &[]), [Sixel, Blocks, Off]);
        assert_eq!(available(b"\x1b[?64;1;14;44c", &[]), [Blocks, Off]);
        // The first parameter is the terminal's class (4: a VT132), not an ability.
        assert_eq!(available(b"\x1b[?4;6c", &[]), [Blocks, Off]);
    }

    #[test]
    fn a_mute_terminal_gets_blocks_and_is_never_complete() {
        let pictures = Reported::default();
        assert_eq!(
            parsed(b"", &[]),
            Answers { pictures, background: None, cell: None, complete: false }
        );
        assert_eq!(available(b"", &[]), [Blocks, Off]);
    }

    #[test]
    fn keys_typed_ahead_neither_hide_nor_fake_an_answer() {
        let mixed = b"qc4\x1b[A\x1b_Gi=31;OK\x1b\\jjc\x1b[?62;4cx\x1b";
        assert_eq!(available(mixed, &[]), [Kitty, Sixel, Blocks, Off]);
        assert!(!parsed(b"ccc\x1b[?62;4", &[]).complete);
        assert!(!parsed(b"\x1b[?1h;4c", &[]).complete);
    }

    #[test]
    fn iterms_pictures_are_offered_where_the_terminal_names_itself_and_no_variable_counts() {
        for name in ["iTerm2 3.5.4", "WezTerm 20240203-110809-5046fc22", "mintty 3.7.1"] {
            let said = format!("\x1bP>|{name}\x1b\\\x1b[?62;4c");
            assert_eq!(available(said.as_bytes(), &[]), [Iterm, Sixel, Blocks, Off]);
            let tmux = available(said.as_bytes(), &[("TMUX", "socket")]);
            assert_eq!(tmux, [Sixel, Blocks, Off]);
        }
        for pair in
            [("TERM_PROGRAM", "iTerm.app"), ("TERM_PROGRAM", "WezTerm"), ("LC_TERMINAL", "iTerm2")]
        {
            assert_eq!(available(b"\x1b[?62;4c", &[pair]), [Sixel, Blocks, Off]);
            let zellij = b"\x1bP>|Zellij(4201)\x1b\\\x1b[?62c";
            assert_eq!(available(zellij, &[pair]), [Blocks, Off]);
        }
    }

    #[test]
    fn multiplexers_offer_only_sixel_and_blocks() {
        let reply = b"\x1b_Gi=31;OK\x1b\\\x1b[?1;2;4c";
        for pair in [
            ("TMUX", "socket,1,0"),
            ("STY", "1.pts"),
            ("TERM", "screen-256color"),
            ("TERM", "tmux"),
        ] {
            let found = available(reply, &[pair, ("LC_TERMINAL", "iTerm2")]);
            assert_eq!(found, [Sixel, Blocks, Off], "{pair:?}");
        }
        assert_eq!(available(b"\x1b[?1;2c", &[("TMUX", "x")]), [Blocks, Off]);
    }

    #[test]
    fn the_size_of_a_cell_is_read_where_it_is_said() {
        assert_eq!(parsed(b"j\x1b[6;14;7t\x1b[?62;4c", &[]).cell, Some((7, 14)));
        for reply in [&b"\x1b[6;14t"[..], b"\x1b[6;x;7t", b"\x1b[6;14;7", b"\x1b[4;14;7t"] {
            assert_eq!(parsed(reply, &[]).cell, None);
        }
    }

    #[test]
    fn only_what_is_needed_is_asked() {
        let n = |pictures, background, cell, pairs: &[(&str, &str)]| {
            environment(pairs).questions(&Wish { pictures, background, cell }).len()
        };
        assert_eq!(n(ImageChoice::Blocks, false, true, &[]), 0);
        assert_eq!(n(ImageChoice::Off, true, false, &[]), 2);
        assert_eq!(n(ImageChoice::Auto, false, false, &[]), 3);
        assert_eq!(n(ImageChoice::Auto, true, true, &[]), 5);
        assert_eq!(n(ImageChoice::Auto, true, true, &[("TMUX", "x")]), 3);
        assert_eq!(n(ImageChoice::Auto, true, true, &[("STY", "x")]), 1);
    }
}
