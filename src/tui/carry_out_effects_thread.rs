//! The lab thread: polls the runs for news, and carries out effects on them: it launches, steers, renames and deletes runs,
//! and reads or makes what the screen shows.
//!
//! It does everything that may block (files, sockets), so that keys never wait. Errors are texts for the screen.

use std::io::{BufRead, BufReader};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;
use std::{io, thread};

use super::export::exported_tables_and_curves::Export;
use super::export::write_csv_text_and_png::EXPORTS_DIR;
use super::messages_and_effects::{Effect, Message, RunEffect, RunMessage};
use super::number_and_text_format::with_causes;
use super::run_watcher::RunWatcher;
use super::state::Notice;
use crate::config::Experiment;
use crate::config::name_of_changes::changes_in_words;
use crate::console::escaped_stdout_and_stderr::panic_words;
use crate::evaluation::calibration::Calibration;
use crate::evaluation::inspect::{self, Trace};
use crate::evaluation::preview_request::PreviewRequest;
use crate::evaluation::studies::enqueue_training_seeds::enqueue;
use crate::hardware::device_request::DeviceRequest;
use crate::runs::control_messages::{Act, Command, Reply};
use crate::runs::control_socket;
use crate::runs::launch_resume_kill_worker::{self, LaunchError, LaunchOptions};
use crate::runs::preview_files::{self, Preview};
use crate::runs::process_identity::this_program;
use crate::runs::run_dir::RunDir;
use crate::runs::runs_dir::RunsDir;

/// How often the lab is polled for news.
pub const POLL: Duration = Duration::from_millis(250);

/// Starts the thread. It ends when `orders` or `messages` is closed. Runs are launched on `device`, and named after what
/// differs from `experiments`, those of lab.toml.
///
/// # Errors
///
/// If no thread can be started.
pub fn spawn(
    messages: Sender<Message>,
    orders: Receiver<Effect>,
    runs: RunsDir,
    device: DeviceRequest,
    experiments: Vec<Experiment>,
) -> io::Result<()> {
    thread::Builder::new().name("lab".to_owned()).spawn(move || {
        let mut lab = LabThread { watcher: RunWatcher::new(runs), device, experiments, messages };
        if panic::catch_unwind(AssertUnwindSafe(|| lab.work(&orders))).is_err() {
            let words =
                "internal error in the dashboard's reader; quit with q and restart, runs continue";
            let _ = lab.messages.send(Message::Notice(Notice::error(words)));
        }
    })?;
    Ok(())
}

/// The state of the lab thread.
struct LabThread {
    watcher: RunWatcher,
    /// The device of launched runs.
    device: DeviceRequest,
    /// Those of lab.toml.
    experiments: Vec<Experiment>,
    messages: Sender<Message>,
}

