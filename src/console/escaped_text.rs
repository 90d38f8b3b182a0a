//! Escapes everything in a text that a terminal would interpret: control characters, escape sequences, writing
//! direction marks.
//!
//! Such a character is replaced by its JSON escape (`\u001b`, `\r`), so that it is visible and has no effect,
//! and JSON output stays the same JSON. Joiners and variation selectors are kept, because emoji and some
//! scripts need them.

use std::borrow::Cow;
use std::fmt::Write;

/// Escapes a text that must stay on one line: line breaks are escaped too, and a tab becomes a blank.
///
/// ```
/// assert_eq!(mosaic_lab::console::line("a\u{1b}]0;b\u{7}\r\n"), r"a\u001b]0;b\u0007\r\n");
/// ```
pub fn line(text: &str) -> Cow<'_, str> {
    cleaned(text, is_harmful, |letter, clean| match letter {
        '\t' => clean.push(' '),
        letter => escape(letter, clean),
    })
}

/// Escapes a text of any number of lines, keeping line feeds and tabs.
pub fn lines(text: &str) -> Cow<'_, str> {
    cleaned(text, |letter| is_harmful(letter) && !matches!(letter, '\n' | '\t'), escape)
}

/// [`lines`] for a terminal that shows only ASCII.
pub fn ascii_lines(text: &str) -> Cow<'_, str> {
    let is_kept = |letter: char| matches!(letter, '\n' | '\t' | ' '..='~');
    cleaned(
        text,
        |letter| !is_kept(letter),
        |letter, clean| match letter {
            '\u{b1}' => clean.push_str("+-"),
            letter => escape(letter, clean),
        },
    )
}

/// [`line()`] for a terminal that shows only ASCII.
pub fn ascii_line(text: &str) -> String {
    ascii_lines(&line(text)).into_owned()
}

/// The text with each character that `is_changed` replaced by what `put` appends for it.
fn cleaned(
    text: &str,
    is_changed: impl Fn(char) -> bool,
    put: impl Fn(char, &mut String),
) -> Cow<'_, str> {
    if !text.contains(&is_changed) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        if is_changed(letter) { put(letter, &mut clean) } else { clean.push(letter) }
    }
    Cow::Owned(clean)
}

/// True for control characters (C0, DEL, C1) and for invisible characters that reorder text, break lines or
/// hide text.
pub fn is_harmful(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{feff}'
        )
        || matches!(letter,
            '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Appends the JSON escape of a character.
fn escape(letter: char, clean: &mut String) {
    match letter {
        '\n' => clean.push_str("\\n"),
        '\r' => clean.push_str("\\r"),
        '\t' => clean.push_str("\\t"),
        letter => {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _ = write!(clean, "\\u{unit:04x}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_control_character_and_mark_of_direction_becomes_visible() {
        let controls = (0..0x20_u32).chain(0x7f..0xa0).filter_map(char::from_u32);
        let marks = "\u{202a}\u{202e}\u{2066}\u{2069}\u{200b}\u{200e}\u{feff}\u{2028}\u{e0041}";
        for letter in controls.chain(marks.chars()) {
            let text = format!("a{letter}b");
            assert!(!line(&text).chars().any(is_harmful), "{letter:?}");
            let kept = matches!(letter, '\n' | '\t');
            assert_eq!(lines(&text) == text, kept, "{letter:?}");
            assert!(ascii_lines(&text).is_ascii());
        }
        assert_eq!(line("a\tb"), "a b");
    }

    #[test]
    fn joined_letters_and_other_scripts_stay() {
        let text = "👨\u{200d}👩\u{200d}👧 実験 e\u{301} ❤\u{fe0f}";
        assert!(matches!(line(text), Cow::Borrowed(same) if same == text));
        assert!(matches!(lines(text), Cow::Borrowed(_)));
        assert_eq!(ascii_lines("0.5 ± 0.1 é"), "0.5 +- 0.1 \\u00e9");
    }

    #[test]
    fn json_means_the_same_after_it() {
        let value = serde_json::json!({ "a\u{9b}": "\u{1b}]0;x\u{7}\u{7f}\u{202e}\u{e0001}é\n" });
        let text = serde_json::to_string(&value).unwrap();
        for clean in [lines(&text), ascii_lines(&text)] {
            assert!(!clean.chars().any(is_harmful));
            assert_eq!(serde_json::from_str::<serde_json::Value>(&clean).unwrap(), value);
        }
    }
}
