//! Numbers of `mosaic bench`, as arguments and as cells of its tables.

/// Parses a number of at least 1.
pub fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err(format!("'{text}' is no number of at least 1")),
    }
}

/// A peak of memory in megabytes, if it was measured.
pub fn megabytes(peak: Option<f64>) -> String {
    peak.map_or_else(|| "N/A".to_owned(), |mb| format!("{mb:.0}"))
}
