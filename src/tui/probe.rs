//! Which image protocol this terminal speaks, found out before anything else reads from it.
//!
//! We ask ourselves, because viuer's own detection hangs where a terminal never answers or another
//! thread polls for events. Two queries go out together: the kitty graphics query and DA1, which every
//! terminal answers and which therefore ends the wait; a mute one is given up after a second. Inside tmux
//! or screen, kitty and iTerm2 images get lost or smear, so only sixel and half-blocks are offered.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use ratatui::crossterm::terminal::{disable_raw_mode, enable_raw_mode};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// A way of showing a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Kitty,
    Iterm,
    Sixel,
    /// Half-block characters in two colours; works everywhere.
    Blocks,
    /// No pictures.
    Off,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    pub protocol: Protocol,
    /// What the `i` key cycles through.
    pub available: Vec<Protocol>,
    /// Something the user should know.
    pub note: Option<String>,
}

/// Answers and surroundings that decide.
#[derive(Clone, Debug, Default)]
struct Evidence {
    answers: Vec<u8>,
    /// `TERM_PROGRAM`, or `LC_TERMINAL`, which survives ssh.
    program: String,
    /// tmux or screen is in between.
    multiplexed: bool,
}

const QUERY: &[u8] = b"\x1b_Gi=4207,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[c";
const LIMIT: Duration = Duration::from_secs(1);
/// More than any terminal answers; someone pastes into us otherwise.
const ANSWER_BYTES_MAX: usize = 64 << 10;

impl Protocol {
    const ALL: [Self; 5] = [Self::Kitty, Self::Iterm, Self::Sixel, Self::Blocks, Self::Off];

    /// As lab.toml writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kitty => "kitty",
            Self::Iterm => "iterm",
            Self::Sixel => "sixel",
            Self::Blocks => "blocks",
            Self::Off => "off",
        }
    }

    /// The one after this in `available`, round and round.
    pub fn next(self, available: &[Self]) -> Self {
        let place = available.iter().position(|protocol| *protocol == self);
        let next = place.map_or(0, |place| place + 1);
        available.get(next % available.len().max(1)).copied().unwrap_or(self)
    }
}

/// Finds the protocol; `wanted` is lab.toml's `images`. Call it before any other thread reads keys.
pub fn probe(wanted: &str) -> Probe {
    let named = Protocol::ALL.into_iter().find(|protocol| protocol.name() == wanted);
    // Half-blocks and nothing need no answers, so nobody waits for a mute terminal in vain.
    let asked = !matches!(named, Some(Protocol::Blocks | Protocol::Off));
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let term = variable("TERM");
    let multiplexed = !variable("TMUX").is_empty()
        || !variable("STY").is_empty()
        || term.starts_with("screen")
        || term.starts_with("tmux");
    let program = [variable("TERM_PROGRAM"), variable("LC_TERMINAL")].join(" ");
    // A terminal that cannot be asked is one that shows half-blocks.
    let answers = if asked { ask().unwrap_or_default() } else { Vec::new() };
    let found = decide(named, &Evidence { answers, program, multiplexed });
    settle(&found);
    found
}

/// Lets viuer find out now what it would otherwise ask in the middle of things; its answer is kept.
fn settle(found: &Probe) {
    if found.available.contains(&Protocol::Kitty) {
        viuer::get_kitty_support();
    }
    if found.available.contains(&Protocol::Sixel) {
        viuer::is_sixel_supported();
    }
}

fn decide(named: Option<Protocol>, evidence: &Evidence) -> Probe {
    let works = |protocol: &Protocol| match protocol {
        Protocol::Kitty => !evidence.multiplexed && has_kitty(&evidence.answers),
        Protocol::Iterm => {
            let knows = |name| evidence.program.contains(name);
            !evidence.multiplexed && (knows("iTerm") || knows("WezTerm"))
        }
        Protocol::Sixel => has_sixel(&evidence.answers),
        Protocol::Blocks | Protocol::Off => true,
    };
    let available: Vec<Protocol> = Protocol::ALL.into_iter().filter(works).collect();
    match named {
        Some(protocol) if !available.contains(&protocol) => Probe {
            protocol: Protocol::Blocks,
            note: Some(format!(
                "lab.toml asks for {} images, which this terminal does not show; using blocks",
                protocol.name()
            )),
            available,
        },
        Some(protocol) => Probe { protocol, available, note: None },
        // The best comes first, and half-blocks always work.
        None => Probe { protocol: available[0], available, note: None },
    }
}

