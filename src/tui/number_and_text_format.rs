//! Numbers, durations and names as the dashboard writes them.

use std::error::Error;

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use crate::console;

/// `m:ss` or `h:mm:ss`.
pub fn duration(seconds: f64) -> String {
    let seconds = seconds.max(0.0).round() as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// Bytes in the largest unit that is not larger: `812 MiB`, `12.3 GiB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && value < 100.0);
    format!("{value:.digits$} {}", UNITS[unit])
}

/// About three significant digits, for axes.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        "n/a".to_owned()
    } else if size != 0.0 && !(1e-3..1e5).contains(&size) {
        format!("{value:.1e}")
    } else if size < 1.0 {
        format!("{value:.3}")
    } else if size < 100.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.0}")
    }
}

/// Five significant digits, for readings; whole numbers have all their digits.
pub fn precise(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        "not finite".to_owned()
    } else if value == value.trunc() && size < 1e9 {
        format!("{value:.0}")
    } else if !(1e-3..1e5).contains(&size) {
        format!("{value:.4e}")
    } else {
        let digits = (4 - size.log10().floor() as i32).max(0) as usize;
        format!("{value:.digits$}")
    }
}

/// An error with its causes, in one line.
pub fn with_causes(error: impl Error + Send + Sync + 'static) -> String {
    format!("{:#}", anyhow::Error::new(error))
}

/// The columns that a text takes on the screen: two for many Asian characters and emoji, none for combining marks.
pub fn columns(text: &str) -> usize {
    console::line(text).width()
}

/// The text in at most `width` columns, cut between graphemes and then ended by an ellipsis.
pub fn clipped(text: &str, width: usize) -> String {
    let text = &*console::line(text);
    if text.width() <= width {
        return text.to_owned();
    }
    match width.checked_sub(1) {
        Some(room) => format!("{}…", start(text, room)),
        None => String::new(),
    }
}

/// The lines that a text takes when it is wrapped at `width` columns; only words that are wider are broken.
pub fn lines_of(text: &str, width: usize) -> usize {
    let width = width.max(1);
    let (mut lines, mut used) = (1, 0);
    for word in text.split(' ').map(UnicodeWidthStr::width) {
        let joined = used + usize::from(used > 0) + word;
        if joined <= width {
            used = joined;
            continue;
        }
        let further = word.div_ceil(width);
        lines += if used > 0 { further } else { further.saturating_sub(1) };
        used = word - width * further.saturating_sub(1);
    }
    lines
}

/// The end of a text in at most `width` columns, after an ellipsis if it is cut.
pub fn ending(text: &str, width: usize) -> String {
    let text = &*console::line(text);
    if text.width() <= width {
        return text.to_owned();
    }
    format!("…{}", end(text, width.saturating_sub(1)))
}

/// The first graphemes of a text that fit into `width` columns.
fn start(text: &str, width: usize) -> &str {
    &text[..fitting(text.graphemes(true), width)]
}

/// The last graphemes of a text that fit into `width` columns.
fn end(text: &str, width: usize) -> &str {
    &text[text.len() - fitting(text.graphemes(true).rev(), width)..]
}

/// Bytes of the graphemes that fit into `width` columns, up to the first that does not.
fn fitting<'a>(graphemes: impl Iterator<Item = &'a str>, width: usize) -> usize {
    let mut used = 0;
    let fits = |letter: &&str| {
        used += letter.width();
        used <= width
    };
    graphemes.take_while(fits).map(str::len).sum()
}

/// A name in at most `width` columns. Its middle is cut, because its end tells it from other names.
pub fn clipped_name(name: &str, width: usize) -> String {
    let name = &*console::line(name);
    // Its end says what tells it from others of its experiment: settings, and the time of launch.
    let room = (3 * width / 5).max(7.min(width / 2));
    if name.width() <= width || room < 4 {
        return clipped(name, width);
    }
    format!("{}…{}", start(name, width - room - 1), end(name, room))
}

/// The text filled with blanks to `width` columns, or clipped to them.
pub fn padded(text: &str, width: usize) -> String {
    let text = clipped(text, width);
    let blanks = width - text.width();
    text + &" ".repeat(blanks)
}

