//! Decodes the terminal's bytes into inputs, with timeouts where [`super::sequence`] alone cannot decide.
//!
//! The byte ESC is the Esc key, or the start of a sequence whose next byte has not arrived. It is taken for the key if
//! nothing follows within `ESC_WAIT`, or longer just after a query. If the bytes after that key look like the rest of a
//! report, they are held until they are one or cannot be one; in the second case they are keys.
//!
//! ```text
//! queried, not answered        the rest may follow its ESC after any time; a report that has begun is never dropped
//! talking (see `is_talking`)   the same, and possible reports are waited for longer
//! neither                      the rest follows within REST_WAIT, or was typed
//! ```

use std::time::{Duration, Instant};

use ratatui::crossterm::event::KeyCode;

use super::sequence::{First, Input, first};

/// A sequence in pieces (ssh, a busy terminal) arrives within this time; a user does not notice the delay.
const ESC_WAIT: Duration = Duration::from_millis(250);
/// The same while an answer may still arrive.
const ESC_WAIT_UNANSWERED: Duration = Duration::from_secs(1);
/// A terminal that has not answered within this time will not answer: neither the Esc key nor leaving waits any longer.
const UNANSWERABLE: Duration = Duration::from_secs(4);
/// How long after a query, and after any piece of a report, more pieces are likely.
const TALK: Duration = Duration::from_secs(10);
/// How long after the Esc key, and after each piece, the rest of a report may follow.
const REST_WAIT: Duration = Duration::from_secs(1);
/// The same for a terminal that is talking.
const REST_WAIT_TALKING: Duration = Duration::from_secs(3);
/// A sequence that has not continued for this time was cut off.
const SEQUENCE_WAIT: Duration = Duration::from_secs(5);
/// Long enough for a paste over a slow link; a terminal that omits the end must not lock the keyboard for ever.
const PASTE_WAIT: Duration = Duration::from_secs(60);
const PASTE_START: &[u8] = b"\x1b[200~";
const PASTE_END_BYTE: u8 = b'~';
const ESC: u8 = 0x1b;
/// Answers whose beginning was lost, and the lost beginning. Nobody types these in one piece.
const TAILS: [(&[u8], &[u8]); 11] = [
    (b"]11;", b"\x1b"),
    (b"11;rgb", b"\x1b]"),
    (b"1;rgb", b"\x1b]1"),
    (b";rgb", b"\x1b]11"),
    (b"rgb:", b"\x1b]11;"),
    (b"rgba:", b"\x1b]11;"),
    (b"_Gi=31", b"\x1b"),
    (b"Gi=31", b"\x1b_"),
    (b"P>|", b"\x1b"),
    (b">|", b"\x1bP"),
    (b"[?6", b"\x1b"),
];
/// The same for short answers, which are recognised only when complete.
const SHORT_TAILS: [&[u8]; 2] = [b"\x1b", b"\x1b["];

/// Decodes bytes into inputs, and keeps incomplete sequences.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    /// Whether the first byte, ESC, was already taken for a key, and is kept only to recognise the rest.
    is_rest: bool,
    /// When bytes arrived last.
    last: Option<Instant>,
    /// When ESC was taken for a key, if nothing has arrived since.
    escaped: Option<Instant>,
    /// When the terminal was queried.
    asked: Option<Instant>,
    /// Whether an answer to that may still arrive.
    waits_for_answer: bool,
    /// When a report, or a piece of one, arrived last.
    said: Option<Instant>,
}

impl Decoder {
    pub fn new(now: Instant) -> Self {
        Self { last: Some(now), ..Self::default() }
    }

    /// How long no bytes have arrived.
    fn silence(&self, now: Instant) -> Duration {
        self.last.map_or(Duration::ZERO, |last| now.saturating_duration_since(last))
    }

    /// Notes that the terminal was queried, last for its attributes (DA1).
    pub fn ask(&mut self, now: Instant) {
        self.asked = Some(now);
        self.waits_for_answer = true;
    }

    /// Whether the answer to that has not arrived yet.
    pub fn waits_for_answer(&self) -> bool {
        self.waits_for_answer
    }

