//! Bytes of a terminal, as they come, to inputs: what [`super::sequence`] leaves open, time decides.
//!
//! The byte ESC is the Esc key, or the beginning of a sequence whose next byte is on its way. It is taken for the key when nothing followed for
//! [`ESC_WAIT`], longer before a terminal has answered anything. If what follows the key reads like the rest of a report all
//! the same, it is held until it is one, or is not: then those were keys.

use std::time::{Duration, Instant};

use ratatui::crossterm::event::KeyCode;

use super::sequence::{First, Input, first};

/// A sequence in pieces (ssh, a busy terminal) arrives within this; a finger does not notice it.
const ESC_WAIT: Duration = Duration::from_millis(250);
/// The same while an answer may still come.
const ESC_WAIT_UNANSWERED: Duration = Duration::from_secs(1);
/// How long after the Esc key the rest of a report is expected, and each piece of it.
const REST_WAIT: Duration = Duration::from_secs(1);
/// A sequence that has begun and has not gone on for so long was cut off.
const SEQUENCE_WAIT: Duration = Duration::from_secs(5);
/// A paste is never cut off by a slow link; a terminal that forgets its end must not lock the keyboard for ever.
const PASTE_WAIT: Duration = Duration::from_secs(60);
const PASTE_START: &[u8] = b"\x1b[200~";
const PASTE_END_BYTE: u8 = b'~';
const ESC: u8 = 0x1b;

/// Turns bytes into inputs; keeps what is not whole yet.
#[derive(Clone, Debug)]
pub struct Decoder {
    bytes: Vec<u8>,
    /// The first of them, ESC, was taken for a key before and stands here only to read the rest.
    is_rest: bool,
    /// When bytes came last.
    last: Instant,
    /// When ESC was taken for a key, if nothing came since.
    escaped: Option<Instant>,
    /// An answer to a question may still come.
    waits_for_answer: bool,
}

impl Decoder {
    pub fn new(now: Instant) -> Self {
        Self {
            bytes: Vec::new(),
            is_rest: false,
            last: now,
            escaped: None,
            waits_for_answer: false,
        }
    }

    /// The terminal is asked for its attributes (DA1) now, which it answers last.
    pub fn ask(&mut self) {
        self.waits_for_answer = true;
    }

    /// Whether the answer to that has not come yet.
    pub fn waits_for_answer(&self) -> bool {
        self.waits_for_answer
    }

    /// Takes bytes that came at `now`.
    pub fn take(&mut self, bytes: &[u8], now: Instant) -> Vec<Input> {
        let mut inputs = Vec::new();
        let silence = now.saturating_duration_since(self.last);
        self.last = now;
        let Some(&next) = bytes.first() else { return inputs };
        // An ESC held for a late answer, and a key after it.
        if self.bytes == [ESC] && silence >= ESC_WAIT && !begins_report(next) {
            self.bytes.clear();
            inputs.push(Input::Key(KeyCode::Esc.into()));
        }
        let escaped = self.escaped.take();
        let is_near = |at: Instant| now.saturating_duration_since(at) < REST_WAIT;
        if self.bytes.is_empty() && escaped.is_some_and(is_near) && begins_report(next) {
            self.bytes.push(ESC);
            self.is_rest = true;
        }
        // The end of a paste is looked for once, not at every piece.
        let is_whole = !self.bytes.starts_with(PASTE_START) || bytes.contains(&PASTE_END_BYTE);
        self.bytes.extend_from_slice(bytes);
        if is_whole {
            self.decode(&mut inputs);
        }
        inputs
    }

    fn decode(&mut self, inputs: &mut Vec<Input>) {
        let mut start = 0;
        while start < self.bytes.len() {
            match first(&self.bytes[start..]) {
                First::Incomplete => break,
                First::Taken(n, input) if !self.is_rest => {
                    start += n;
                    if let Some(Input::Report(report)) = &input {
                        self.waits_for_answer &= !is_attributes(report);
                    }
                    inputs.extend(input);
                }
                First::Taken(n, Some(Input::Report(report))) if is_said(&report) => {
                    self.is_rest = false;
                    self.waits_for_answer &= !is_attributes(&report);
                    start += n;
                }
                // It was typed.
                First::Taken(..) => {
                    self.is_rest = false;
                    start += 1;
                }
            }
        }
        self.bytes.drain(..start);
    }

