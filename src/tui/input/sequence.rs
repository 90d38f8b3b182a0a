//! Parses the first item of a terminal's bytes: a key, a paste, a mouse event, or a report.
//!
//! ECMA-48: a control sequence is `ESC [`, parameters `0-9:;<=>?`, intermediates (blank to `/`) and one final byte; a
//! control string is `ESC ]` (OSC), `ESC P` (DCS), `ESC _` (APC), `ESC ^` (PM) or `ESC X` (SOS), then text, then `ESC \`
//! or, from most terminals, BEL. Introducers may also be one byte of 0x80 to 0x9f, which starts no UTF-8 character, or that
//! code point in UTF-8. The meaning of final bytes is from xterm's `ctlseqs`.

use ratatui::crossterm::event::{
    KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};

const ESC: u8 = 0x1b;
const BEL: u8 = 0x07;
/// Ends every string: no terminal sends it within one.
const CTRL_C: u8 = 0x03;
/// CAN and SUB end a sequence or string without effect.
const CANCEL: [u8; 2] = [0x18, 0x1a];
const PASTE_END: &[u8] = b"\x1b[201~";
/// Longest sequence and string; anything longer is noise.
const SEQUENCE_MAX: usize = 256;
const STRING_MAX: usize = 1 << 20;

/// An input from the terminal.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    Key(KeyEvent),
    Mouse(MouseEvent),
    Pasted(String),
    /// A report of the terminal, from introducer to end.
    Report(Vec<u8>),
}

/// The first item of the bytes.
#[derive(Clone, Debug, PartialEq)]
pub enum First {
    /// More bytes are needed.
    Incomplete,
    /// An item of this many bytes; `None` if it has no meaning here.
    Taken(usize, Option<Input>),
}

use First::{Incomplete, Taken};

/// Parses the first item.
pub fn first(bytes: &[u8]) -> First {
    match bytes {
        [] => Incomplete,
        [ESC, rest @ ..] => escape(bytes, rest),
        [0x9b, ..] => control_sequence(bytes, 1),
        [0x90 | 0x98 | 0x9d..=0x9f, ..] => string(bytes, 1),
        [0x8f, ..] => single_shift(bytes, 1),
        [0xc2, 0x9b, ..] => control_sequence(bytes, 2),
        [0xc2, 0x90 | 0x98 | 0x9d..=0x9f, ..] => string(bytes, 2),
        [0xc2, 0x8f, ..] => single_shift(bytes, 2),
        [byte, ..] if byte.is_ascii() => Taken(1, ascii(*byte).map(Input::Key)),
        _ => character(bytes),
    }
}

fn escape(bytes: &[u8], rest: &[u8]) -> First {
    match rest {
        [] => Incomplete,
        [b'[', ..] => control_sequence(bytes, 2),
        [b']' | b'P' | b'_' | b'^' | b'X', ..] => string(bytes, 2),
        [b'O', ..] => single_shift(bytes, 2),
        // The end of a string whose beginning was lost.
        [b'\\', ..] => Taken(2, None),
        [ESC, ..] => Taken(1, Some(key(KeyCode::Esc))),
        // A key with Alt.
        _ => match first(rest) {
            Taken(n, Some(Input::Key(mut key))) => {
                key.modifiers |= KeyModifiers::ALT;
                Taken(n + 1, Some(Input::Key(key)))
            }
            Taken(n, _) => Taken(n + 1, None),
            Incomplete => Incomplete,
        },
    }
}

fn key(code: KeyCode) -> Input {
    Input::Key(KeyEvent::from(code))
}

/// The key of a byte below 0x80 other than ESC.
fn ascii(byte: u8) -> Option<KeyEvent> {
    let with = |letter, modifiers| Some(KeyEvent::new(KeyCode::Char(letter), modifiers));
    match byte {
        b'\r' => Some(KeyCode::Enter.into()),
        b'\t' => Some(KeyCode::Tab.into()),
        0x7f => Some(KeyCode::Backspace.into()),
        0 => with(' ', KeyModifiers::CONTROL),
        1..=0x1a => with(char::from(byte - 1 + b'a'), KeyModifiers::CONTROL),
        0x1c..=0x1f => with(char::from(byte - 0x1c + b'4'), KeyModifiers::CONTROL),
        b'A'..=b'Z' => with(char::from(byte), KeyModifiers::SHIFT),
        b' '..=b'~' => with(char::from(byte), KeyModifiers::NONE),
        _ => None,
    }
}

