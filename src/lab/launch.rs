//! Starting, resuming and killing workers.
//!
//! A worker is this very program as `mosaic worker RUN_DIR`: no terminal, a session of its own as
//! its first act (`worker::run`), output to `worker.log`. It outlives whoever launched it. (It is not
//! made a group leader at birth, because a leader cannot start a session.)

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Command as Process, Stdio};
use std::thread;

use thiserror::Error;

use super::config::{ConfigError, Experiment, SettingError};
use super::format::NewerFormat;
use super::holder::Steering;
use super::queue;
use super::run_dir::{RunDir, RunsDir};
use super::run_toml::{self, RunToml};
use super::status::{RunState, Status, now_ms};

/// What a launch needs to know besides the experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct LaunchOptions {
    /// As [`super::device::Wanted`] reads it.
    pub device: String,
    /// The run that this one was edited from.
    pub parent: Option<String>,
    /// Threads of the worker; as many as there are cores where it is left open.
    pub threads: Option<usize>,
    /// Wait until no other run of the directory is at work.
    pub queued: bool,
}

impl Default for LaunchOptions {
    fn default() -> Self {
        Self { device: "auto".to_owned(), parent: None, threads: None, queued: false }
    }
}

#[derive(Debug, Error)]
pub enum LaunchError {
    #[error("experiment '{name}' cannot be launched: {source}")]
    Settings { name: String, source: SettingError },
    #[error(transparent)]
    Files(#[from] ConfigError),
    #[error("making the directory of a run in '{}'", path.display())]
    Directory { path: PathBuf, source: io::Error },
    #[error("starting the worker of run '{run}'")]
    Spawn { run: String, source: io::Error },
    #[error("run '{run}' has a worker at work{}; nothing to resume", pid.map_or(String::new(), |pid| format!(" (process {pid})")))]
    Busy { run: String, pid: Option<u32> },
    #[error("run '{run}' is finished; nothing to resume")]
    Finished { run: String },
    #[error("'{}' is no run: it has no run.toml", path.display())]
    NoRun { path: PathBuf },
    #[error("run '{run}' has no worker to kill")]
    NoWorker { run: String },
    #[error("run '{run}' is not killed: {by} steers it; take control over first")]
    Held { run: String, by: String },
    #[error("run '{run}' is left alone")]
    Newer { run: String, source: NewerFormat },
    #[error("killing the worker of run '{run}', process {pid}")]
    Kill { run: String, pid: u32, source: io::Error },
}

/// Makes a run's directory and starts its worker.
pub fn launch(
    runs: &RunsDir,
    experiment: &Experiment,
    options: &LaunchOptions,
) -> Result<RunDir, LaunchError> {
    let name = experiment.name.clone();
    experiment.check().map_err(|source| LaunchError::Settings { name, source })?;
    experiment.check_files()?;
    let directory = |source| LaunchError::Directory { path: runs.path().to_owned(), source };
    let run = runs.create(&experiment.name).map_err(directory)?;
    let description = RunToml {
        parent: options.parent.clone(),
        created_ms: now_ms(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        device: options.device.clone(),
        experiment: experiment.clone(),
    };
    run_toml::write(&run.run_toml_path(), &description).map_err(directory)?;
    if options.queued {
        queue::enter(&run).map_err(directory)?;
    }
    spawn(&run, options.threads)?;
    Ok(run)
}

/// Starts a new worker on a run that was stopped, failed or lost; `threads` as in [`LaunchOptions`].
pub fn resume(run: &RunDir, threads: Option<usize>) -> Result<(), LaunchError> {
    if !run.run_toml_path().is_file() {
        return Err(LaunchError::NoRun { path: run.path().to_owned() });
    }
    let status = readable(run)?;
    // A worker that hangs (silent by its heartbeat) still holds the directory: kill it first.
    if run.is_at_work(status.as_ref()) {
        let pid = status.filter(|status| !status.state.is_over()).map(|status| status.worker.pid);
        return Err(LaunchError::Busy { run: run.id(), pid });
    }
    if status.is_some_and(|status| status.state == RunState::Finished) {
        return Err(LaunchError::Finished { run: run.id() });
    }
    spawn(run, threads)
}

/// Where a run stands, unless a newer mosaic has it.
fn readable(run: &RunDir) -> Result<Option<Status>, LaunchError> {
    run.readable_status().map_err(|source| LaunchError::Newer { run: run.id(), source })
}

/// Ends a worker at once, without a checkpoint; the run can be resumed from its last one. A worker that someone else
/// steers is killed only with `force`. It is not asked: it may hang.
pub fn kill(run: &RunDir, force: bool) -> Result<(), LaunchError> {
    let no_worker = || LaunchError::NoWorker { run: run.id() };
    let status = readable(run)?.filter(|status| !status.state.is_over()).ok_or_else(no_worker)?;
    match run.steering() {
        Steering::Theirs(by) if !force => return Err(LaunchError::Held { run: run.id(), by }),
        _ => {}
    }
    let pid = i32::try_from(status.worker.pid).ok().and_then(rustix::process::Pid::from_raw);
    let pid = pid.filter(|_| status.worker.is_running()).ok_or_else(no_worker)?;
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).map_err(|error| {
        LaunchError::Kill { run: run.id(), pid: status.worker.pid, source: error.into() }
    })
}

/// The allocator's delay before freed memory goes back to the system; -1: never. A training step frees
/// and takes the same few hundred megabytes again, and the system clears every page it hands out. Read by the allocator at a process's start.
pub const KEEP_FREED_MEMORY: &str = "MIMALLOC_PURGE_DELAY";
pub const KEPT: &str = "-1";

fn spawn(run: &RunDir, threads: Option<usize>) -> Result<(), LaunchError> {
    let attempt = || -> io::Result<()> {
        let log = OpenOptions::new().create(true).append(true).mode(0o600).open(run.log_path())?;
        let mut worker = Process::new(std::env::current_exe()?);
        worker.arg("worker").arg(std::path::absolute(run.path())?);
        worker.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        if std::env::var_os(KEEP_FREED_MEMORY).is_none() {
            worker.env(KEEP_FREED_MEMORY, KEPT);
        }
        if let Some(threads) = threads {
            worker.env("RAYON_NUM_THREADS", threads.to_string());
        }
        let mut child = worker.spawn()?;
        // Reap it when it ends while we still live; it does not need us otherwise.
        thread::Builder::new().name("reaper".to_owned()).spawn(move || child.wait())?;
        Ok(())
    };
    attempt().map_err(|source| LaunchError::Spawn { run: run.id(), source })
}
