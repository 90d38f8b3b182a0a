//! Makes skipped tests visible on computers that cannot run them.

use std::io::{self, Write};

/// Reports a test, or part of one, that was skipped, bypassing the capture of test output; `.ci/run` lists
/// these lines.
pub fn skip(test: &str, reason: &str) {
    let _ = writeln!(io::stderr(), "SKIPPED {test}: {reason}");
}
