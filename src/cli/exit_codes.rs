//! Exit codes other than 0 (done) and 1 (failed).

/// Exit code for incorrect usage.
pub const MISUSE: u8 = 2;
/// Exit code of a run that was stopped before it finished.
pub const STOPPED: u8 = 3;
/// Added to the signal's number for a process ended by a signal, as shells report it.
pub const SIGNALLED: u8 = 128;
