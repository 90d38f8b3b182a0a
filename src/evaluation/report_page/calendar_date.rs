//! The calendar date of a time, in UTC.

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// The date of a time in milliseconds since the Unix epoch, such as `2026-11-30` (Gregorian, UTC).
pub fn calendar_date(time_ms: u64) -> String {
    // Days are counted from 1 March of year 0, so that a leap day is the last of its year: Hinnant, "chrono-compatible
    // low-level date algorithms", civil_from_days.
    let days = time_ms / DAY_MS + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, date) in [
            (0, "1970-01-01"),
            (951_782_399, "2000-02-28"),
            (951_782_400, "2000-02-29"),
            (1_709_251_199, "2024-02-29"),
            (1_709_251_200, "2024-03-01"),
            (1_796_083_199, "2026-11-30"),
            (4_107_542_399, "2100-02-28"),
            (4_107_542_400, "2100-03-01"),
        ] {
            assert_eq!(calendar_date(seconds * 1000), date, "{seconds}");
        }
    }
}
