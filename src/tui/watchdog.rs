//! Ends the dashboard when its terminal is gone.
//!
//! Reading events from a dead terminal spins or hangs for ever, so nobody else would notice. This
//! thread only waits for the hang-up and never reads. SIGHUP stays at its default, which ends us as well
//! where it is delivered. Runs are not touched: their workers have sessions of their own.

use std::fs::OpenOptions;
use std::os::fd::AsFd;
use std::process::exit;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// As shells report an end by SIGHUP: 128 + 1.
const HUNG_UP: i32 = 129;
/// Longest time between the hang-up and our end, where `poll` does not wake us.
const PATIENCE: Duration = Duration::from_secs(1);

/// Starts watching. Without a terminal or a thread there is nothing to watch, and nothing is said.
pub fn start() {
    let Ok(terminal) = OpenOptions::new().read(true).open("/dev/tty") else { return };
    let watch = move || {
        loop {
            // No event is asked for: hang-up and error are always reported.
            let mut state = [PollFd::from_borrowed_fd(terminal.as_fd(), PollFlags::empty())];
            let wait = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
            match poll(&mut state, Some(&wait)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) if state[0].revents().intersects(PollFlags::HUP | PollFlags::ERR) => {
                    exit(HUNG_UP)
                }
                // Anything else would come back at once: do not spin.
                Ok(_) | Err(_) => thread::sleep(PATIENCE),
            }
        }
    };
    // Failing to start leaves SIGHUP, which nearly always comes too.
    let _ = thread::Builder::new().name("watchdog".to_owned()).spawn(watch);
}