impl LabThread {
    /// Sends new messages and carries out effects until the dashboard ends.
    fn work(&mut self, orders: &Receiver<Effect>) {
        while self.watcher.news().into_iter().all(|message| self.messages.send(message).is_ok()) {
            let effect = match orders.recv_timeout(POLL) {
                Ok(effect) => effect,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if let Some(message) = self.carry_out(effect)
                && self.messages.send(message).is_err()
            {
                return;
            }
        }
    }

    /// Carries out an effect and returns what came of it; slow work sends its message later. The effects of the terminal
    /// were carried out by the shell.
    fn carry_out(&mut self, effect: Effect) -> Option<Message> {
        match effect {
            Effect::OnRun(run, effect) => self.carry_out_on(run, effect),
            Effect::FollowMarked(runs) => {
                self.watcher.follow_marked(runs);
                None
            }
            Effect::Launch { experiment, parent, queued } => {
                let device = self.device.clone();
                let base = self.experiments.iter().find(|base| base.name == experiment.name);
                let label =
                    base.map(|base| changes_in_words(base, &experiment)).unwrap_or_default();
                let options = LaunchOptions { device, label, parent, threads: None, queued };
                let launched =
                    launch_resume_kill_worker::launch(&self.watcher.runs, &experiment, &options);
                Some(Message::Launched(launched.map(|run| run.id()).map_err(with_causes)))
            }
            Effect::LaunchSeeds { arms, queued } => {
                let device = self.device.clone();
                let options = LaunchOptions { device, queued, ..LaunchOptions::default() };
                let runs = self.watcher.runs.clone();
                self.in_background(move || Ok(enqueue(&runs, &arms, &options)), Message::Enqueued)
            }
            Effect::Export(export) => {
                let runs = self.watcher.runs.path().to_owned();
                let run = export.run.clone();
                self.in_background(
                    move || write_export(&runs, &export),
                    move |written| {
                        let notice = written.map_or_else(Notice::error, Notice::info);
                        Message::Notice(match run {
                            Some(run) => notice.about(run),
                            None => notice,
                        })
                    },
                )
            }
            _ => None,
        }
    }

    /// Carries out an effect on one run.
    fn carry_out_on(&mut self, run: String, effect: RunEffect) -> Option<Message> {
        let dir = self.watcher.dir(&run);
        let runs = self.watcher.runs.path().to_owned();
        let notice = match effect {
            RunEffect::Open => return Some(self.watcher.open(run)),
            RunEffect::LoadPreview(step) => {
                let read =
                    Preview::read(&dir.previews_path().join(preview_files::directory_name(step)));
                let preview = read.map(Box::new).map_err(with_causes);
                return Some(Message::OfRun(run, RunMessage::Preview(preview)));
            }
            RunEffect::LoadCalibration => {
                let read = Calibration::read(&dir.calibration_path());
                let calibration = read.map(|found| found.map(Box::new)).map_err(with_causes);
                return Some(Message::OfRun(run, RunMessage::Calibration(calibration)));
            }
            RunEffect::Trace { seed, may_compute } => {
                return self.in_background(
                    move || trace(&runs, &dir, seed, may_compute).map(Arc::new),
                    move |trace| Message::OfRun(run, RunMessage::Trace { seed, trace }),
                );
            }
            RunEffect::MakePreview(PreviewRequest { seeds, steps }) => {
                let (id, seeds, steps) = (dir.id(), seeds.to_string(), steps.to_string());
                return self.in_background(
                    move || {
                        let arguments = ["preview", &id, "--seeds", &seeds, "--steps", &steps];
                        compute(&runs, &arguments, &format!("making a preview of '{id}'"))
                    },
                    move |made| Message::OfRun(run, RunMessage::PreviewMade(made)),
                );
            }
            RunEffect::Recompute(what) => {
                let word: &str = what.into();
                let (id, said, messages) = (dir.id(), run.clone(), self.messages.clone());
                let tell = move |line: &str| {
                    let notice = Notice::info(format!("{said}: {line}")).about(said.clone());
                    // Nobody listens when the dashboard has been left.
                    let _ = messages.send(Message::Notice(notice));
                };
                return self.in_background(
                    move || {
                        let name = format!("mosaic {word} {id}");
                        compute_and_tell(&runs, &[word, &id], &name, tell)
                    },
                    move |done| Message::OfRun(run, RunMessage::Recomputed(what, done)),
                );
            }
            RunEffect::Rename(to) => {
                let renamed = self.watcher.runs.rename(&dir, &to).map_err(with_causes);
                return Some(Message::OfRun(run, RunMessage::Renamed(renamed)));
            }
            RunEffect::Resume => {
                let resumed = launch_resume_kill_worker::resume(&dir, None).map_err(with_causes);
                outcome(resumed, format!("a new worker for {run}")).about(run)
            }
            RunEffect::Delete => {
                let deleted = dir.delete().map_err(with_causes);
                outcome(deleted, format!("{run} is deleted")).about(run)
            }
            RunEffect::Kill => {
                let killed =
                    launch_resume_kill_worker::kill(&dir, false).map_err(|error| match error {
                        LaunchError::Held { by, .. } => held(&by, &run),
                        error => with_causes(error),
                    });
                outcome(killed, format!("killed the worker of {run}")).about(run)
            }
            RunEffect::Describe(about) => {
                let path = dir.about_path();
                let failed = |error| format!("writing '{}': {error}", path.display());
                let written = about.write(&path).map_err(failed);
                outcome(written, format!("{run}: noted")).about_command(run)
            }
            RunEffect::Send(command) => {
                let words = progress_words(&command);
                send(&dir, run, Act::Steer { command, take: false }, words)
            }
            RunEffect::Hold => send(&dir, run, Act::Hold, "you have control"),
            RunEffect::Release => send(&dir, run, Act::Release, "you gave up control"),
        };
        Some(Message::Notice(notice))
    }

    /// Runs work that takes seconds in a thread of its own, so that it does not delay other messages. Its message is sent
    /// when it is done.
    fn in_background<T>(
        &self,
        work: impl FnOnce() -> Result<T, String> + Send + 'static,
        to_message: impl FnOnce(Result<T, String>) -> Message + Clone + Send + 'static,
    ) -> Option<Message> {
        let (messages, refused) = (self.messages.clone(), to_message.clone());
        let begun = thread::Builder::new().name("background".to_owned()).spawn(move || {
            // A panic is an error, so that the screen does not wait for ever.
            let done = panic::catch_unwind(AssertUnwindSafe(work))
                .unwrap_or_else(|panic| Err(format!("internal error: {}", panic_words(&*panic))));
            // Nobody listens when the dashboard has been left.
            let _ = messages.send(to_message(done));
        });
        begun.err().map(|error| refused(Err(format!("starting a thread: {error}"))))
    }
}

/// Sends a command to a worker in the dashboard's name.
fn send(dir: &RunDir, run: String, act: Act, words: &str) -> Notice {
    let sent = match control_socket::send(dir, act) {
        Ok(Reply::Accepted) => Ok(()),
        Ok(Reply::Refused { reason }) => Err(format!("run '{run}' refused: {reason}")),
        Ok(Reply::Held { by }) => Err(held(&by, &run)),
        Err(error) => Err(with_causes(error)),
    };
    outcome(sent, format!("{run}: {words}")).about_command(run)
}

/// The notice on something that was done or failed.
fn outcome(result: Result<(), String>, words: String) -> Notice {
    result.map_or_else(Notice::error, |()| Notice::info(words))
}

fn held(by: &str, run: &str) -> String {
    format!("{by} has control of '{run}'; T takes it")
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

/// Runs a mosaic command in a process of its own, because the dashboard never computes. `what` names it in errors.
fn compute(runs: &Path, arguments: &[&str], what: &str) -> Result<(), String> {
    compute_and_tell(runs, arguments, what, |_| {})
}

/// [`compute`], with each line of the command's messages passed to `tell`.
fn compute_and_tell(
    runs: &Path,
    arguments: &[&str],
    what: &str,
    tell: impl Fn(&str),
) -> Result<(), String> {
    let failed = |error| format!("{what}: {error}");
    let program = this_program().map_err(failed)?;
    let mut work = Process::new(program);
    work.arg("--runs-dir").arg(runs).args(arguments);
    work.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = work.spawn().map_err(failed)?;
    let mut last = "it said nothing".to_owned();
    for line in
        child.stderr.take().into_iter().flat_map(|stderr| BufReader::new(stderr).split(b'\n'))
    {
        let Ok(line) = line else { break };
        let line = String::from_utf8_lossy(&line).trim().to_owned();
        if !line.is_empty() {
            tell(&line);
            last = line;
        }
    }
    if child.wait().map_err(failed)?.success() {
        return Ok(());
    }
    Err(format!("{what}: {last}"))
}

/// Reads the trace of a noise seed through a run's newest network, and computes it first if there is none.
fn trace(runs: &Path, dir: &RunDir, seed: u64, may_compute: bool) -> Result<Trace, String> {
    if !inspect::is_current(dir, seed) {
        if !may_compute {
            return Err(format!("seed {seed} has no trace yet, and this dashboard is read-only"));
        }
        let what = format!("tracing seed {seed} of '{}'", dir.id());
        compute(runs, &["inspect", &dir.id(), "--seed", &seed.to_string()], &what)?;
    }
    Trace::read(&inspect::path_of(dir, seed)).map_err(with_causes)
}

/// Writes an export and returns a text that names the files.
fn write_export(runs: &Path, export: &Export) -> Result<String, String> {
    let folder = match &export.run {
        Some(run) => runs.join(run).join(EXPORTS_DIR),
        None => PathBuf::from("."),
    };
    let failed = |error| format!("exporting {}: {error:#}", export.stem);
    let written = export.write(&folder).map_err(failed)?;
    let first = written.first().map(|path| path.with_extension("")).unwrap_or(folder);
    let name = first.file_name().unwrap_or_default().to_string_lossy();
    let ends = written.iter().filter_map(|path| path.file_name()?.to_str());
    let ends: Vec<&str> = ends.filter_map(|end| end.strip_prefix(&*name)).collect();
    Ok(format!("exported: {} ({})", first.display(), ends.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_only_dashboard_makes_no_trace() {
        let place = tempfile::tempdir().unwrap();
        let run = RunsDir::new(place.path()).create("a").unwrap();
        let refused = trace(place.path(), &run, 3, false).unwrap_err();
        assert_eq!(refused, "seed 3 has no trace yet, and this dashboard is read-only");
        assert!(!inspect::path_of(&run, 3).exists());
    }
}
