//! Launches, resumes and kills the workers of runs.
//!
//! A worker is this same executable, run as `mosaic worker RUN_DIR`: without a terminal, in a session that it
//! creates first thing (`worker::run`), with its output in `worker.log`. It outlives its launcher. (It is not
//! spawned as a group leader, because a group leader cannot create a session.)
//!
//! A launch returns once the worker has taken over its run or has failed to. If it failed, its output becomes
//! the error message and no run is left that looks as if it were being launched.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{io, thread};

use thiserror::Error;

use super::alive_silent_or_lost::{self, START_LIMIT};
use super::catch_signals::masked;
use super::control_holder::Steering;
use super::control_messages::{Act, Command, Reply};
use super::format_versions::NewerFormat;
use super::process_identity::{ProcessId, this_program};
use super::run_dir::RunDir;
use super::run_lock::{self, Lock};
use super::run_toml::{self, Origin, RunToml};
use super::runs_dir::RunsDir;
use super::send_signal_to_worker::{Delivery, signal_worker};
use super::status_json::{RunState, Status, now_ms};
use super::{control_socket, queue};
use crate::config::{ConfigError, Experiment, SettingError};
use crate::hardware::compute_environment;
use crate::hardware::device_request::DeviceRequest;

/// Options of a launch besides the experiment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LaunchOptions {
    pub device: DeviceRequest,
    /// What tells the run from others of its experiment, as a part of its name; may be empty.
    pub label: String,
    /// The run that this one was edited from.
    pub parent: Option<String>,
    /// Worker threads; `None` means one per core.
    pub threads: Option<usize>,
    /// Wait until no other run in the directory is active.
    pub queued: bool,
}

#[derive(Debug, Error)]
pub enum LaunchError {
    #[error("experiment '{name}' cannot be launched")]
    Settings { name: String, source: SettingError },
    #[error(transparent)]
    Files(#[from] ConfigError),
    #[error("creating the directory of a run in '{}'", path.display())]
    Directory { path: PathBuf, source: io::Error },
    #[error("starting the worker of run '{run}'")]
    Spawn { run: String, source: io::Error },
    #[error("the worker of run '{run}' exited during startup ({how}){}", quoted(log))]
    Died { run: String, how: String, log: String },
    #[error("run '{run}' already has a worker{}; nothing to resume", pid.map_or(String::new(), |pid| format!(" (process {pid})")))]
    Busy { run: String, pid: Option<u32> },
    #[error("run '{run}' is finished; nothing to resume")]
    Finished { run: String },
    #[error("'{}' is not a run: it has no run.toml", path.display())]
    NoRun { path: PathBuf },
    #[error("run '{run}' has no worker to kill")]
    NoWorker { run: String },
    #[error("run '{run}' was not killed: {by} has control; take control first")]
    Held { run: String, by: String },
    #[error("run '{run}' was not changed")]
    Newer { run: String, source: NewerFormat },
    #[error(
        "the worker of run '{run}' cannot be reached from here: {why}; stop it where it runs, as the user who started it"
    )]
    OutOfReach { run: String, why: String },
    #[error(
        "the worker of run '{run}', process {pid}, was killed but has not exited yet (waiting for a disk or GPU); check with 'mosaic ls'"
    )]
    Unkilled { run: String, pid: u32 },
    #[error("sending a signal to the worker of run '{run}'")]
    Signal { run: String, source: io::Error },
}

fn quoted(log: &str) -> String {
    if log.is_empty() { String::new() } else { format!("; it said: {log}") }
}