    /// Until when an answer may arrive that no other program should read; `None` if none is expected.
    pub fn answer_expected_until(&self) -> Option<Instant> {
        let asked = self.asked.filter(|_| self.waits_for_answer)?;
        Some(self.said.map_or(asked, |said| said.max(asked)) + UNANSWERABLE)
    }

    /// Whether the terminal was just queried, or has just sent a report or a piece of one.
    fn is_talking(&self, now: Instant) -> bool {
        let is_near = |at: Instant| now.saturating_duration_since(at) < TALK;
        self.asked.is_some() && self.asked.max(self.said).is_some_and(is_near)
    }

    /// Whether a report is expected, so that bytes like one were not typed.
    fn expects(&self, now: Instant) -> bool {
        self.waits_for_answer || self.is_talking(now)
    }

    /// Decodes bytes that arrived at `now`.
    pub fn take(&mut self, bytes: &[u8], now: Instant) -> Vec<Input> {
        let mut inputs = Vec::new();
        let silence = self.silence(now);
        let expects = self.expects(now);
        self.last = Some(now);
        let Some(&next) = bytes.first() else { return inputs };
        // An ESC that was held for a late answer or for the end of one, and a key after it.
        let is_key = match &self.bytes[..] {
            [ESC] => !begins_report(next),
            [.., ESC] => next != b'\\' && !begins_report(next),
            _ => false,
        };
        if is_key && silence >= ESC_WAIT {
            self.forget();
            inputs.push(Input::Key(KeyCode::Esc.into()));
        }
        if silence >= SEQUENCE_WAIT && !may_go_on(&self.bytes, next) {
            self.forget();
        }
        let escaped = self.escaped.take();
        let is_near = |at: Instant| expects || now.saturating_duration_since(at) < REST_WAIT;
        if self.bytes.is_empty() {
            let lost: &[u8] = match escaped.is_some_and(is_near) && begins_report(next) {
                true => &[ESC],
                false if expects => lost_beginning(bytes),
                false => &[],
            };
            self.is_rest = !lost.is_empty();
            self.bytes.extend_from_slice(lost);
        }
        // The end of a paste is searched for once, not at every piece.
        let is_whole = !self.bytes.starts_with(PASTE_START) || bytes.contains(&PASTE_END_BYTE);
        self.bytes.extend_from_slice(bytes);
        if is_whole {
            self.decode(&mut inputs);
        }
        let is_report = |input: &Input| matches!(input, Input::Report(_));
        if is_nobodys_typing(&self.bytes) || inputs.iter().any(is_report) {
            self.said = Some(now);
        }
        inputs
    }

    fn forget(&mut self) {
        self.bytes.clear();
        self.is_rest = false;
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
                    inputs.push(Input::Report(report));
                }
                // A string that was cut off.
                First::Taken(n, None) if is_nobodys_typing(&self.bytes[start..start + n]) => {
                    self.is_rest = false;
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

    /// How long to wait for more bytes before [`Decoder::expire`] must be called; `None` if nothing is held.
    pub fn patience(&self, now: Instant) -> Option<Duration> {
        let silence = self.silence(now);
        self.limit(now).map(|limit| limit.saturating_sub(silence))
    }

    fn limit(&self, now: Instant) -> Option<Duration> {
        let is_open = self.answer_expected_until().is_some_and(|until| now < until);
        match &self.bytes[..] {
            [] => None,
            [ESC] if is_open => Some(ESC_WAIT_UNANSWERED),
            [ESC] => Some(ESC_WAIT),
            bytes if self.is_rest && !is_nobodys_typing(bytes) => {
                Some(if self.is_talking(now) { REST_WAIT_TALKING } else { REST_WAIT })
            }
            bytes if bytes.starts_with(PASTE_START) => Some(PASTE_WAIT),
            // The next byte decides.
            bytes if self.expects(now) && is_nobodys_typing(bytes) => None,
            _ => Some(SEQUENCE_WAIT),
        }
    }

    /// Decides about bytes that were held long enough without more of them.
    pub fn expire(&mut self, now: Instant) -> Vec<Input> {
        let silence = self.silence(now);
        let mut inputs = Vec::new();
        if self.limit(now).is_none_or(|limit| silence < limit) {
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
            self.forget();
        }
        inputs
    }
}

/// The bytes that follow ESC in reports.
fn begins_report(byte: u8) -> bool {
    matches!(byte, b'[' | b']' | b'P' | b'_' | b'^' | b'X')
}

/// The lost beginning, if these bytes can only be the rest of an answer.
fn lost_beginning(bytes: &[u8]) -> &'static [u8] {
    let known = TAILS.iter().find(|(tail, _)| bytes.starts_with(tail)).map(|(_, lost)| *lost);
    let is_short = |lost: &&&[u8]| {
        let whole = [lost, bytes].concat();
        let n = match first(&whole) {
            First::Taken(n, Some(Input::Report(_))) => n,
            _ => return false,
        };
        // The attributes, or the size of a cell.
        is_attributes(&whole[..n]) || (whole.starts_with(b"\x1b[6;") && whole[n - 1] == b't')
    };
    known.or_else(|| SHORT_TAILS.iter().find(is_short).copied()).unwrap_or_default()
}