/// A character of several bytes, in UTF-8.
fn character(bytes: &[u8]) -> First {
    let length = match bytes[0] {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return Taken(1, None),
    };
    let there = &bytes[..length.min(bytes.len())];
    match std::str::from_utf8(there) {
        Ok(text) => {
            let letter = text.chars().next().filter(|letter| !letter.is_control());
            let shift = |letter: char| match letter.is_uppercase() {
                true => KeyModifiers::SHIFT,
                false => KeyModifiers::NONE,
            };
            let key = letter.map(|letter| KeyEvent::new(KeyCode::Char(letter), shift(letter)));
            Taken(length, key.map(Input::Key))
        }
        Err(error) if error.error_len().is_none() => Incomplete,
        Err(_) => Taken(1, None),
    }
}

/// `ESC O` and a letter: arrows and others in application mode, with parameters from old terminals.
fn single_shift(bytes: &[u8], start: usize) -> First {
    let n_digits =
        bytes[start..].iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b';')).count();
    let at = start + n_digits;
    let code = match bytes.get(at) {
        None if n_digits < 8 => return Incomplete,
        None => return Taken(at, None),
        Some(b'M') => Some(KeyCode::Enter),
        Some(byte @ b'@'..=b'~') => lettered(*byte),
        Some(_) => return Taken(at, None),
    };
    Taken(at + 1, code.map(key))
}

/// The key that a final letter names.
fn lettered(letter: u8) -> Option<KeyCode> {
    Some(match letter {
        b'A' => KeyCode::Up,
        b'B' => KeyCode::Down,
        b'C' => KeyCode::Right,
        b'D' => KeyCode::Left,
        b'H' => KeyCode::Home,
        b'F' => KeyCode::End,
        b'P'..=b'S' => KeyCode::F(1 + letter - b'P'),
        _ => return None,
    })
}

fn control_sequence(bytes: &[u8], start: usize) -> First {
    let body = &bytes[start..];
    let n_parameters = body.iter().take_while(|byte| matches!(byte, 0x30..=0x3f)).count();
    let n_between =
        body[n_parameters..].iter().take_while(|byte| matches!(byte, 0x20..=0x2f)).count();
    let end = n_parameters + n_between;
    let Some(&last) = body.get(end) else {
        return if end < SEQUENCE_MAX { Incomplete } else { Taken(bytes.len(), None) };
    };
    let n = start + end + 1;
    let (parameters, between) = (&body[..n_parameters], &body[n_parameters..end]);
    match last {
        // The Linux console's F1 to F5: one more letter.
        b'[' if end == 0 => match body.get(1) {
            Some(_) => Taken(n + 1, None),
            None => Incomplete,
        },
        // X10's mouse: three bytes that are not text.
        b'M' if end == 0 => match body.get(1..4) {
            Some(at) => {
                let [button, x, y] = [at[0], at[1], at[2]].map(|at| at.saturating_sub(32).into());
                Taken(n + 3, mouse(button, [x, y]))
            }
            None => Incomplete,
        },
        b'~' if parameters == b"200" && between.is_empty() => paste(bytes, n),
        0x40..=0x7e => {
            let meant = between.is_empty().then(|| meaning(parameters, last)).flatten();
            Taken(n, Some(meant.unwrap_or_else(|| Input::Report(bytes[..n].to_vec()))))
        }
        byte if CANCEL.contains(&byte) => Taken(n, None),
        // Another sequence or a key: this one was cut off.
        _ => Taken(n - 1, None),
    }
}

/// All bytes up to the end of a paste.
fn paste(bytes: &[u8], start: usize) -> First {
    let text = &bytes[start..];
    match text.windows(PASTE_END.len()).position(|window| window == PASTE_END) {
        Some(length) => {
            let pasted = String::from_utf8_lossy(&text[..length]).into_owned();
            Taken(start + length + PASTE_END.len(), Some(Input::Pasted(pasted)))
        }
        None => Incomplete,
    }
}

