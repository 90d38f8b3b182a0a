//! Noise seeds as users type them, on the command line (`--seeds 0..5`) and in the dashboard: one seed, or a range.

use std::ops::Range;

/// Most samples of one command.
const SAMPLES_MAX: u64 = 100_000;

/// Parses seeds as users type them: `8..12` (12 is not included) or `8`. The range may be empty.
///
/// # Errors
///
/// If the text has another form.
pub fn parse_range(text: &str) -> Result<Range<u64>, String> {
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let range = match text.split_once("..") {
        Some((first, end)) => {
            number(first).zip(number(end)).map(|(first, end)| first..end.max(first))
        }
        None => number(text).and_then(|seed| Some(seed..seed.checked_add(1)?)),
    };
    range.ok_or_else(|| format!("seeds '{text}': must be one such as 8, or a range such as 8..12"))
}

/// Parses the seeds of `--seeds`: `A..B`, or one seed.
///
/// # Errors
///
/// If the text has another form, or if it names no seeds or more than 100 000.
pub fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let seeds = parse_range(text)?;
    match seeds.end - seeds.start {
        0 => Err(format!("seeds '{text}': there are none; 0..4 are four")),
        n if n > SAMPLES_MAX => Err(format!("seeds '{text}': more than {SAMPLES_MAX}")),
        _ => Ok(seeds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_half_open_and_not_empty() {
        assert_eq!(parse_seeds("2..5"), Ok(2..5));
        assert_eq!(parse_seeds("3"), Ok(3..4));
        for wrong in ["5..5", "5..2", "a..b", "", "0..999999"] {
            assert!(parse_seeds(wrong).is_err(), "{wrong}");
        }
    }
}