    /// How long to wait for more bytes before [`Decoder::expire`] is due; for ever if nothing is held.
    pub fn patience(&self, now: Instant) -> Option<Duration> {
        let silence = now.saturating_duration_since(self.last);
        self.limit().map(|limit| limit.saturating_sub(silence))
    }

    fn limit(&self) -> Option<Duration> {
        match &self.bytes[..] {
            [] => None,
            [ESC] if self.waits_for_answer => Some(ESC_WAIT_UNANSWERED),
            [ESC] => Some(ESC_WAIT),
            bytes if self.is_rest && !is_nobodys_typing(bytes) => Some(REST_WAIT),
            bytes if bytes.starts_with(PASTE_START) => Some(PASTE_WAIT),
            _ => Some(SEQUENCE_WAIT),
        }
    }

    /// Nothing more came: decides what was held, if it was held long enough.
    pub fn expire(&mut self, now: Instant) -> Vec<Input> {
        let silence = now.saturating_duration_since(self.last);
        let mut inputs = Vec::new();
        if self.limit().is_none_or(|limit| silence < limit) {
            return inputs;
        }
        if self.bytes == [ESC] {
            self.bytes.clear();
            self.escaped = Some(now);
            inputs.push(Input::Key(KeyCode::Esc.into()));
        } else if self.is_rest && !is_nobodys_typing(&self.bytes) {
            self.is_rest = false;
            self.bytes.remove(0);
            self.decode(&mut inputs);
        } else if let Some(text) = self.bytes.strip_prefix(PASTE_START) {
            inputs.push(Input::Pasted(String::from_utf8_lossy(text).into_owned()));
            self.bytes.clear();
        } else {
            self.is_rest = false;
            self.bytes.clear();
        }
        inputs
    }
}

/// What follows ESC in a terminal's reports.
fn begins_report(byte: u8) -> bool {
    matches!(byte, b'[' | b']' | b'P' | b'_')
}

/// The answer to DA1, `ESC [ ? ... c`.
fn is_attributes(report: &[u8]) -> bool {
    report
        .strip_prefix(b"\x1b[?")
        .or(report.strip_prefix(b"\x9b?"))
        .is_some_and(|rest| rest.ends_with(b"c"))
}

/// Whether the beginning of a report, ESC first, is so long that nobody has typed it by chance.
fn is_nobodys_typing(bytes: &[u8]) -> bool {
    let is_numbered = |rest: &[u8]| {
        let n_digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        n_digits > 0 && rest.get(n_digits) == Some(&b';')
    };
    match bytes.get(1..) {
        Some([b'[', b'<'..=b'?', ..] | [b'P', _, ..] | [b'_', b'G', ..]) => true,
        Some([b'[' | b']', rest @ ..]) => is_numbered(rest),
        _ => false,
    }
}

/// Whether something that began with `ESC` after all is a terminal's and not typed by chance: a string, or a sequence with
/// a private mark, an intermediate or numbers and the end of a report.
fn is_said(report: &[u8]) -> bool {
    let Some(body) = report.strip_prefix(b"\x1b[") else { return true };
    let has_digit = body.iter().any(u8::is_ascii_digit);
    body.iter().any(|byte| matches!(byte, b'<'..=b'?' | b' '..=b'/'))
        || (has_digit && matches!(body.last(), Some(b'R' | b'n' | b't' | b'c' | b'x' | b'y')))
}

#[cfg(test)]
mod tests {
    use ratatui::crossterm::event::KeyEvent;

    use super::*;

    const ANSWER: &[u8] = b"\x1b]11;rgb:1e1e/1e1e/2e2e\x1b\\\x1b[?62;4;22c";

    /// A decoder and its clock.
    struct Line {
        decoder: Decoder,
        now: Instant,
    }

    impl Line {
        fn new(is_asked: bool) -> Self {
            let now = Instant::now();
            let mut decoder = Decoder::new(now);
            if is_asked {
                decoder.ask();
            }
            Self { decoder, now }
        }

