//! The terminal's modes and the signals that must not leave it in ours.
//!
//! ```text
//! TERM, INT, QUIT   settings back, main screen, exit code 128 + signal
//! TSTP              settings back, main screen, stopped
//! CONT              raw again, the dashboard's screen again, drawn anew (whoever stopped us)
//! WINCH             drawn in the new size
//! HUP               the system's default: the terminal is gone (`watchdog` ends what a shell did not)
//! ```
//!
//! Signals are kept back only between [`Raw::enter`] and its end, the questions at the start (`probe`) included; before and after they do what they do
//! to any process. An uncaught signal would leave a terminal that echoes nothing.

use std::io::{self, Write};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

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

use super::input::reader::Owed;
use super::message::Message;

/// What a shell adds to a signal's number for the exit code of a process that it ended.
const EXIT_CODE: i32 = 128;
/// How long an answer of the terminal is waited for before others read from it.
const ANSWER_PATIENCE: Duration = Duration::from_secs(3);
/// A dashboard that cannot even leave (a terminal that takes no output) is ended after this.
const PATIENCE: Duration = Duration::from_secs(2);
const ENDING: [i32; 3] = [SIGTERM, SIGINT, SIGQUIT];

/// A terminal in raw mode. Its settings come back when this is dropped.
#[derive(Debug)]
pub struct Raw {
    /// Taken by the thread that waits for them.
    signals: Option<Signals>,
}

/// Whether signals have their default effect; registered once for the process, because a signal that was ever caught never gets it back by itself.
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
    /// No echo, no line editing, keys at once; signals are kept back.
    pub fn enter() -> io::Result<Self> {
        let is_default = is_default()?;
        let signals = Signals::new([SIGTERM, SIGINT, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH])?;
        is_default.store(false, Ordering::SeqCst);
        // From here on dropping undoes what was done.
        let raw = Self { signals: Some(signals) };
        enable_raw_mode()?;
        Ok(raw)
    }

    /// For a command that writes lines while an answer is out: they end as ever, and Ctrl-C is a signal; nothing is echoed.
    pub fn write_lines(&self) -> io::Result<()> {
        let mut modes = tcgetattr(io::stdin())?;
        modes.output_modes |= OutputModes::OPOST;
        modes.local_modes |= LocalModes::ISIG;
        Ok(tcsetattr(io::stdin(), OptionalActions::Now, &modes)?)
    }

    /// Does what signals ask that came meanwhile: ends the process, or stops it and goes on in raw mode. For a loop that waits for answers.
    /// `settle` is what there is to do before others read from this terminal.
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
                // Stopped by SIGSTOP, which nobody can catch: a shell has put its own settings in place.
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

    /// From now on a thread turns signals into messages.
    pub fn send_signals(&mut self, messages: Sender<Message>) -> io::Result<()> {
        let Some(mut signals) = self.signals.take() else { return Ok(()) };
        let work = move || {
            for signal in signals.forever() {
                let message = match signal {
                    SIGWINCH => Message::Resized,
                    SIGTSTP => Message::Suspend { group: false },
                    SIGCONT => Message::Continued,
                    // Numbers of signals are small.
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
        // Nothing useful can be done about a terminal that vanished meanwhile.
        let _ = disable_raw_mode();
        let _ = self.heed_at_end();
    }
}

impl Raw {
    /// A signal that came last has its effect, now that the terminal is as it was.
    fn heed_at_end(&mut self) -> io::Result<()> {
        is_default()?.store(true, Ordering::SeqCst);
        let Some(signals) = &mut self.signals else { return Ok(()) };
        match signals.pending().find(|signal| ENDING.contains(signal)) {
            Some(signal) => process::exit(EXIT_CODE + signal),
            None => Ok(()),
        }
    }
}

/// The dashboard's screen, for a terminal in raw mode.
pub fn show_screen() -> io::Result<()> {
    execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste)
}

/// The main screen, and then the settings from before. What the terminal was asked and has not answered would be typed into the shell: it is
/// waited for in between, while nothing is echoed.
pub fn restore(owed: &Owed) {
    // Nothing more can be done for a terminal that does not take these.
    let _ = execute!(
        io::stdout(),
        DisableMouseCapture,
        DisableBracketedPaste,
        LeaveAlternateScreen,
        cursor::Show
    );
    let _ = io::stdout().flush();
    owed.settle(ANSWER_PATIENCE);
    let _ = disable_raw_mode();
}

/// Raw mode and the dashboard's screen once more, whatever the settings are now.
pub fn come_back() -> io::Result<()> {
    // A shell may have changed the settings behind our back; raw mode that is on already would not be set again.
    disable_raw_mode()?;
    enable_raw_mode()?;
    show_screen()
}

/// Whether somebody can continue this process once it is stopped: a shell with job control started it. The system ignores SIGTSTP where that is not
/// so (POSIX, "orphaned process group").
pub fn can_stop() -> bool {
    let (Some(parent), Ok(session)) = (getppid(), getsid(None)) else { return false };
    // A script of the same group is stopped with us; the shell is the one that started the script.
    let is_shell = getpgid(Some(parent)).ok() != Some(getpgrp()) || session != getpgrp();
    getsid(Some(parent)).ok() == Some(session) && is_shell
}

/// Stops this process, or with `group` all of its job (the script that started it too), until SIGCONT. The terminal must have been restored. `false` if
/// that failed.
pub fn stop(group: bool) -> bool {
    match group {
        // SIGTSTP would come back to ourselves.
        true => kill_current_process_group(Signal::STOP).is_ok(),
        false => kill_process(getpid(), Signal::STOP).is_ok(),
    }
}
