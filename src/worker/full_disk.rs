//! A full disk: the run pauses until there is space for its checkpoint.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::runs::control_messages::Command;
use crate::runs::control_socket::ControlServer;
use crate::runs::event::NoticeLevel;
use crate::runs::run_dir::RunDir;
use crate::runs::status_and_heartbeat::StatusBoard;
use crate::runs::status_json::RunState;
use crate::training::CheckpointError;

/// Interval between retries on a full disk.
const DISK_INTERVAL: Duration = Duration::from_secs(2);

/// Where requests to the worker arrive: commands, and signals that ask it to stop.
#[derive(Clone, Copy)]
pub struct Control<'a> {
    pub server: &'a ControlServer,
    pub stop: &'a AtomicBool,
}

/// Shows the run as paused until the next retry, after `error`; returns false if asked to stop. Other commands than
/// those to stop or to go on are added to `put_off`.
pub fn wait_for_space(
    run: &RunDir,
    board: &StatusBoard,
    control: Control<'_>,
    error: &CheckpointError,
    put_off: &mut VecDeque<Command>,
) -> bool {
    let state = board.status().state;
    let free = run.path().display().to_string();
    let message = run
        .in_words(&format!("{error}: the disk is full; waiting for space on the disk of '{free}'"));
    if board.status().message.as_deref() != Some(&message) {
        board.notice(NoticeLevel::Error, message.clone());
    }
    board.update(|status| {
        status.state = RunState::Paused;
        status.message = Some(message);
    });
    let until = Instant::now() + DISK_INTERVAL;
    let mut goes_on = true;
    while Instant::now() < until && goes_on {
        goes_on = !control.stop.load(Ordering::SeqCst);
        match control.server.wait(Duration::from_millis(100)) {
            Some(Command::Stop) => goes_on = false,
            Some(Command::Resume) => break,
            Some(other) => put_off.push_back(other),
            None => {}
        }
    }
    board.update(|status| {
        status.state = state;
        status.message = None;
    });
    goes_on
}