        /// Bytes that come after a pause, in which what is due happens.
        fn after(&mut self, pause_ms: u64, bytes: &[u8]) -> Vec<Input> {
            let then = self.now + Duration::from_millis(pause_ms);
            let mut inputs = Vec::new();
            while let Some(patience) = self.decoder.patience(self.now)
                && self.now + patience <= then
            {
                self.now += patience;
                inputs.extend(self.decoder.expire(self.now));
            }
            self.now = then;
            inputs.extend(self.decoder.take(bytes, self.now));
            inputs
        }
    }

    fn keys(inputs: &[Input]) -> String {
        let key = |input: &Input| match input {
            Input::Key(KeyEvent { code: KeyCode::Char(letter), .. }) => letter.to_string(),
            Input::Key(KeyEvent { code, .. }) => format!("<{code}>"),
            _ => String::new(),
        };
        inputs.iter().map(key).collect()
    }

    #[test]
    fn an_answer_byte_by_byte_presses_no_key() {
        for (is_asked, pause_ms) in [(true, 900), (false, 200)] {
            let mut line = Line::new(is_asked);
            let mut found = String::new();
            for byte in ANSWER {
                found += &keys(&line.after(pause_ms, &[*byte]));
            }
            found += &keys(&line.after(10_000, b"q"));
            assert_eq!(found, "q", "asked: {is_asked}");
            assert!(!line.decoder.waits_for_answer());
        }
    }

    #[test]
    fn the_rest_of_an_answer_is_known_after_its_escape_was_taken_for_the_key() {
        let mut line = Line::new(false);
        let mut found = String::new();
        for byte in &ANSWER[..24] {
            found += &keys(&line.after(600, &[*byte]));
        }
        // Each of the two escapes has waited in vain.
        assert_eq!(found.replace("<Esc>", ""), "");
        assert_eq!(keys(&line.after(600, b"\\")), "");
        assert_eq!(keys(&line.after(600, b"q")), "q");
    }

    #[test]
    fn the_escape_key_acts_soon_and_what_is_typed_after_it_too() {
        let mut line = Line::new(false);
        assert_eq!(keys(&line.after(0, b"\x1b")), "");
        assert_eq!(line.decoder.patience(line.now), Some(ESC_WAIT));
        assert_eq!(keys(&line.after(300, b"q")), "<Esc>q");
        // Keys that could begin a report.
        line.after(0, b"\x1b");
        assert_eq!(keys(&line.after(400, b"]")), "<Esc>");
        assert_eq!(keys(&line.after(100, b"j")), "]j");
        line.after(0, b"\x1b");
        assert_eq!(keys(&line.after(400, b"[")), "<Esc>");
        assert_eq!(keys(&line.after(2000, b"3")), "[3");
        assert_eq!(keys(&line.after(0, b"[j]")), "[j]");
        // While an answer may come it is held for longer, but not before another key.
        let mut line = Line::new(true);
        line.after(0, b"\x1b");
        assert_eq!(keys(&line.after(400, b"q")), "<Esc>q");
        line.after(0, b"\x1b");
        assert_eq!(keys(&line.after(1100, b"")), "<Esc>");
    }

    #[test]
    fn a_string_that_never_ends_does_not_lock_the_keyboard() {
        let mut line = Line::new(false);
        assert_eq!(keys(&line.after(0, b"\x1b]11;rgb:12")), "");
        assert_eq!(keys(&line.after(6000, b"q")), "q");
        line.after(0, b"\x1b]11;rgb:12");
        assert_eq!(keys(&line.after(0, b"\x1b[A")), "<Up>");
    }

    #[test]
    fn a_paste_in_pieces_is_one_and_none_of_it_a_key() {
        let mut line = Line::new(false);
        let mut inputs = Vec::new();
        for byte in b"\x1b[200~n\x1b[A\rq~\x1b[201~x" {
            inputs.extend(line.after(100, &[*byte]));
        }
        let pasted = Input::Pasted("n\x1b[A\rq~".to_owned());
        assert_eq!((&inputs[0], keys(&inputs[1..])), (&pasted, "x".to_owned()));
    }
}