/// Creates a run's directory and starts its worker.
///
/// # Errors
///
/// If the settings, the device or data files are unusable, or if the worker does not start; no run is left behind that
/// looks as if it were being launched.
pub fn launch(
    runs: &RunsDir,
    experiment: &Experiment,
    options: &LaunchOptions,
) -> Result<RunDir, LaunchError> {
    let name = experiment.name.to_string();
    experiment
        .check()
        .and_then(|()| experiment.check_device(&options.device))
        .map_err(|source| LaunchError::Settings { name, source })?;
    experiment.check_files()?;
    let directory = |source| LaunchError::Directory { path: runs.path().to_owned(), source };
    let n_bytes = std::path::absolute(runs.path()).map_err(directory)?.as_os_str().len();
    if n_bytes > PATH_BYTES_MAX {
        let words = format!(
            "its path is {n_bytes} bytes long; at most {PATH_BYTES_MAX} leave room for names in it"
        );
        return Err(directory(io::Error::other(words)));
    }
    let run_name = match options.label.as_str() {
        "" => experiment.name.to_string(),
        label => format!("{}-{label}", experiment.name),
    };
    let run = runs.create(&run_name).map_err(directory)?;
    let description = RunToml {
        parent: options.parent.clone(),
        created_ms: now_ms(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        device: options.device.clone(),
        origin: Origin::Trained,
        experiment: experiment.clone(),
    };
    let begun = run_toml::write(&run.run_toml_path(), &description)
        .and_then(|()| if options.queued { queue::enter(&run) } else { Ok(()) })
        .map_err(directory)
        .and_then(|()| spawn(&run, options.threads));
    match begun {
        Ok(()) => Ok(run),
        Err(error) => {
            abandon(&run, experiment.training.steps as u64, &error);
            Err(error)
        }
    }
}

/// Cleans up after a failed launch, so that no run looks as if it were being launched. A run whose worker could
/// not be started is deleted; one whose worker wrote to its log is kept as failed.
fn abandon(run: &RunDir, steps: u64, error: &LaunchError) {
    if run.status().is_some() || run_lock::look(run.path()) == Lock::Held {
        return;
    }
    // The launch error is the one to report; a directory that cannot be cleaned up is shown as lost.
    let _ = match error {
        LaunchError::Died { how, log, .. } => {
            let message = format!("the worker exited during startup ({how}){}", quoted(log));
            let status = Status { message: Some(message), ..Status::new(RunState::Failed, steps) };
            status.write(&run.status_path())
        }
        _ => std::fs::remove_dir_all(run.path()),
    };
}

/// Starts a new worker for a run that was stopped, failed or lost; `threads` as in [`LaunchOptions`].
///
/// # Errors
///
/// If the directory is not a run, has a live worker, is finished or was written by a newer mosaic, or if the
/// worker does not start.
pub fn resume(run: &RunDir, threads: Option<usize>) -> Result<(), LaunchError> {
    if !run.run_toml_path().is_file() {
        return Err(LaunchError::NoRun { path: run.path().to_owned() });
    }
    let status = readable(run)?;
    // A worker that hangs (heartbeat overdue) still holds the directory and must be killed first.
    if alive_silent_or_lost::is_at_work(run) {
        let pid = status.filter(|status| !status.state.is_over()).map(|status| status.worker.pid);
        return Err(LaunchError::Busy { run: run.id(), pid });
    }
    if status.is_some_and(|status| status.state == RunState::Finished) {
        return Err(LaunchError::Finished { run: run.id() });
    }
    spawn(run, threads)
}

/// The status of a run; an error if a newer mosaic wrote it.
fn readable(run: &RunDir) -> Result<Option<Status>, LaunchError> {
    run.readable_status().map_err(|source| LaunchError::Newer { run: run.id(), source })
}

/// Kills a worker immediately, without a checkpoint; the run can be resumed from its last one. If another
/// process has control of the worker, `force` is required. The worker itself is not consulted, since it may
/// hang.
///
/// # Errors
///
/// If there is no worker, if it cannot be reached or does not exit within 5 seconds, or if another process has
/// control and `force` is false.
pub fn kill(run: &RunDir, force: bool) -> Result<(), LaunchError> {
    // A worker whose status cannot be read is found by its lock.
    let status = readable(run)?;
    match run.steering() {
        Steering::Theirs(by) if !force => return Err(LaunchError::Held { run: run.id(), by }),
        _ => {}
    }
    let Some(pid) = signal(run, status.as_ref(), rustix::process::Signal::KILL)? else {
        return Err(LaunchError::NoWorker { run: run.id() });
    };
    // The kernel may take a while to end a process that waits for a disk or a GPU.
    let since = Instant::now();
    while run_lock::look(run.path()) == Lock::Held || ProcessId::of(pid).is_some() {
        if since.elapsed() > KILL_LIMIT {
            return Err(LaunchError::Unkilled { run: run.id(), pid });
        }
        thread::sleep(LOOK);
    }
    Ok(())
}

/// Asks the worker of a run to write a checkpoint and stop, whoever has control: by a signal, or over its
/// socket if a signal cannot reach it. Returns false if there is no worker.
///
/// # Errors
///
/// If the worker cannot be reached by either way.
pub fn terminate(run: &RunDir) -> Result<bool, LaunchError> {
    let status = readable(run)?;
    match signal(run, status.as_ref(), rustix::process::Signal::TERM) {
        Err(unreached) => {
            let act = Act::Steer { command: Command::Stop, take: true };
            match control_socket::send(run, act) {
                Ok(Reply::Accepted) => Ok(true),
                _ => Err(unreached),
            }
        }
        sent => sent.map(|pid| pid.is_some()),
    }
}

/// Signals the worker and returns its local process number, or `None` if there is no worker.
fn signal(
    run: &RunDir,
    status: Option<&Status>,
    signal: rustix::process::Signal,
) -> Result<Option<u32>, LaunchError> {
    let failed = |source| LaunchError::Signal { run: run.id(), source };
    match signal_worker(run, status, signal).map_err(failed)? {
        Delivery::Sent(pid) => Ok(Some(pid)),
        Delivery::NoWorker => Ok(None),
        Delivery::OutOfReach(why) => Err(LaunchError::OutOfReach { run: run.id(), why }),
    }
}

/// Standard input of a worker.
const NOTHING: &str = "/dev/null";
/// Maximum length of a runs directory's path in bytes; the kernel allows 4,096 including the files inside.
const PATH_BYTES_MAX: usize = 3_700;
/// Polling interval for a worker that was just started or killed.
const LOOK: Duration = Duration::from_millis(5);
/// Time limit for a killed process to exit; only one that waits for hardware takes longer.
const KILL_LIMIT: Duration = Duration::from_secs(5);
/// Number of bytes quoted from the end of a log.
const QUOTED_BYTES: usize = 600;

fn spawn(run: &RunDir, threads: Option<usize>) -> Result<(), LaunchError> {
    let attempt = || -> io::Result<Child> {
        run.unshare_files()?;
        let log = OpenOptions::new().create(true).append(true).mode(0o600).open(run.log_path())?;
        let mut worker = Process::new(this_program()?);
        // The name shown by `ps` and `top`, whatever the executable file is called.
        worker.arg0("mosaic").arg("worker").arg(std::path::absolute(run.path())?);
        worker.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        worker.envs(compute_environment::missing());
        if let Some(threads) = threads {
            worker.env("RAYON_NUM_THREADS", threads.to_string());
        }
        if !Path::new(NOTHING).exists() {
            return Err(io::Error::other(format!(
                "its input '{NOTHING}' is missing on this computer"
            )));
        }
        masked(|| worker.spawn())?
    };
    let log_before = log_bytes(run);
    let mut child = attempt().map_err(|source| LaunchError::Spawn { run: run.id(), source })?;
    if let Some(how) = await_worker(run, &mut child) {
        let log = log_since(run, log_before);
        return Err(LaunchError::Died { run: run.id(), how: how.to_string(), log });
    }
    // Reaps the worker if it exits before this process does. The worker does not depend on it, so failure to
    // start the thread is ignored.
    let reap = move || {
        let _ = child.wait();
    };
    let _ = thread::Builder::new().name("reaper".to_owned()).spawn(reap);
    Ok(())
}

/// Waits until a worker has taken over its run; returns its exit status if it exited before that.
fn await_worker(run: &RunDir, child: &mut Child) -> Option<ExitStatus> {
    let started = Instant::now();
    let pid = child.id();
    let is_at_work = || {
        let found = run.status().is_some_and(|status| status.worker.pid == pid);
        found || started.elapsed() > START_LIMIT
    };
    loop {
        let ended = child.try_wait().ok().flatten();
        // `try_wait` is called before the status is read: a worker that finished in between has reported it.
        match (is_at_work(), ended) {
            (true, _) => return None,
            (false, Some(how)) => return Some(how),
            (false, None) => thread::sleep(LOOK),
        }
    }
}

fn log_bytes(run: &RunDir) -> u64 {
    std::fs::metadata(run.log_path()).map_or(0, |data| data.len())
}

/// Location and last lines of a worker's log, to explain why the worker is gone.
pub fn log_words(run: &RunDir) -> String {
    match log_since(run, 0).as_str() {
        "" => format!("its log '{}' is empty", run.log_path().display()),
        log => format!("the last lines of its log '{}': {log}", run.log_path().display()),
    }
}

/// The end of what the worker has logged since the log had `before` bytes, joined into one line.
pub fn log_since(run: &RunDir, before: u64) -> String {
    let bytes = std::fs::read(run.log_path()).unwrap_or_default();
    let new = usize::try_from(before).ok().and_then(|before| bytes.get(before..)).unwrap_or(&bytes);
    let end = &new[new.len().saturating_sub(QUOTED_BYTES)..];
    let text = String::from_utf8_lossy(end);
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}
