//! The lab thread: carries out effects on runs, and polls them for news.
//!
//! It does everything that may block (files, sockets), so that keys never wait.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;
use std::{io, thread};

use super::disk::Disk;
use super::message::{Effect, Message};
use super::state::Notice;
use crate::console::output::panic_words;
use crate::runs::command::{Act, Command};
use crate::runs::liveness::Health;
use crate::runs::runs_dir::RunSummary;

/// How often the lab is polled for news.
pub const POLL: Duration = Duration::from_millis(250);
/// Polls between two readings of this computer.
const POLLS_PER_READING: u32 = 8;

/// Starts the thread. It ends when `orders` or `messages` is closed.
///
/// # Errors
///
/// If no thread can be started.
pub fn spawn(messages: Sender<Message>, orders: Receiver<Effect>, disk: Disk) -> io::Result<()> {
    thread::Builder::new().name("lab".to_owned()).spawn(move || {
        let mut runner = EffectRunner {
            disk,
            open: None,
            marked: Vec::new(),
            runs: Vec::new(),
            steps: Vec::new(),
            polls: 0,
        };
        let work = AssertUnwindSafe(|| runner.work(&messages, &orders));
        if panic::catch_unwind(work).is_err() {
            let words =
                "internal error in the dashboard's reader; quit with q and restart, runs continue";
            let _ = messages.send(Message::Notice(Notice::error(words)));
        }
    })?;
    Ok(())
}

/// The state of the lab thread.
struct EffectRunner {
    disk: Disk,
    /// The open run, whose files are read.
    open: Option<String>,
    /// Marked runs, whose events are read.
    marked: Vec<String>,
    /// The list of runs as sent last, so that nothing is drawn when nothing changed.
    runs: Vec<RunSummary>,
    /// The preview steps of the open run as sent last.
    steps: Vec<u64>,
    /// Polls since the last reading of this computer.
    polls: u32,
}

