//! `mosaic pause`, `resume`, `stop` and `kill`: send one command to the worker of one run (`preview` uses it too).

use std::io::Write;

use anyhow::{Result, bail};
use clap::Args;

use super::lab_and_runs_dir_options::LabPaths;
use crate::console;
use crate::runs::alive_silent_or_lost::Health;
use crate::runs::control_messages::{Act, Command, Reply};
use crate::runs::control_socket::{self, ControlError};
use crate::runs::launch_resume_kill_worker::{self, LaunchError};
use crate::runs::run_dir::RunDir;
use crate::runs::status_json::RunState;

/// A run's name.
#[derive(Clone, Debug, Args)]
pub struct RunArg {
    /// Run name, or a unique prefix of it.
    pub run: String,
}

/// A run to control.
#[derive(Clone, Debug, Args)]
pub struct SteerArgs {
    #[command(flatten)]
    pub run: RunArg,
    /// Take control from the dashboard or command that has it.
    #[arg(long)]
    pub force: bool,
}

/// Sends a command to a run's worker and prints the outcome.
///
/// # Errors
///
/// If the lab file is unusable, if the runs cannot be read, if no run or several runs match, or if the
/// command fails as in [`tell_run`].
pub fn tell(paths: &LabPaths, args: &SteerArgs, command: &Command) -> Result<()> {
    let run = paths.run(&args.run.run)?;
    tell_run(&run.dir, command, args.force)
}

/// Like [`tell`], for a known run; `force` takes control from its current holder.
///
/// # Errors
///
/// If the worker cannot be reached, does not reply in time or refuses, if another process has control of it
/// and `force` is false, or if writing to standard output fails.
pub fn tell_run(run: &RunDir, command: &Command, force: bool) -> Result<()> {
    let act = Act::Steer { command: command.clone(), take: force };
    let reply = match control_socket::send(run, act) {
        // A worker without a socket can still be asked to stop.
        Err(ControlError::NoWorker { .. })
            if *command == Command::Stop && launch_resume_kill_worker::terminate(run)? =>
        {
            Reply::Accepted
        }
        reply => reply?,
    };
    match reply {
        Reply::Accepted => {
            let done = match command {
                Command::Pause => "pauses at its next step",
                Command::Resume => "goes on",
                Command::Stop => "writes a checkpoint and stops",
                Command::Sample { .. } => "makes a preview",
                Command::Checkpoint => "writes a checkpoint",
                Command::PreviewEvery { .. } => "changes its previews",
            };
            writeln!(console::stdout(), "{} {done}", run.id())?;
            Ok(())
        }
        Reply::Refused { reason } => bail!("run '{}' refused: {reason}", run.id()),
        Reply::Held { by } => {
            bail!("{by} has control of run '{}'; use --force to take it", run.id())
        }
    }
}

/// Resumes a paused or queued worker, or starts a new one if there is none.
///
/// # Errors
///
/// If the lab file is unusable, if the runs cannot be read, if no run or several runs match, if the worker
/// cannot be told to go on, if a new one cannot be started, or if writing to standard output fails.
pub fn resume(paths: &LabPaths, args: &SteerArgs) -> Result<()> {
    let run = paths.run(&args.run.run)?;
    let waits = |state| matches!(state, RunState::Paused | RunState::Queued);
    if run.status.as_ref().is_some_and(|status| waits(status.state)) && run.health == Health::Alive
    {
        return tell_run(&run.dir, &Command::Resume, args.force);
    }
    launch_resume_kill_worker::resume(&run.dir, None)?;
    writeln!(console::stdout(), "{} resumes in a new worker", run.id)?;
    Ok(())
}

/// Kills a run's worker, without a checkpoint.
///
/// # Errors
///
/// If the lab file is unusable, if the runs cannot be read, if no run or several runs match, if another
/// process has control and `--force` is not given, if there is no worker or it cannot be killed, or if
/// writing to standard output fails.
pub fn kill(paths: &LabPaths, args: &SteerArgs) -> Result<()> {
    let run = paths.run(&args.run.run)?;
    match launch_resume_kill_worker::kill(&run.dir, args.force) {
        Err(LaunchError::Held { run, by }) => {
            bail!("{by} has control of run '{run}'; use --force to kill its worker anyway")
        }
        result => result?,
    }
    writeln!(
        console::stdout(),
        "killed the worker of {}; 'mosaic resume' continues from its last checkpoint",
        run.id
    )?;
    Ok(())
}
