//! Signal handling of processes that train or wait for a training process.
//!
//! Operating systems, login managers, Slurm and container runtimes warn and end processes with many signals;
//! the default action of nearly all of them is to end the process without a checkpoint. Here each one either
//! requests a stop or is ignored. Signals that cannot be caught (KILL, STOP) or that report a fault of the
//! process itself (SEGV, BUS, ILL, FPE, SYS) are left alone. What a worker does when a stop was requested is in
//! `worker/training_loop_with_commands.rs`; `send_signal_to_worker.rs` sends signals.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use nix::sys::signal::SigSet;
use signal_hook::consts::{
    SIGABRT, SIGALRM, SIGHUP, SIGINT, SIGIO, SIGPIPE, SIGPROF, SIGQUIT, SIGTERM, SIGTRAP, SIGTSTP,
    SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXCPU, SIGXFSZ,
};
use signal_hook::low_level::signal_name;

/// Signals that ask a process to end, or warn that it will be ended: TERM in general, USR1 and USR2 from
/// Slurm's `--signal`, XCPU from a CPU time limit, ABRT from systemd's watchdog, timers from batch systems.
const ENDING: [i32; 11] = [
    SIGTERM, SIGQUIT, SIGUSR1, SIGUSR2, SIGXCPU, SIGABRT, SIGALRM, SIGVTALRM, SIGPROF, SIGIO,
    SIGTRAP,
];
/// Linux's SIGPWR and SIGSTKFLT, which not every C library names: power failure (LXC stops containers with it),
/// and one that the kernel never sends.
const ENDING_ON_LINUX: [i32; 2] = [30, 16];
/// Real-time signals available to programs; systemd stops containers with the fourth. The C library reserves
/// the kernel's first two (32 and 33).
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;
/// Signals of terminals and pipes, which a process without a terminal can ignore, and of the file size limit,
/// after which writes fail with a more informative error.
const HARMLESS: [i32; 5] = [SIGPIPE, SIGTSTP, SIGTTIN, SIGTTOU, SIGXFSZ];

/// Requests received by signal since [`catch`].
#[derive(Clone, Debug, Default)]
pub struct Signals {
    /// Set when the process is asked to end; may also be set by other code.
    pub stop: Arc<AtomicBool>,
    /// Set when the user leaves: Ctrl-C at the terminal, or a hangup.
    pub leave: Arc<AtomicBool>,
    number: Arc<AtomicUsize>,
}

/// Effect of the terminal's own signals, INT and HUP, on a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terminal {
    /// INT requests a stop; HUP is ignored, since the process has no terminal. For workers.
    None,
    /// Both mean that the user leaves. For commands that follow workers.
    Leaves,
    /// Both request a stop. For commands that end together with everything they started.
    Ends,
}

/// Replaces the default action of every signal that ends or stops processes. Signals that arrived since the
/// process was started by [`masked`] count too.
///
/// # Errors
///
/// If a signal handler cannot be registered, or if the signals cannot be unblocked.
pub fn catch(terminal: Terminal) -> io::Result<Signals> {
    let signals = Signals::default();
    let ask = |signal: i32| -> io::Result<()> {
        signal_hook::flag::register(signal, signals.stop.clone())?;
        signal_hook::flag::register_usize(
            signal,
            signals.number.clone(),
            signal.unsigned_abs() as usize,
        )?;
        Ok(())
    };
    // Signals that the caller of a command chose to ignore stay ignored: `nohup`, and background jobs of a
    // script.
    let ignored = if terminal == Terminal::None { 0 } else { ignored_signals() };
    let is_heeded = |signal: &i32| {
        ![SIGHUP, SIGINT, SIGQUIT].contains(signal) || ignored & (1 << (signal - 1)) == 0
    };
    let ending = ENDING.into_iter().chain(ENDING_ON_LINUX).chain(REAL_TIME);
    for signal in ending.filter(is_heeded) {
        ask(signal)?;
    }
    let of_terminal = [SIGINT, SIGHUP].into_iter().filter(is_heeded);
    match terminal {
        Terminal::None => {
            ask(SIGINT)?;
            pass_over(SIGHUP)?;
        }
        Terminal::Leaves => {
            for signal in of_terminal {
                signal_hook::flag::register(signal, signals.leave.clone())?;
            }
        }
        Terminal::Ends => of_terminal.into_iter().try_for_each(ask)?,
    }
    let from_terminal = [SIGTSTP, SIGTTIN, SIGTTOU];
    for signal in HARMLESS {
        // Ctrl-Z keeps its usual effect if there is a terminal.
        if terminal == Terminal::None || !from_terminal.contains(&signal) {
            pass_over(signal)?;
        }
    }
    SigSet::empty().thread_set_mask()?;
    Ok(signals)
}

/// The signals that this process was started to ignore, one bit each (`SigIgn` of proc_pid_status(5)).
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// A flag that is set on any of these signals, which otherwise have no effect from now on.
///
/// # Errors
///
/// If a signal cannot be caught.
pub fn stop_on(signals: &[i32]) -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in signals {
        signal_hook::flag::register(*signal, stop.clone())?;
    }
    Ok(stop)
}

/// Replaces the default action by a handler that does nothing; unlike an ignored signal, this is not inherited.
///
/// # Errors
///
/// If the handler cannot be registered.
pub fn pass_over(signal: i32) -> io::Result<()> {
    stop_on(&[signal]).map(drop)
}

/// Runs `act`, such as starting a process, with all signals blocked. A process started this way receives them
/// once it has called [`catch`], and cannot be ended by one before that.
///
/// # Errors
///
/// If the signal mask cannot be changed, or cannot be restored after `act` has run.
pub fn masked<T>(act: impl FnOnce() -> T) -> io::Result<T> {
    let before = SigSet::all().thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK)?;
    let result = act();
    before.thread_set_mask()?;
    Ok(result)
}

impl Signals {
    /// True if the process was asked to end.
    pub fn has_stop(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// True if the user left.
    pub fn has_left(&self) -> bool {
        self.leave.load(Ordering::SeqCst)
    }

    /// Name of the signal that asked to end, such as `SIGTERM`; `None` if it was not a signal.
    pub fn name(&self) -> Option<String> {
        let number = i32::try_from(self.number.load(Ordering::SeqCst)).ok().filter(|&n| n > 0)?;
        Some(signal_name(number).map_or_else(|| format!("signal {number}"), str::to_owned))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_process_gets_its_signals_when_it_is_ready_for_them() {
        // Simulates a worker that is asked to end before it has installed its handlers.
        let mut child =
            masked(|| std::process::Command::new("sleep").arg("60").spawn()).unwrap().unwrap();
        let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(child.try_wait().unwrap().is_none(), "it waits with the signal");
        child.kill().unwrap();
        child.wait().unwrap();
        let mask = SigSet::thread_get_mask().unwrap();
        assert!(!mask.contains(nix::sys::signal::Signal::SIGTERM), "ours is as before");
    }
}
