//! What campaigns share: tests with seeds that an environment variable makes larger.

/// A number of the environment.
pub fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