/// The key or mouse event of a complete control sequence without intermediates, if it is one.
fn meaning(parameters: &[u8], last: u8) -> Option<Input> {
    let text = std::str::from_utf8(parameters).ok()?;
    if let Some(text) = text.strip_prefix('<') {
        let numbers: Vec<u16> =
            text.split(';').map(|one| one.parse().ok()).collect::<Option<_>>()?;
        return match (&numbers[..], last) {
            (&[button, x, y], b'M') => mouse(button, [x, y]),
            _ => None,
        };
    }
    // `1;5` is a key's number and its modifiers; a colon separates further details of either.
    let field = |index: usize| text.split(';').nth(index).unwrap_or_default();
    let number = |field: &str| -> Option<u32> {
        match field.split(':').next() {
            None | Some("") => Some(1),
            Some(digits) => digits.parse().ok(),
        }
    };
    let modifiers = modifiers(number(field(1))?)?;
    // The third kind of event is the release of a key (kitty).
    if field(1).split(':').nth(1) == Some("3") || text.split(';').count() > 3 {
        return None;
    }
    let first = number(field(0))?;
    let code = match last {
        b'~' => numbered(first, text)?,
        b'u' if !text.is_empty() => unicode(first)?,
        b'Z' => return Some(Input::Key(KeyEvent::new(KeyCode::BackTab, KeyModifiers::SHIFT))),
        b'M' => {
            let numbers: Vec<u16> = text.split(';').filter_map(|one| one.parse().ok()).collect();
            let &[button, x, y] = &numbers[..] else { return None };
            return mouse(button.saturating_sub(32), [x, y]);
        }
        // `R` would be F3, but is the cursor report.
        _ if first != 1 || last == b'R' => return None,
        _ => lettered(last)?,
    };
    Some(Input::Key(KeyEvent::new(code, modifiers)))
}

/// xterm's number for modifiers: one more than the bits of shift, alt and control; other bits are ignored.
fn modifiers(number: u32) -> Option<KeyModifiers> {
    let bits = number.checked_sub(1)?;
    let with = |bit: u32, one: KeyModifiers| if bits & bit != 0 { one } else { KeyModifiers::NONE };
    Some(with(1, KeyModifiers::SHIFT) | with(2, KeyModifiers::ALT) | with(4, KeyModifiers::CONTROL))
}

/// The key of `number ~`.
fn numbered(number: u32, text: &str) -> Option<KeyCode> {
    Some(match number {
        1 | 7 => KeyCode::Home,
        2 => KeyCode::Insert,
        3 => KeyCode::Delete,
        4 | 8 => KeyCode::End,
        5 => KeyCode::PageUp,
        6 => KeyCode::PageDown,
        11..=15 => KeyCode::F(number as u8 - 10),
        17..=21 => KeyCode::F(number as u8 - 11),
        23 | 24 => KeyCode::F(number as u8 - 12),
        // xterm's modifyOtherKeys: the character is the third number.
        27 => return unicode(text.split(';').nth(2)?.parse().ok()?),
        _ => return None,
    })
}

/// The key of a code point, as in `number u`.
fn unicode(number: u32) -> Option<KeyCode> {
    Some(match number {
        27 => KeyCode::Esc,
        13 => KeyCode::Enter,
        9 => KeyCode::Tab,
        127 | 8 => KeyCode::Backspace,
        _ => KeyCode::Char(char::from_u32(number).filter(|letter| !letter.is_control())?),
    })
}

/// The mouse events that the dashboard uses: a press of the left button, a turn of the wheel. Columns and rows count from
/// one.
fn mouse(button: u16, [x, y]: [u16; 2]) -> Option<Input> {
    // Bits of shift, alt and control.
    let kind = match button & !0b1_1100 {
        0 => MouseEventKind::Down(MouseButton::Left),
        64 => MouseEventKind::ScrollUp,
        65 => MouseEventKind::ScrollDown,
        // Other buttons, movements, releases.
        _ => return None,
    };
    let (column, row) = (x.checked_sub(1)?, y.checked_sub(1)?);
    Some(Input::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }))
}

