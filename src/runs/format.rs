//! Versions of what run directories and control sockets speak, so that old and new binaries meet with a clear word.
//!
//! Raised only when an older reader would misread what a newer one writes; a new field that may be passed over is no
//! reason. A reader looks at the version before anything else, and leaves alone what it does not know.

use thiserror::Error;

/// Of `run.toml`, `status.json` and `events.jsonl`.
pub const RUN_FORMAT: u32 = 1;
/// Of requests to `control.sock`. Version 1 were bare commands, as a script may still send them.
pub const CONTROL_FORMAT: u32 = 2;

/// What another version of mosaic wrote.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "written by a newer mosaic{} in format {found}; this one, {}, supports formats up to {known}: use the newer one",
    of(writer),
    env!("CARGO_PKG_VERSION")
)]
pub struct NewerFormat {
    pub found: u32,
    pub known: u32,
    /// The version of mosaic that wrote it, where it is said.
    pub writer: Option<String>,
}

fn of(writer: &Option<String>) -> String {
    writer.as_ref().map_or(String::new(), |version| format!(" ({version})"))
}

/// Refuses a version above the one that is known.
pub fn check(found: u32, known: u32, writer: Option<&str>) -> Result<(), NewerFormat> {
    match found <= known {
        true => Ok(()),
        false => Err(NewerFormat { found, known, writer: writer.map(str::to_owned) }),
    }
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
