//! The thread that reads the terminal.

use std::io;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::decoder::Decoder;
use super::sequence::Input;
use crate::tui::message::Message;

/// Pause before reading a terminal again that gave nothing; the watchdog handles one that is gone.
const PAUSE: Duration = Duration::from_millis(100);
/// Interval at which [`Owed::settle`] checks for an answer.
const LOOK: Duration = Duration::from_millis(10);

/// Until when an answer of the terminal may arrive that no other program should read, if one may.
#[derive(Clone, Debug, Default)]
pub struct Owed(Arc<Mutex<Option<Instant>>>);

impl Owed {
    fn set(&self, until: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    /// Waits until the answer has arrived and was dropped, for at most `most`. The reading thread must be running.
    pub fn settle(&self, most: Duration) {
        let most = Instant::now() + most;
        loop {
            let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            if until.is_none_or(|until| now >= until.min(most)) {
                return;
            }
            thread::sleep(LOOK);
        }
    }
}

/// Starts the thread. `decoder` has the bytes read and the queries made so far.
///
/// # Errors
///
/// If no thread can be started.
pub fn spawn(mut decoder: Decoder, messages: Sender<Message>) -> io::Result<Owed> {
    let owed = Owed::default();
    owed.set(decoder.owed_until());
    let shared = owed.clone();
    let work = move || {
        loop {
            let inputs = next(&mut decoder);
            shared.set(decoder.owed_until());
            for message in inputs.into_iter().filter_map(message) {
                if messages.send(message).is_err() {
                    return;
                }
            }
        }
    };
    thread::Builder::new().name("input".to_owned()).spawn(work).map(|_| owed)
}

/// Waits for the next inputs; returns none if waiting or reading was interrupted.
fn next(decoder: &mut Decoder) -> Vec<Input> {
    let input = io::stdin();
    let limit = decoder.patience(Instant::now()).and_then(|limit| Timespec::try_from(limit).ok());
    match poll(&mut [PollFd::new(&input, PollFlags::IN)], limit.as_ref()) {
        Ok(0) => return decoder.expire(Instant::now()),
        Ok(_) => {}
        Err(Errno::INTR) => return Vec::new(),
        Err(_) => {
            thread::sleep(PAUSE);
            return Vec::new();
        }
    }
    let mut chunk = [0; 4096];
    match rustix::io::read(&input, &mut chunk) {
        Err(Errno::INTR) => Vec::new(),
        // End of file, as from Ctrl-D while the terminal is not raw, or a process in the background.
        Ok(0) | Err(_) => {
            thread::sleep(PAUSE);
            Vec::new()
        }
        Ok(n) => decoder.take(&chunk[..n], Instant::now()),
    }
}

fn message(input: Input) -> Option<Message> {
    match input {
        Input::Key(key) => Some(Message::Key(key)),
        Input::Mouse(mouse) => Some(Message::Mouse(mouse)),
        Input::Pasted(text) => Some(Message::Pasted(text)),
        Input::Report(_) => None,
    }
}