/// A control string. If it does not start like one of a terminal, it was a key with Alt.
fn string(bytes: &[u8], start: usize) -> First {
    let kind = match bytes[start - 1] {
        0x9d => b']',
        0x90 => b'P',
        other => other,
    };
    let report = |n: usize| Taken(n, Some(Input::Report(bytes[..n].to_vec())));
    for (at, &byte) in bytes.iter().enumerate().skip(start) {
        match byte {
            BEL => return report(at + 1),
            0x9c if start == 1 => return report(at + 1),
            // The same end in UTF-8.
            0xc2 if bytes.get(at + 1) == Some(&0x9c) => return report(at + 2),
            0xc2 if at + 1 == bytes.len() => return Incomplete,
            ESC => {
                return match bytes.get(at + 1) {
                    Some(b'\\') => report(at + 2),
                    // Another sequence, or the Esc key: this one was cut off.
                    Some(_) => Taken(at, None),
                    None => Incomplete,
                };
            }
            CTRL_C => return Taken(at, None),
            byte if CANCEL.contains(&byte) => return Taken(at + 1, None),
            byte if !may_stand(kind, &bytes[start..at], byte) => return Taken(at, None),
            _ => {}
        }
    }
    if bytes.len() < STRING_MAX { Incomplete } else { Taken(bytes.len(), None) }
}