/// The text in lines of at most `width` columns, broken between words; a word that is longer is broken itself.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let mut word = word.to_owned();
        loop {
            let line = lines.last_mut().expect("there is a line from the start");
            let gap = usize::from(!line.is_empty());
            if columns(line) + gap + columns(&word) <= width {
                *line += &" "[..gap];
                *line += &word;
                break;
            }
            if !line.is_empty() {
                lines.push(String::new());
                continue;
            }
            // Longer than a line: as many letters as fit, and at least one.
            let least = word.graphemes(true).next().map_or(0, str::len);
            let end = start(&word, width).len().max(least);
            let rest = word.split_off(end);
            *line = word;
            if rest.is_empty() {
                break;
            }
            lines.push(String::new());
            word = rest;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [0.01234, 12.345, 1234.5, 1e-6].map(number),
            ["0.012", "12.35", "1234", "1.0e-6"]
        );
        assert_eq!(number(f64::NAN), "n/a");
    }

    #[test]
    fn readings_have_five_digits() {
        let found = [0.0123456, 12.34567, 99_999.9, 3e-7, 1500.0, -0.5].map(precise);
        assert_eq!(found, ["0.012346", "12.346", "100000", "3.0000e-7", "1500", "-0.50000"]);
        assert_eq!(precise(f64::NAN), "not finite");
    }

    #[test]
    fn long_text_ends_in_an_ellipsis() {
        assert_eq!((clipped("abcdef", 4), clipped("abc", 4)), ("abc…".into(), "abc".into()));
        assert_eq!(clipped("abc", 0), "");
    }

    #[test]
    fn a_long_name_keeps_its_end() {
        assert_eq!(clipped_name("glyphs-attention-3lkaos", 18), "glyphs-…ion-3lkaos");
        assert_eq!(clipped_name("short", 18), "short");
        assert_eq!(clipped_name("glyphs-attention-3lkaos", 6), "glyph…");
    }

    #[test]
    fn what_a_terminal_would_obey_has_the_width_it_is_shown_with() {
        assert_eq!(clipped("a\u{1b}]0;b", 20), "a\\u001b]0;b");
        assert_eq!(columns("\u{202e}"), 6);
        assert_eq!(padded("a\rb", 6), "a\\rb  ");
        assert_eq!(clipped_name("\u{1b}[2Jglyphs-3lkaos", 18), "\\u001b[…phs-3lkaos");
    }

    #[test]
    fn bytes_have_the_unit_that_suits_them() {
        let found = [0, 1023, 1 << 20, 12_300 << 20, 140 << 30].map(bytes);
        assert_eq!(found, ["0 B", "1023 B", "1.0 MiB", "12.0 GiB", "140 GiB"]);
    }

    #[test]
    fn durations_carry() {
        assert_eq!((duration(59.6), duration(3725.0)), ("1:00".into(), "1:02:05".into()));
    }

    #[test]
    fn lines_are_counted_as_words_fall() {
        let lines = [("", 5), ("one two", 7), ("one two", 6), ("a verylongword b", 6), ("ab", 0)];
        assert_eq!(lines.map(|(text, width)| lines_of(text, width)), [1, 1, 2, 4, 2]);
    }

    #[test]
    fn wide_letters_and_joined_ones_are_cut_whole() {
        let name = "実験🙂-3abcde";
        assert_eq!((columns(name), columns("e\u{301}")), (13, 1));
        for width in 0..14 {
            let ending = ending(name, width.max(1));
            assert!(columns(&ending) <= width.max(1), "{ending} in {width}");
            for text in [clipped(name, width), clipped_name(name, width)] {
                assert!(columns(&text) <= width, "{text} in {width}");
            }
            assert_eq!(columns(&padded(name, width)), width);
        }
        assert_eq!(clipped(name, 4), "実…");
        assert_eq!(ending("/data/images", 7), "…images");
        let family = "👨\u{200d}👩\u{200d}👧 run";
        assert!(
            clipped(family, 3).starts_with("👨\u{200d}👩\u{200d}👧")
                || !clipped(family, 3).contains('👨')
        );
    }

    #[test]
    fn lines_are_broken_between_words_and_long_words_within() {
        assert_eq!(wrapped("one two  three", 7), ["one two", "three"]);
        assert_eq!(wrapped("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert_eq!(wrapped("", 5), [""]);
        assert_eq!(wrapped("\u{4e16}\u{754c} a", 1), ["\u{4e16}", "\u{754c}", "a"]);
        assert_eq!(wrapped("a b", 0), ["a", "b"]);
    }
}
