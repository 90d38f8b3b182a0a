//! What signals do to processes that train or wait for a training process.
//!
//! Operating systems, login managers, Slurm and container runtimes warn and end processes with many signals; the default
//! action of nearly all of them is death without a checkpoint. Here each one either asks to stop or has no effect. What
//! cannot be caught (KILL, STOP) and what reports a fault of the process itself (SEGV, BUS, ILL, FPE, SYS) is left alone.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use nix::sys::signal::SigSet;
use signal_hook::consts::{
    SIGABRT, SIGALRM, SIGHUP, SIGINT, SIGIO, SIGPIPE, SIGPROF, SIGQUIT, SIGTERM, SIGTRAP, SIGTSTP,
    SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXCPU, SIGXFSZ,
};
use signal_hook::low_level::signal_name;

/// Signals that ask a process to end, or warn that it will be ended: TERM of everybody, USR1 and USR2 as Slurm's
/// `--signal`, XCPU of a limit on processor time, ABRT of systemd's watchdog, timers of batch systems.
const ENDING: [i32; 11] = [
    SIGTERM, SIGQUIT, SIGUSR1, SIGUSR2, SIGXCPU, SIGABRT, SIGALRM, SIGVTALRM, SIGPROF, SIGIO,
    SIGTRAP,
];
/// Linux's SIGPWR and SIGSTKFLT have no name in every C library: power failure (LXC ends containers so), and one that
/// nothing sends by itself.
#[cfg(target_os = "linux")]
const ENDING_ON_LINUX: [i32; 2] = [30, 16];
#[cfg(not(target_os = "linux"))]
const ENDING_ON_LINUX: [i32; 0] = [];
/// Real-time signals as programs may use them; systemd ends containers with the fourth. The C library keeps the first two
/// of the kernel's (32 and 33).
#[cfg(target_os = "linux")]
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;
#[cfg(not(target_os = "linux"))]
const REAL_TIME: std::ops::Range<i32> = 0..0;
/// Signals of terminals and pipes, which a process without a terminal need not heed, and of the limit on file sizes, after
/// which writing fails with an error that says more.
const HARMLESS: [i32; 5] = [SIGPIPE, SIGTSTP, SIGTTIN, SIGTTOU, SIGXFSZ];

/// What has been asked for by signals since [`catch`].
#[derive(Clone, Debug, Default)]
pub struct Signals {
    /// Set when the process is asked to end; others may set it too.
    pub stop: Arc<AtomicBool>,
    /// Set when the user leaves: Ctrl-C at the terminal, or the terminal's end.
    pub leave: Arc<AtomicBool>,
    number: Arc<AtomicUsize>,
}

/// What a terminal's own signals, INT and HUP, mean to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terminal {
    /// INT asks to stop; HUP, of a terminal that this process does not have, has no effect: a worker.
    None,
    /// Both say that the user leaves: a command that follows workers.
    Leaves,
    /// Both ask to stop: a command with which everything that it started ends.
    Ends,
}

/// Replaces the default action of every signal that ends or stops processes. Signals that arrived since the process was
/// started by [`masked`] count too.
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
    // What whoever started a command wants to be ignored stays so: `nohup`, and jobs of a script in the background.
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
        // Ctrl-Z works as ever where there is a terminal.
        if terminal == Terminal::None || !from_terminal.contains(&signal) {
            pass_over(signal)?;
        }
    }
    SigSet::empty().thread_set_mask()?;
    Ok(signals)
}

/// The signals that this process was started to ignore, a bit each (`SigIgn` of proc_pid_status(5)).
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// A handler that does nothing, in place of the default action; unlike an ignored signal it is not inherited.
pub fn pass_over(signal: i32) -> io::Result<()> {
    signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false))).map(|_| ())
}

/// Does something, such as starting a process, while all signals wait. A process that is started so gets them once it has
/// called [`catch`], and cannot be ended by one before.
pub fn masked<T>(act: impl FnOnce() -> T) -> io::Result<T> {
    let before = SigSet::all().thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK)?;
    let result = act();
    before.thread_set_mask()?;
    Ok(result)
}

impl Signals {
    /// Whether the process was asked to end.
    pub fn has_stop(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Whether the user left.
    pub fn has_left(&self) -> bool {
        self.leave.load(Ordering::SeqCst)
    }

    /// The signal that asked to end, as `SIGTERM`; `None` where another did.
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
        // As a worker that is asked to end before it has said how it takes that.
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
