//! Ends the dashboard when its terminal is gone.
//!
//! A program can spin or sleep for ever on a dead terminal if SIGHUP is caught, ignored (`nohup`) or never sent (no
//! controlling terminal). SIGHUP therefore keeps its default effect, and this thread handles the other cases. It polls for
//! hang-ups only and not for input (`POLLIN`), so it neither spins nor takes keys. Runs are in sessions of their own and
//! are not affected.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::termios::tcgetattr;

/// What a shell reports for a process ended by SIGHUP (128 + 1).
const EXIT_CODE: i32 = 129;
const PATIENCE: Duration = Duration::from_secs(1);

/// Starts the thread; call it once, after the terminal is known to be one.
///
/// Without any terminal there is nothing to watch and no thread is started.
pub fn start() {
    let terminals = terminals();
    if terminals.is_empty() {
        return;
    }
    // Failing to start is not worth refusing the dashboard: SIGHUP still ends it in the usual case.
    let _ = std::thread::Builder::new().name("watchdog".into()).spawn(move || {
        while !hung_up(&terminals, PATIENCE) {}
        std::process::exit(EXIT_CODE);
    });
}

/// Every distinct way to the terminal: the controlling one, and the ones we read and draw on, which
/// need not be the same when a wrapper opened a pty without making it the controlling terminal.
fn terminals() -> Vec<OwnedFd> {
    let (input, output) = (io::stdin(), io::stdout());
    let streams = [input.as_fd(), output.as_fd()].into_iter().filter(|stream| stream.is_terminal());
    let copies = streams.filter_map(|stream| stream.try_clone_to_owned().ok());
    File::open("/dev/tty").ok().map(OwnedFd::from).into_iter().chain(copies).collect()
}

/// Waits at most `patience`; true if any of the terminals is gone.
fn hung_up(terminals: &[OwnedFd], patience: Duration) -> bool {
    let mut watched: Vec<PollFd<'_>> =
        terminals.iter().map(|terminal| PollFd::new(terminal, PollFlags::empty())).collect();
    let timeout = Timespec::try_from(patience).ok();
    let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
    match poll(&mut watched, timeout.as_ref()) {
        Ok(0) | Err(Errno::INTR | Errno::AGAIN) => {}
        Ok(_) => return watched.iter().any(|one| one.revents().intersects(gone)),
        // A poll that can never work again must not become a busy loop; the check below decides.
        Err(_) => std::thread::sleep(patience),
    }
    // Some systems do not report hang-ups of terminals through poll; asking one for its settings fails.
    terminals.iter().any(|terminal| matches!(tcgetattr(terminal), Err(Errno::IO)))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_closed_other_end_is_noticed_at_once() {
        let (reader, writer) = io::pipe().unwrap();
        let watched = [OwnedFd::from(reader)];
        drop(writer);
        let started = Instant::now();
        assert!(hung_up(&watched, Duration::from_secs(5)));
        assert!(started.elapsed() < Duration::from_secs(1));
    }

    #[test]
    fn waiting_input_is_neither_a_hang_up_nor_a_reason_to_wake() {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"typed").unwrap();
        let watched = [OwnedFd::from(reader)];
        let started = Instant::now();
        assert!(!hung_up(&watched, Duration::from_millis(60)));
        assert!(started.elapsed() >= Duration::from_millis(50));
    }
}
