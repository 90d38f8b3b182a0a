//! Exit codes other than 0 (done) and 1 (failed), and what `--help` says about them.

/// Exit code for incorrect usage.
pub const MISUSE: u8 = 2;
/// Exit code of a run that was stopped before it finished.
pub const STOPPED: u8 = 3;
/// Added to the signal's number for a process ended by a signal, as shells report it.
pub const SIGNALLED: u8 = 128;

/// The text at the end of `--help`.
pub const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong use, 3 stopped before the end. 'run' and 'reproduce' pass on signals that ask \
them to end (TERM, QUIT, USR1, USR2 and others), wait until their workers have written a checkpoint, and exit with 3; \
Ctrl-C only leaves them, and the workers go on.";
