//! The modes of the terminal, and the signals that must not leave it in raw mode.
//!
//! ```text
//! TERM, INT, QUIT   restore settings and main screen, exit with code 128 + signal
//! TSTP              restore settings and main screen, stop
//! CONT              raw mode and the dashboard's screen again, draw every cell
//! WINCH             draw in the new size
//! HUP               the system's default: the terminal is gone (`watchdog` ends a process that is not sent it)
//! ```
//!
//! Signals are caught only from [`Raw::enter`] until [`Raw`] is dropped, which includes the queries of `probe`. Before and
//! after, they have their default effect. An uncaught signal would leave a terminal without echo.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use std::{process, thread};

use ratatui::crossterm::event::{DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste};
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{cursor, execute};
use rustix::process::{
    Signal, getpgid, getpgrp, getpid, getppid, getsid, kill_current_process_group, kill_process,
};
use rustix::termios::{LocalModes, OptionalActions, OutputModes, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGCONT, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGWINCH};
use signal_hook::flag::register_conditional_default;
use signal_hook::iterator::Signals;

use super::input::reader::PendingAnswer;
use super::messages_and_effects::Message;

/// Added to a signal's number for the exit code, as shells do.
const EXIT_CODE: i32 = 128;
/// How long to wait for an answer of the terminal before other programs read from it.
const ANSWER_PATIENCE: Duration = Duration::from_secs(3);
/// After this time, a dashboard that cannot leave (the terminal accepts no output) is ended.
const PATIENCE: Duration = Duration::from_secs(2);
const ENDING: [i32; 3] = [SIGTERM, SIGINT, SIGQUIT];

/// A terminal in raw mode. Dropping it restores the settings.
#[derive(Debug)]
pub struct Raw {
    /// `None` once the signal thread has taken them.
    signals: Option<Signals>,
}

/// Whether signals have their default effect. Registered once per process: a signal that was caught once does not get its
/// default effect back by itself.
fn is_default() -> io::Result<Arc<AtomicBool>> {
    static DEFAULT: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    if let Some(flag) = DEFAULT.get() {
        return Ok(flag.clone());
    }
    let flag = Arc::new(AtomicBool::new(true));
    for signal in ENDING.into_iter().chain([SIGTSTP]) {
        register_conditional_default(signal, flag.clone())?;
    }
    Ok(DEFAULT.get_or_init(|| flag).clone())
}

impl Raw {
    /// Enters raw mode: no echo, no line editing, every key at once. Signals are caught from here on.
    ///
    /// # Errors
    ///
    /// If standard input is no terminal, or signals cannot be caught.
    pub fn enter() -> io::Result<Self> {
        let is_default = is_default()?;
        let signals = Signals::new([SIGTERM, SIGINT, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH])?;
        is_default.store(false, Ordering::SeqCst);
        // From here on, dropping `raw` restores the settings.
        let raw = Self { signals: Some(signals) };
        enable_raw_mode()?;
        Ok(raw)
    }

    /// For a command that writes lines while it waits for an answer: newlines work as usual and Ctrl-C is a signal, but
    /// nothing is echoed.
    ///
    /// # Errors
    ///
    /// If standard input is no terminal, or if its settings cannot be changed.
    pub fn write_lines(&self) -> io::Result<()> {
        let mut modes = tcgetattr(io::stdin())?;
        modes.output_modes |= OutputModes::OPOST;
        modes.local_modes |= LocalModes::ISIG;
        Ok(tcsetattr(io::stdin(), OptionalActions::Now, &modes)?)
    }

