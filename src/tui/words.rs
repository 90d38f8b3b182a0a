//! States, numbers and durations as the dashboard writes them.

use crate::lab::run_dir::{Health, RunSummary};
use crate::lab::status::RunState;

pub fn state(state: RunState) -> &'static str {
    match state {
        RunState::Starting => "starting",
        RunState::Training => "training",
        RunState::Paused => "paused",
        RunState::Comparing => "comparing",
        RunState::Finished => "finished",
        RunState::Stopped => "stopped",
        RunState::Failed => "failed",
    }
}

/// A run's state in one word; a dead worker is *lost*, whatever it last said.
pub fn run_state(run: &RunSummary) -> &'static str {
    match (run.health, &run.status) {
        (Health::Lost, _) => "lost",
        (Health::Silent, _) => "silent",
        (_, Some(status)) => state(status.state),
        (_, None) => "launching",
    }
}

/// A mark that tells states apart without colour.
pub fn mark(run: &RunSummary) -> &'static str {
    match run_state(run) {
        "training" => "▶",
        "comparing" => "◆",
        "paused" => "‖",
        "finished" => "✓",
        "stopped" => "■",
        "failed" | "lost" => "✗",
        _ => "…",
    }
}

/// `m:ss` or `h:mm:ss`.
pub fn duration(seconds: f64) -> String {
    let seconds = seconds.max(0.0).round() as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// Bytes in the largest unit that leaves at least one: `812 MiB`, `12.3 GiB`.
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

/// Three significant digits, as an axis wants them.
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

/// At most `width` characters; what is cut is shown by an ellipsis.
pub fn clipped(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    if width == 0 { kept } else { kept + "…" }
}

/// At most `width` characters of a name whose end tells it from others: the middle is cut.
pub fn clipped_name(name: &str, width: usize) -> String {
    let n = name.chars().count();
    // Room for a run's suffix; less than that is no better than none.
    let end = 7.min(width / 2);
    if n <= width || end < 4 {
        return clipped(name, width);
    }
    let start: String = name.chars().take(width - end - 1).collect();
    let end: String = name.chars().skip(n - end).collect();
    format!("{start}…{end}")
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
    fn long_text_ends_in_an_ellipsis() {
        assert_eq!((clipped("abcdef", 4), clipped("abc", 4)), ("abc…".into(), "abc".into()));
        assert_eq!(clipped("abc", 0), "");
    }

    #[test]
    fn a_long_name_keeps_its_end() {
        assert_eq!(clipped_name("glyphs-attention-3lkaos", 18), "glyphs-att…-3lkaos");
        assert_eq!(clipped_name("short", 18), "short");
        assert_eq!(clipped_name("glyphs-attention-3lkaos", 6), "glyph…");
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
}
