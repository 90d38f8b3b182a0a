//! Exit codes besides 0 (done) and 1 (failed).

/// Exit code of wrong use.
pub const MISUSE: u8 = 2;
/// Exit code of a run that was stopped before its end.
pub const STOPPED: u8 = 3;
/// A process that a signal ends has this and the signal's number as its exit code, as shells report it.
pub const SIGNALLED: u8 = 128;