/// A kitty terminal repeats our number and says OK.
fn has_kitty(answers: &[u8]) -> bool {
    find(answers, b"\x1b_Gi=4207;OK").is_some()
}

/// DA1 is `ESC [ ? a ; b ; ... c`; attribute 4 is sixel.
fn has_sixel(answers: &[u8]) -> bool {
    let Some(attributes) = device_attributes(answers) else { return false };
    attributes.split(|byte| *byte == b';').any(|attribute| attribute == b"4")
}

/// The attributes of a whole DA1 answer, wherever it stands among keys typed ahead.
fn device_attributes(answers: &[u8]) -> Option<&[u8]> {
    let start = find(answers, b"\x1b[?")? + 3;
    let length = answers[start..].iter().position(|byte| !matches!(byte, b'0'..=b'9' | b';'))?;
    (answers[start + length] == b'c').then(|| &answers[start..start + length])
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// Sends the queries and reads until DA1 is answered or time is up. Keys typed ahead are lost.
fn ask() -> std::io::Result<Vec<u8>> {
    let mut terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    enable_raw_mode()?;
    let answers = converse(&mut terminal);
    disable_raw_mode()?;
    answers
}

fn converse(terminal: &mut File) -> std::io::Result<Vec<u8>> {
    terminal.write_all(QUERY)?;
    let deadline = Instant::now() + LIMIT;
    let mut answers = Vec::new();
    while device_attributes(&answers).is_none() && answers.len() < ANSWER_BYTES_MAX {
        let left = deadline.saturating_duration_since(Instant::now());
        let wait = Timespec { tv_sec: 0, tv_nsec: i64::from(left.subsec_nanos()) };
        let mut ready = [PollFd::from_borrowed_fd(terminal.as_fd(), PollFlags::IN)];
        if left.is_zero() || poll(&mut ready, Some(&wait))? == 0 {
            break;
        }
        let mut bytes = [0; 1024];
        match terminal.read(&mut bytes)? {
            0 => break,
            n => answers.extend_from_slice(&bytes[..n]),
        }
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(answers: &[u8], program: &str, multiplexed: bool) -> Vec<Protocol> {
        let evidence = Evidence { answers: answers.to_vec(), program: program.into(), multiplexed };
        decide(None, &evidence).available
    }

    #[test]
    fn terminals_are_known_by_their_answers() {
        use Protocol::{Blocks, Iterm, Kitty, Off, Sixel};
        assert_eq!(found(b"\x1b_Gi=4207;OK\x1b\\\x1b[?62;c", "", false), [Kitty, Blocks, Off]);
        assert_eq!(found(b"\x1b[?63;1;2;4;6c", "", false), [Sixel, Blocks, Off]);
        assert_eq!(found(b"\x1b[?1;2c", "iTerm.app ", false), [Iterm, Blocks, Off]);
        assert_eq!(found(b"", "", false), [Blocks, Off], "a mute terminal");
    }

    #[test]
    fn multiplexers_pass_sixel_only() {
        use Protocol::{Blocks, Off, Sixel};
        let answers = b"\x1b_Gi=4207;OK\x1b\\\x1b[?62;4c";
        assert_eq!(found(answers, "iTerm.app", true), [Sixel, Blocks, Off]);
    }

    #[test]
    fn keys_typed_ahead_do_not_confuse() {
        assert!(has_sixel(b"qjj\x1b[A\x1b[?62;4cx"));
        assert!(!has_sixel(b"4;4\x1b[?62;14;40cx"), "14 and 40 are other attributes");
        assert_eq!(device_attributes(b"\x1b[?62;4"), None, "the answer is not whole yet");
    }

    #[test]
    fn a_wish_that_cannot_be_met_is_said() {
        let probe = decide(Some(Protocol::Kitty), &Evidence::default());
        assert_eq!(probe.protocol, Protocol::Blocks);
        assert!(probe.note.unwrap().contains("asks for kitty images"));
        assert_eq!(decide(Some(Protocol::Off), &Evidence::default()).protocol, Protocol::Off);
    }

    #[test]
    fn cycling_comes_round() {
        let all = [Protocol::Sixel, Protocol::Blocks, Protocol::Off];
        assert_eq!(Protocol::Sixel.next(&all), Protocol::Blocks);
        assert_eq!(Protocol::Off.next(&all), Protocol::Sixel);
    }
}
