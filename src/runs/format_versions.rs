//! Format versions of run directories and control sockets, so that mixed versions of mosaic fail with a clear
//! message.
//!
//! A version is raised only if an older reader would misread what a newer writer wrote; adding a field that may
//! be ignored does not raise it. A reader checks the version first and does not touch data of a version it does
//! not know.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// Version of `run.toml`. Version 2 has settings under new names.
pub const RUN_TOML_FORMAT: u32 = 2;
/// Version of `status.json` and `events.jsonl`.
pub const RUN_FORMAT: u32 = 1;
/// Version of requests to `control.sock`. Version 1 was bare commands, which scripts may still send.
pub const CONTROL_FORMAT: u32 = 2;

/// The data was written by a newer version of mosaic.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "written by a newer mosaic{} in format {found}; this one, {}, supports formats up to {known}: use the newer one",
    writer.as_ref().map_or(String::new(), |version| format!(" ({version})")),
    env!("CARGO_PKG_VERSION")
)]
pub struct NewerFormat {
    pub found: u32,
    pub known: u32,
    /// The version of mosaic that wrote it, if known.
    pub writer: Option<String>,
}

/// The fields common to all versions of what is written as JSON.
#[derive(Deserialize)]
struct Version {
    v: u32,
    version: Option<String>,
}

/// Parses what was written as JSON with its version; `None` if it is invalid.
///
/// # Errors
///
/// If its version is newer than `known`, so that its meaning must not be guessed.
pub fn parse<T: DeserializeOwned>(json: &[u8], known: u32) -> Result<Option<T>, NewerFormat> {
    if let Ok(Version { v, version }) = serde_json::from_slice(json) {
        check(v, known, version.as_deref())?;
    }
    Ok(serde_json::from_slice(json).ok())
}

/// Compares the version `found` in a file with `known`, the newest one supported.
///
/// # Errors
///
/// Returns an error if version `found` is newer than `known`.
pub fn check(found: u32, known: u32, writer: Option<&str>) -> Result<(), NewerFormat> {
    if found <= known {
        return Ok(());
    }
    Err(NewerFormat { found, known, writer: writer.map(str::to_owned) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_format_is_refused_with_both_versions() {
        assert_eq!(check(RUN_FORMAT, RUN_FORMAT, None), Ok(()));
        let words = check(9, 1, Some("7.1.0")).unwrap_err().to_string();
        assert!(words.contains("mosaic (7.1.0)") && words.contains("format 9"), "{words}");
        assert!(words.contains(env!("CARGO_PKG_VERSION")) && words.contains("up to 1"), "{words}");
    }
}