/// Whether a string of this kind can start like this: OSC with a number or a letter, DCS with a parameter.
fn may_stand(kind: u8, before: &[u8], byte: u8) -> bool {
    match kind {
        b']' if before.is_empty() => byte.is_ascii_digit() || matches!(byte, b'l' | b'L' | b'I'),
        b']' if before.iter().all(u8::is_ascii_digit) => byte.is_ascii_digit() || byte == b';',
        b'P' if before.is_empty() => matches!(byte, b'0'..=b'9' | b':'..=b'?' | b' '..=b'/'),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(bytes: &[u8]) -> Option<(KeyCode, KeyModifiers)> {
        match first(bytes) {
            Taken(n, Some(Input::Key(key))) if n == bytes.len() => Some((key.code, key.modifiers)),
            _ => None,
        }
    }

    #[test]
    fn keys_are_what_line_editors_and_the_dashboard_know() {
        let plain = KeyModifiers::NONE;
        let (shift, alt, control) = (KeyModifiers::SHIFT, KeyModifiers::ALT, KeyModifiers::CONTROL);
        let cases: [(&[u8], KeyCode, KeyModifiers); 29] = [
            (b"q", KeyCode::Char('q'), plain),
            (b"X", KeyCode::Char('X'), shift),
            ("é".as_bytes(), KeyCode::Char('é'), plain),
            ("実".as_bytes(), KeyCode::Char('実'), plain),
            (b"\r", KeyCode::Enter, plain),
            (b"\t", KeyCode::Tab, plain),
            (b"\x7f", KeyCode::Backspace, plain),
            (b"\x03", KeyCode::Char('c'), control),
            (b"\x1a", KeyCode::Char('z'), control),
            (b"\0", KeyCode::Char(' '), control),
            (b"\x1bb", KeyCode::Char('b'), alt),
            (b"\x1b\x7f", KeyCode::Backspace, alt),
            (b"\x1b[A", KeyCode::Up, plain),
            (b"\x1bOB", KeyCode::Down, plain),
            (b"\x1b[1;5C", KeyCode::Right, control),
            (b"\x1b[1;3D", KeyCode::Left, alt),
            (b"\x1b[H", KeyCode::Home, plain),
            (b"\x1b[4~", KeyCode::End, plain),
            (b"\x1b[3~", KeyCode::Delete, plain),
            (b"\x1b[3;5~", KeyCode::Delete, control),
            (b"\x1b[5~", KeyCode::PageUp, plain),
            (b"\x1b[Z", KeyCode::BackTab, shift),
            (b"\x1bOP", KeyCode::F(1), plain),
            (b"\x1b[15~", KeyCode::F(5), plain),
            (b"\x1b[24~", KeyCode::F(12), plain),
            (b"\x1b[97;5u", KeyCode::Char('a'), control),
            (b"\x1b[27;5;13~", KeyCode::Enter, control),
            (b"\xc2\x9bA", KeyCode::Up, plain),
            (b"\xc2\x8fB", KeyCode::Down, plain),
        ];
        for (bytes, code, modifiers) in cases {
            assert_eq!(key(bytes), Some((code, modifiers)), "{bytes:?}");
            for end in 1..bytes.len() {
                // Cut anywhere, it is waited for.
                assert_eq!(first(&bytes[..end]), Incomplete, "{:?}", &bytes[..end]);
            }
        }
    }

    #[test]
    fn what_a_terminal_says_is_taken_whole_and_is_no_key() {
        for report in [
            &b"\x1b[?62;4;22c"[..],
            b"\x1b[>1;10;0c",
            b"\x1b[24;80R",
            b"\x1b[1;5R",
            b"\x1b[?1;5R",
            b"\x1b[0n",
            b"\x1b[4;600;800t",
            b"\x1b[?1u",
            b"\x1b[?2026;2$y",
            b"\x1b[I",
            b"\x1b]11;rgb:1e1e/1e1e/2e2e\x1b\\",
            b"\x1b]4;1;rgb:cd/0/0\x07",
            b"\x1b]lterminal\x1b\\",
            b"\x1b]52;c;cXVpdA==\x07",
            b"\x1bP>|xterm(388)\x1b\\",
            b"\x1bP1$r0m\x1b\\",
            b"\x1bP1+r544e\x1b\\",
            b"\x1bP!|00000000\x1b\\",
            b"\x1b_Gi=31;OK\x1b\\",
            b"\x1b^private\x1b\\",
            b"\x9b?62c",
            b"\x9d11;rgb:0/0/0\x9c",
            b"\xc2\x9b?62c",
            b"\xc2\x9d11;rgb:0/0/0\xc2\x9c",
            b"\xc2\x9d11;rgb:0/0/0\x07",
            b"\xc2\x9d11;rgb:0/0/0\x1b\\",
            b"\xc2\x90>|xterm(388)\xc2\x9c",
            b"\xc2\x9fGi=31;OK\xc2\x9c",
            b"\xc2\x98nqr\xc2\x9c",
            b"\xc2\x9enqr\xc2\x9c",
            b"\x1b]0;nqr\xc2\x9c",
        ] {
            let all = [report, b"q"].concat();
            assert_eq!(first(&all), Taken(report.len(), Some(Input::Report(report.to_vec()))));
            for end in 1..report.len() {
                assert_eq!(first(&report[..end]), Incomplete, "{:?}", &report[..end]);
            }
        }
    }

    #[test]
    fn what_was_cut_off_ends_where_the_next_thing_begins() {
        // An arrow, Ctrl-C and CAN get out of a string that never ends.
        assert_eq!(first(b"\x1b]11;rgb:\x1b[A"), Taken(9, None));
        assert_eq!(first(b"\x1b]11;rgb:\x03"), Taken(9, None));
        assert_eq!(first(b"\x1b]11;rgb:\x18"), Taken(10, None));
        assert_eq!(first(b"\x1b[?62\x1b[A"), Taken(5, None));
        // Alt and a key that begins a string, then others.
        assert_eq!(first(b"\x1b]j"), Taken(2, None));
        assert_eq!(first(b"\x1b]3j"), Taken(3, None));
        assert_eq!(first(b"\x1bPj"), Taken(2, None));
        assert_eq!(first(b"\xff"), Taken(1, None));
        assert_eq!(first("\u{85}".as_bytes()), Taken(2, None));
        assert_eq!(first("\u{9d}j".as_bytes()), Taken(2, None));
        assert_eq!(first(b"\x1b[[A"), Taken(4, None));
    }

    #[test]
    fn the_mouse_is_read_in_three_dialects() {
        let at = |bytes: &[u8]| match first(bytes) {
            Taken(n, Some(Input::Mouse(mouse))) if n == bytes.len() => {
                Some((mouse.kind, mouse.column, mouse.row))
            }
            _ => None,
        };
        let click = MouseEventKind::Down(MouseButton::Left);
        assert_eq!(at(b"\x1b[<0;10;5M"), Some((click, 9, 4)));
        assert_eq!(at(b"\x1b[<65;1;1M"), Some((MouseEventKind::ScrollDown, 0, 0)));
        assert_eq!(at(b"\x1b[32;10;5M"), Some((click, 9, 4)));
        assert_eq!(at(b"\x1b[M *%"), Some((click, 9, 4)));
        for nothing in [&b"\x1b[<0;10;5m"[..], b"\x1b[<35;1;1M", b"\x1b[<2;1;1M", b"\x1b[<0;0;1M"] {
            assert_eq!(at(nothing), None);
        }
    }

    #[test]
    fn a_paste_is_one_thing_whatever_it_holds() {
        let paste = b"\x1b[200~a\x1b[Ab\x1b]11;q\x07\r\x1b[201~";
        let text = "a\x1b[Ab\x1b]11;q\x07\r".to_owned();
        assert_eq!(first(paste), Taken(paste.len(), Some(Input::Pasted(text))));
        for end in 1..paste.len() {
            assert_eq!(first(&paste[..end]), Incomplete);
        }
    }
}
