//! The worker's reports: its status with a heartbeat, and its event log.
//!
//! Several threads report here (training, previews, control). The board serialises their writes, so that
//! `status.json` always has the latest value of each field and `events.jsonl` has a single writer.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::event::{EventBody, NoticeLevel};
use super::event_log::EventLog;
use super::run_dir::RunDir;
use super::status_json::{RunState, Status, now_ms};
use crate::console;

const HEARTBEAT: Duration = Duration::from_secs(1);

/// Shared by the worker's threads.
#[derive(Debug)]
pub struct StatusBoard {
    run: RunDir,
    status: Mutex<Status>,
    log: Mutex<EventLog>,
    ended: AtomicBool,
    /// Reason why the worker is ending; the first one reported is kept.
    pub reason: OnceLock<String>,
    is_orphaned: AtomicBool,
}

impl StatusBoard {
    /// Opens the log and reports `Starting`. The progress of an earlier worker of the run is kept until this
    /// one has its own.
    ///
    /// # Errors
    ///
    /// If the event log cannot be opened.
    pub fn open(run: &RunDir, steps: u64) -> io::Result<Arc<Self>> {
        let before = run.status();
        let status = Status {
            step: before.as_ref().map_or(0, |status| status.step),
            loss: before.and_then(|status| status.loss),
            ..Status::new(RunState::Starting, steps)
        };
        let board = Self {
            run: run.clone(),
            status: Mutex::new(status),
            log: Mutex::new(EventLog::open(&run.events_path())?),
            ended: AtomicBool::new(false),
            reason: OnceLock::new(),
            is_orphaned: AtomicBool::new(false),
        };
        board.set_state(RunState::Starting, None);
        Ok(Arc::new(board))
    }

    /// Refreshes the heartbeat until [`StatusBoard::end`] is called, and calls `look` on every beat.
    ///
    /// # Errors
    ///
    /// If the system refuses to start a thread.
    pub fn beat(self: &Arc<Self>, look: impl Fn() + Send + 'static) -> io::Result<JoinHandle<()>> {
        let board = self.clone();
        thread::Builder::new().name("heartbeat".to_owned()).spawn(move || {
            while !board.ended.load(Ordering::SeqCst) {
                look();
                board.update(|_| {});
                thread::park_timeout(HEARTBEAT);
            }
        })
    }

    /// Records that the run's directory was deleted: nothing is written from now on.
    pub fn orphan(&self) {
        self.is_orphaned.store(true, Ordering::SeqCst);
    }

    /// True if the run's directory was deleted, so that there is nothing left to write to.
    pub fn is_orphaned(&self) -> bool {
        self.is_orphaned.load(Ordering::SeqCst)
    }

    /// True if files may be created in the run's directory. A directory that is being deleted must not get new
    /// files, which would make the deletion fail.
    fn is_whole(&self) -> bool {
        !self.is_orphaned()
            && (self.run.run_toml_path().is_file() || self.run.state_path().is_dir())
    }

    /// Stops the heartbeat; the last status remains.
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
        status.message = status.message.take().map(|text| self.run.in_words(&text));
        status.heartbeat_ms = now_ms();
        if !self.is_whole() {
            return;
        }
        // The lock is held while writing, so that an older status never replaces a newer one.
        if let Err(error) = status.write(&self.run.status_path()) {
            log(&format!("writing the status of run '{}': {error}", self.run.id()));
        }
    }

    /// Enters a state, in the status and in the event log.
    pub fn set_state(&self, state: RunState, reason: Option<String>) {
        let reason = reason.map(|text| self.run.in_words(&text));
        self.update(|status| {
            status.state = state;
            status.message.clone_from(&reason);
            if state != RunState::Training {
                status.eta_s = None;
            }
        });
        self.emit(EventBody::State { state, reason });
    }

    /// Logs an event at the current step.
    pub fn emit(&self, body: EventBody) {
        let step = lock(&self.status).step;
        self.emit_at(step, body);
    }

    /// Logs an event at a given step.
    pub fn emit_at(&self, step: u64, body: EventBody) {
        // A full disk must not end training; stderr is the only place left to report it.
        if let Err(error) = lock(&self.log).append(step, body) {
            log(&format!("appending to the event log: {error}"));
        }
    }

    pub fn notice(&self, level: NoticeLevel, text: impl Into<String>) {
        let text = self.run.in_words(&text.into());
        log(&format!("{level:?}: {text}"));
        self.emit(EventBody::Notice { level, text });
    }
}

/// Writes a line to `worker.log`, which is this process's stderr. Unlike `eprintln!`, it does not panic if
/// writing fails: a full disk must not end training.
pub fn log(line: &str) {
    let _ = writeln!(console::stderr(), "{line}");
}

/// Locks a mutex, ignoring poison: a thread that panicked while reporting leaves a usable status behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
