//! Shared by campaigns: seeded tests whose size is set by an environment variable.

/// Reads a number from an environment variable.
pub fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