    /// Handles the signals that have arrived: ends the process, or stops it and then returns to raw mode. For a loop that
    /// waits for answers. `settle` is called before other programs read from the terminal.
    ///
    /// # Errors
    ///
    /// If the terminal's settings cannot be changed.
    pub fn heed(&mut self, mut settle: impl FnMut()) -> io::Result<()> {
        let Some(signals) = &mut self.signals else { return Ok(()) };
        for signal in signals.pending() {
            match signal {
                SIGTSTP if can_stop() => {
                    settle();
                    disable_raw_mode()?;
                    stop(false);
                    enable_raw_mode()?;
                }
                // Stopped by SIGSTOP, which cannot be caught: a shell has changed the settings.
                SIGCONT => {
                    disable_raw_mode()?;
                    enable_raw_mode()?;
                }
                signal if ENDING.contains(&signal) => {
                    settle();
                    let _ = disable_raw_mode();
                    process::exit(EXIT_CODE + signal);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Starts a thread that turns signals into messages.
    ///
    /// # Errors
    ///
    /// If the thread cannot be started.
    pub fn send_signals(&mut self, messages: Sender<Message>) -> io::Result<()> {
        let Some(mut signals) = self.signals.take() else { return Ok(()) };
        let work = move || {
            for signal in signals.forever() {
                let message = match signal {
                    SIGWINCH => Message::Resized,
                    SIGTSTP => Message::Suspend { group: false },
                    SIGCONT => Message::Continued,
                    // Signal numbers are small.
                    signal => Message::Ended(signal as u8),
                };
                let ends = ENDING.contains(&signal);
                if messages.send(message).is_err() {
                    return;
                }
                if ends {
                    thread::sleep(PATIENCE);
                    let _ = disable_raw_mode();
                    process::exit(EXIT_CODE + signal);
                }
            }
        };
        thread::Builder::new().name("signals".to_owned()).spawn(work).map(drop)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that is gone.
        let _ = disable_raw_mode();
        let Ok(is_default) = is_default() else { return };
        is_default.store(true, Ordering::SeqCst);
        // A signal that arrived last has its effect, now that the settings are restored.
        let mut last = self.signals.iter_mut().flat_map(Signals::pending);
        if let Some(signal) = last.find(|signal| ENDING.contains(signal)) {
            process::exit(EXIT_CODE + signal);
        }
    }
}

/// Switches to the dashboard's screen, on a terminal in raw mode.
///
/// # Errors
///
/// If writing to standard output fails.
pub fn show_screen() -> io::Result<()> {
    execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste)
}

/// Restores the main screen, then the settings. In between, while nothing is echoed, it waits for an answer of the terminal,
/// which would otherwise be typed into the shell.
pub fn restore(pending_answer: &PendingAnswer) {
    // Nothing can be done for a terminal that does not accept these.
    let _ = execute!(
        io::stdout(),
        DisableMouseCapture,
        DisableBracketedPaste,
        LeaveAlternateScreen,
        cursor::Show
    );
    let _ = io::stdout().flush();
    pending_answer.settle(ANSWER_PATIENCE);
    let _ = disable_raw_mode();
}

/// Returns to raw mode and the dashboard's screen, whatever the settings are now.
///
/// # Errors
///
/// If the terminal's settings cannot be changed, or if writing to standard output fails.
pub fn come_back() -> io::Result<()> {
    // A shell may have changed the settings; crossterm would not set raw mode again if it thinks it is on.
    disable_raw_mode()?;
    enable_raw_mode()?;
    show_screen()
}

/// Whether a shell with job control started this process, so that it can be continued once it is stopped. Otherwise the
/// system ignores SIGTSTP (POSIX, "orphaned process group").
pub fn can_stop() -> bool {
    let (Some(parent), Ok(session)) = (getppid(), getsid(None)) else { return false };
    // A script of the same group is stopped together with this process; the shell is what started the script.
    let is_shell = getpgid(Some(parent)).ok() != Some(getpgrp()) || session != getpgrp();
    getsid(Some(parent)).ok() == Some(session) && is_shell
}

/// Stops this process until SIGCONT, or with `group` its whole job, which includes a script that started it. The terminal
/// must be restored before. Returns false if that failed.
pub fn stop(group: bool) -> bool {
    match group {
        // SIGTSTP would be caught by this process.
        true => kill_current_process_group(Signal::STOP).is_ok(),
        false => kill_process(getpid(), Signal::STOP).is_ok(),
    }
}