/// The answer to DA1, `ESC [ ? ... c`.
fn is_attributes(report: &[u8]) -> bool {
    [&b"\x1b[?"[..], b"\x9b?", b"\xc2\x9b?"]
        .iter()
        .find_map(|introducer| report.strip_prefix(*introducer))
        .is_some_and(|rest| rest.ends_with(b"c"))
}

/// The kind of sequence or string that starts the bytes, as the letter after ESC, and the bytes after that.
fn introduced(bytes: &[u8]) -> Option<(u8, &[u8])> {
    match bytes {
        [ESC, kind, rest @ ..] if begins_report(*kind) => Some((*kind, rest)),
        [0xc2, kind @ 0x80..=0x9f, rest @ ..] | [kind @ 0x80..=0x9f, rest @ ..] => {
            Some((kind - 0x40, rest)).filter(|(kind, _)| begins_report(*kind))
        }
        _ => None,
    }
}

/// Whether the beginning of a report is too long to have been typed by chance.
fn is_nobodys_typing(bytes: &[u8]) -> bool {
    let is_numbered = |rest: &[u8]| {
        let n_digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        n_digits > 0 && rest.get(n_digits) == Some(&b';')
    };
    match introduced(bytes) {
        Some((b'[', [b'<'..=b'?', ..]) | (b'P', [_, ..]) | (b'_', [b'G', ..])) => true,
        Some((b'[' | b']', rest)) => is_numbered(rest),
        _ => false,
    }
}

/// Whether a byte that arrives long after the beginning of a report can belong to an answer to our queries, and is not a key.
fn may_go_on(bytes: &[u8], next: u8) -> bool {
    let is_end = matches!(next, 0x07 | ESC | 0x9c | 0xc2);
    match introduced(bytes) {
        Some((b'[', _)) => {
            matches!(next, b'0'..=b'9' | b';' | b'$' | b'c' | b't' | b'R' | b'n' | b'y' | b'u')
        }
        // A colour: rgb:, and hexadecimal digits.
        Some((b']', [b'1', b'0'..=b'2', b';', ..])) => {
            is_end || next.is_ascii_hexdigit() || b"rgb:/;?".contains(&next)
        }
        Some((b'_', [b'G', ..])) => is_end || next.is_ascii_graphic(),
        _ => true,
    }
}

