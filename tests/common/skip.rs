//! Tests that cannot do their work on this computer say so where nobody can overlook it.

use std::io::{self, Write};

/// Reports a test, or a part of one, that was not done, past the capture of a test's output; `.ci/run` lists these lines.
pub fn skip(test: &str, reason: &str) {
    let _ = writeln!(io::stderr(), "SKIPPED {test}: {reason}");
}
