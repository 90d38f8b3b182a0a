//! The worker's face to the world: its status with a heartbeat, and its event log.
//!
//! Several threads report here (training, previews, control); the board writes for them, so that
//! `status.json` always holds the latest word of each and `events.jsonl` has one writer.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::event::{EventBody, NoticeLevel};
use super::events::EventLog;
use super::run_dir::RunDir;
use super::status::{RunState, Status, now_ms};
use crate::console;

const HEARTBEAT: Duration = Duration::from_secs(1);

/// Shared by the worker's threads.
#[derive(Debug)]
pub struct StatusBoard {
    path: PathBuf,
    status: Mutex<Status>,
    log: Mutex<EventLog>,
    ended: AtomicBool,
}

impl StatusBoard {
    /// Opens the log and says `Starting`; what an earlier worker of the run reached stands until
    /// this one knows better.
    pub fn open(run: &RunDir, steps: u64) -> io::Result<Arc<Self>> {
        let before = run.status();
        let status = Status {
            step: before.as_ref().map_or(0, |status| status.step),
            loss: before.and_then(|status| status.loss),
            ..Status::new(RunState::Starting, steps)
        };
        let board = Self {
            path: run.status_path(),
            status: Mutex::new(status),
            log: Mutex::new(EventLog::open(&run.events_path())?),
            ended: AtomicBool::new(false),
        };
        board.set_state(RunState::Starting, None);
        Ok(Arc::new(board))
    }

    /// Refreshes the heartbeat until the board is [`StatusBoard::end`]ed.
    pub fn beat(self: &Arc<Self>) -> io::Result<JoinHandle<()>> {
        let board = self.clone();
        thread::Builder::new().name("heartbeat".to_owned()).spawn(move || {
            while !board.ended.load(Ordering::SeqCst) {
                board.update(|_| {});
                thread::park_timeout(HEARTBEAT);
            }
        })
    }

    /// No more heartbeats; what was said last stands.
    pub fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }

    pub fn status(&self) -> Status {
        lock(&self.status).clone()
    }

    /// Changes the status and writes it.
    pub fn update(&self, change: impl FnOnce(&mut Status)) {
        let mut status = lock(&self.status);
        change(&mut status);
        status.heartbeat_ms = now_ms();
        // The lock is held while writing, so that an older status never replaces a newer one.
        if let Err(error) = status.write(&self.path) {
            log(&format!("writing '{}': {error}", self.path.display()));
        }
    }

    /// Enters a state, in the status and in the log.
    pub fn set_state(&self, state: RunState, reason: Option<String>) {
        self.update(|status| {
            status.state = state;
            status.message.clone_from(&reason);
            if state != RunState::Training {
                status.eta_s = None;
            }
        });
        self.emit(EventBody::State { state, reason });
    }

    /// Logs an event at the present step.
    pub fn emit(&self, body: EventBody) {
        let step = lock(&self.status).step;
        self.emit_at(step, body);
    }

    /// Logs an event that belongs to a certain step.
    pub fn emit_at(&self, step: u64, body: EventBody) {
        // A full disk must not end training; the log on stderr is all that is left to tell it.
        if let Err(error) = lock(&self.log).append(step, body) {
            log(&format!("appending to the event log: {error}"));
        }
    }

    pub fn notice(&self, level: NoticeLevel, text: impl Into<String>) {
        let text = text.into();
        log(&format!("{level:?}: {text}"));
        self.emit(EventBody::Notice { level, text });
    }
}

/// A line for `worker.log`, which is this process's stderr. Unlike `eprintln!` it does not panic where
/// nothing can be written: a full disk must not end training.
pub fn log(line: &str) {
    let _ = writeln!(console::stderr(), "{line}");
}

/// A thread that panicked while reporting leaves a usable status behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