/// Whether bytes that start with `ESC` come from a terminal and were not typed by chance: a string, or a sequence with a
/// private mark, an intermediate, or numbers and the final byte of a report.
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
                decoder.ask(now);
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

    /// The keys that pieces press, each after its pause.
    fn pressed(line: &mut Line, pieces: &[(u64, &[u8])]) -> String {
        pieces.iter().map(|&(pause_ms, bytes)| keys(&line.after(pause_ms, bytes))).collect()
    }

    #[test]
    fn an_answer_with_long_pauses_presses_no_key_but_escape() {
        let rest = b"]11;rgb:1e1e/1e1e/2e2e\x1b\\";
        let da1 = b"\x1b[?62;4;22c";
        let cases: [&[(u64, &[u8])]; 9] = [
            &[(0, b"\x1b"), (2100, rest), (0, da1)],
            &[(0, da1), (0, b"\x1b"), (1300, rest)],
            &[(0, b"\x1b]11;"), (6000, &rest[4..]), (0, da1)],
            &[(0, da1), (0, b"\x1b]11;"), (6000, &rest[4..])],
            &[(0, b"\x1b"), (60_000, rest), (0, da1)],
            &[(0, b"\x1b"), (2100, b"_Gi=31;OK\x1b\\"), (0, da1)],
            &[(0, b"\x1b"), (2100, b"P>|xterm nqr"), (6000, b"nqr\x1b\\"), (0, da1)],
            &[(0, b"\x1b"), (2100, b"^nqr\x1b\\\x1bXnqr\x1b\\"), (0, da1)],
            &[(0, b"\x1b"), (2100, b"[?62;"), (7000, b"22c")],
        ];
        for pieces in cases {
            let mut line = Line::new(true);
            let found = pressed(&mut line, pieces);
            assert_eq!(found.replace("<Esc>", ""), "", "{pieces:?}");
            assert!(!line.decoder.waits_for_answer(), "{pieces:?}");
            assert_eq!(keys(&line.after(300, b"q")), "q", "{pieces:?}");
        }
    }

    #[test]
    fn an_answer_byte_by_byte_and_slowly_presses_no_key_but_escape() {
        for answer in [ANSWER.to_vec(), [&ANSWER[25..], &ANSWER[..25]].concat()] {
            let mut line = Line::new(true);
            let found: String =
                answer.iter().map(|byte| keys(&line.after(1100, &[*byte]))).collect();
            assert_eq!(found.replace("<Esc>", ""), "");
            assert_eq!(keys(&line.after(300, b"q")), "q");
        }
    }

    #[test]
    fn the_rest_of_an_answer_whose_beginning_was_lost_presses_no_key() {
        for tail in [
            &b"]11;rgb:1e1e/1e1e/2e2e\x1b\\"[..],
            b"11;rgb:1e1e/1e1e/2e2e\x1b\\",
            b"1;rgb:1e1e/1e1e/2e2e\x07",
            b";rgb:1e1e/1e1e/2e2e\x07",
            b"rgb:1e1e/1e1e/2e2e\x07",
            b"Gi=31;OK\x1b\\",
            b">|xterm(388) nqr\x1b\\",
            b"[?62;4;22c",
            b"?62;4;22c",
            b"[6;14;7t",
            b"6;14;7t",
        ] {
            let mut line = Line::new(true);
            let found = pressed(&mut line, &[(2000, tail), (300, b"q")]);
            assert_eq!(found, "q", "{tail:?}");
            // In two pieces, if what nobody types comes first.
            let mut line = Line::new(true);
            if tail.len() > 12 {
                let found = pressed(&mut line, &[(2000, &tail[..8]), (2000, &tail[8..])]);
                assert_eq!(found, "", "{tail:?}");
            }
        }
        // What was never asked for may be typed.
        let mut line = Line::new(false);
        assert_eq!(keys(&line.after(0, b"?11;r")), "?11;r");
        let mut line = Line::new(true);
        assert_eq!(keys(&line.after(0, b"?13r]q")), "?13r]q");
    }

    #[test]
    fn a_terminal_that_never_answers_does_not_slow_the_escape_key_for_ever() {
        let mut line = Line::new(true);
        line.after(6000, b"\x1b");
        assert_eq!(line.decoder.patience(line.now), Some(ESC_WAIT));
        assert_eq!(keys(&line.after(250, b"")), "<Esc>");
        assert_eq!(line.decoder.answer_expected_until().map(|until| until < line.now), Some(true));
        // Nor do keys after it wait for long, and a string that nobody ends is left by the Esc key.
        assert_eq!(keys(&line.after(20_000, b"]")) + &keys(&line.after(1100, b"")), "]");
        assert_eq!(keys(&line.after(300, b"\x1bP>|name")), "");
        assert_eq!(keys(&line.after(300, b"\x1b")) + &keys(&line.after(400, b"q")), "<Esc>q");
    }

    #[test]
    fn a_key_that_cannot_be_more_of_an_answer_ends_it() {
        let mut line = Line::new(true);
        assert_eq!(pressed(&mut line, &[(0, b"\x1b]11;rgb:12"), (6000, b"q")]), "q");
        let mut line = Line::new(true);
        assert_eq!(pressed(&mut line, &[(0, b"\x1b[?62;"), (6000, b"q")]), "q");
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
