//! SIGTERM and SIGINT ask the worker to write a checkpoint and stop; SIGHUP is no concern of a
//! process without a terminal.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};

/// Sets `stop` when the process is asked to end.
pub fn stop_on_signals(stop: &Arc<AtomicBool>) -> io::Result<()> {
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register(signal, stop.clone())?;
    }
    Ok(())
}
