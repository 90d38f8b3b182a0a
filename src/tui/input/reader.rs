//! The thread that reads the terminal.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{io, thread};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::decoder::Decoder;
use super::sequence::Input;
use crate::tui::messages_and_effects::Message;

/// Pause before reading a terminal again that gave nothing; the watchdog handles one that is gone.
const PAUSE: Duration = Duration::from_millis(100);
/// Interval at which [`PendingAnswer::settle`] checks for an answer.
const LOOK: Duration = Duration::from_millis(10);

/// Until when an answer of the terminal may arrive that no other program should read, if one may.
#[derive(Clone, Debug, Default)]
pub struct PendingAnswer(Arc<Mutex<Option<Instant>>>);

impl PendingAnswer {
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
pub fn spawn(mut decoder: Decoder, messages: Sender<Message>) -> io::Result<PendingAnswer> {
    let pending_answer = PendingAnswer::default();
    pending_answer.set(decoder.answer_expected_until());
    let shared = pending_answer.clone();
    let work = move || {
        loop {
            let limit = decoder.patience(Instant::now());
            let inputs = read_inputs(&mut decoder, limit).unwrap_or_else(|_| {
                thread::sleep(PAUSE);
                Vec::new()
            });
            shared.set(decoder.answer_expected_until());
            for message in inputs.into_iter().filter_map(message) {
                if messages.send(message).is_err() {
                    return;
                }
            }
        }
    };
    thread::Builder::new().name("input".to_owned()).spawn(work).map(|_| pending_answer)
}

/// The inputs that arrive within `limit`, or until there are some if it is `None`; none if waiting was interrupted.
///
/// # Errors
///
/// If standard input cannot be read, or is at its end: as after Ctrl-D while the terminal is not raw, or in the background.
pub fn read_inputs(decoder: &mut Decoder, limit: Option<Duration>) -> io::Result<Vec<Input>> {
    let input = io::stdin();
    let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
    let mut chunk = [0; 4096];
    let read = match poll(&mut [PollFd::new(&input, PollFlags::IN)], limit.as_ref()) {
        Ok(0) => return Ok(decoder.expire(Instant::now())),
        Ok(_) => rustix::io::read(&input, &mut chunk),
        Err(error) => Err(error),
    };
    match read {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(n) => Ok(decoder.take(&chunk[..n], Instant::now())),
        Err(Errno::INTR) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
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