impl EffectRunner {
    /// Sends new messages and carries out effects until the dashboard ends.
    fn work(&mut self, messages: &Sender<Message>, orders: &Receiver<Effect>) {
        loop {
            for message in self.news() {
                if messages.send(message).is_err() {
                    return;
                }
            }
            match orders.recv_timeout(POLL) {
                Ok(effect) => {
                    for message in self.carry_out(effect, messages) {
                        if messages.send(message).is_err() {
                            return;
                        }
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// What has changed since the last poll.
    fn news(&mut self) -> Vec<Message> {
        let mut news = Vec::new();
        let runs = self.disk.runs.list();
        if runs != self.runs {
            self.runs.clone_from(&runs);
            news.push(Message::Runs(runs));
        }
        if self.polls == 0 {
            news.push(Message::System(Box::new(self.disk.monitor.read(self.worker()))));
        }
        self.polls = (self.polls + 1) % POLLS_PER_READING;
        let marked = self.marked.iter().filter(|run| Some(*run) != self.open.as_ref());
        for run in marked.chain(&self.open) {
            let events = self.disk.events(run);
            if !events.is_empty() {
                news.push(Message::Events { run: run.clone(), events });
            }
        }
        if let Some(run) = self.open.clone() {
            if let Some(log) = self.disk.log(&run) {
                news.push(Message::Log { run: run.clone(), log });
            }
            let steps = self.disk.preview_steps(&run);
            if steps != self.steps {
                self.steps.clone_from(&steps);
                news.push(Message::PreviewSteps { run, steps });
            }
        }
        news
    }

    /// The process id of the open run's worker.
    fn worker(&self) -> Option<u32> {
        let run = self.runs.iter().find(|run| Some(&run.id) == self.open.as_ref())?;
        let status = run.status.as_ref().filter(|_| run.health == Health::Alive)?;
        status.worker.pid_here()
    }

    /// Carries out an effect and returns what came of it; slow work sends its message later.
    fn carry_out(&mut self, effect: Effect, messages: &Sender<Message>) -> Vec<Message> {
        match effect {
            Effect::Open(run) => vec![self.open(run)],
            Effect::FollowMarked(runs) => {
                self.follow_marked(runs);
                Vec::new()
            }
            Effect::LoadPreview { run, step } => {
                let preview = self.disk.preview(&run, step).map(Box::new);
                vec![Message::Preview { run, preview }]
            }
            Effect::LoadCalibration(run) => {
                let calibration = self.disk.calibration(&run).map(|found| found.map(Box::new));
                vec![Message::Calibration { run, calibration }]
            }
            Effect::Export(export) => {
                let run = export.run.clone();
                let work = self.disk.export(*export);
                in_background(messages, work, move |written| {
                    let notice = written.map_or_else(Notice::error, Notice::info);
                    Message::Notice(match run {
                        Some(run) => notice.about(run),
                        None => notice,
                    })
                })
            }
            Effect::Trace { run, seed, may_compute } => {
                let work = self.disk.trace(&run, seed, may_compute);
                in_background(messages, work, move |trace| {
                    let trace = trace.map(Arc::new);
                    Message::Trace { run, seed, trace }
                })
            }
            Effect::MakePreview { run, request } => {
                let work = self.disk.make_preview(&run, &request);
                in_background(messages, work, move |made| Message::PreviewMade { run, made })
            }
            effect => steer(&self.disk, effect).into_iter().collect(),
        }
    }

    /// Reads another run from now on.
    fn open(&mut self, run: String) -> Message {
        if let Some(old) = self.open.replace(run.clone())
            && !self.marked.contains(&old)
        {
            self.disk.forget(&old);
        }
        // The screen has nothing of it yet, even if its events were read as those of a marked run.
        self.disk.forget(&run);
        self.steps.clear();
        let experiment = self.disk.experiment(&run).map(Box::new);
        Message::Experiment { run, experiment }
    }

    fn follow_marked(&mut self, runs: Vec<String>) {
        let gone = self.marked.iter().filter(|run| !runs.contains(run));
        for run in gone.filter(|run| Some(*run) != self.open.as_ref()) {
            self.disk.forget(run);
        }
        self.marked = runs;
    }
}

/// Launches a run, or does something to one. The effects of the terminal were carried out by the shell.
fn steer(disk: &Disk, effect: Effect) -> Option<Message> {
    let notice = match effect {
        Effect::Launch { experiment, parent, queued } => {
            let launched = disk.launch(&experiment, parent.as_deref(), queued);
            return Some(Message::Launched(launched));
        }
        Effect::Rename { run, to } => {
            let renamed = disk.rename(&run, &to);
            return Some(Message::Renamed { from: run, renamed });
        }
        Effect::Resume(run) => {
            outcome(disk.resume(&run), format!("a new worker for {run}")).about(run)
        }
        Effect::Delete(run) => outcome(disk.delete(&run), format!("{run} is deleted")).about(run),
        Effect::Kill(run) => {
            outcome(disk.kill(&run), format!("killed the worker of {run}")).about(run)
        }
        Effect::Describe { run, about } => {
            outcome(disk.describe(&run, &about), format!("{run}: noted")).about_command(run)
        }
        Effect::Send { run, command } => {
            let words = progress_words(&command);
            send(disk, run, Act::Steer { command, take: false }, words)
        }
        Effect::Hold(run) => send(disk, run, Act::Hold, "you have control"),
        Effect::Release(run) => send(disk, run, Act::Release, "you gave up control"),
        _ => return None,
    };
    Some(Message::Notice(notice))
}

/// The notice on something that was done or failed.
fn send(disk: &Disk, run: String, act: Act, words: &str) -> Notice {
    outcome(disk.send(&run, act), format!("{run}: {words}")).about_command(run)
}

fn outcome(result: Result<(), String>, words: String) -> Notice {
    result.map_or_else(Notice::error, |()| Notice::info(words))
}

/// Runs work that takes seconds in a thread of its own, so that it does not delay other messages. Its message is sent when
/// it is done.
fn in_background<T>(
    messages: &Sender<Message>,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
    to_message: impl FnOnce(Result<T, String>) -> Message + Clone + Send + 'static,
) -> Vec<Message> {
    let (messages, refused) = (messages.clone(), to_message.clone());
    let begun = thread::Builder::new().name("background".to_owned()).spawn(move || {
        // A panic is an error, so that the screen does not wait for ever.
        let done = panic::catch_unwind(AssertUnwindSafe(work))
            .unwrap_or_else(|panic| Err(format!("internal error: {}", panic_words(&*panic))));
        // Nobody listens when the dashboard has been left.
        let _ = messages.send(to_message(done));
    });
    match begun {
        Ok(_) => Vec::new(),
        Err(error) => vec![refused(Err(format!("starting a thread: {error}")))],
    }
}

/// What a worker does now, after a command.
fn progress_words(command: &Command) -> &'static str {
    match command {
        Command::Pause => "pausing after this step",
        Command::Resume => "going on",
        Command::Stop => "writing a checkpoint, then stopping",
        Command::Checkpoint => "writing a checkpoint",
        Command::Sample { .. } => "making a preview",
        Command::PreviewEvery { .. } => "preview interval changed",
    }
}
