//! `pause`, `resume`, `stop`, `kill`, `preview`: send one command to one run.

use std::io::Write;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::lab_paths::LabPaths;
use crate::console;
use crate::runs::command::{Act, Command, Reply};
use crate::runs::control::{self, ControlError};
use crate::runs::launch::{self, LaunchError};
use crate::runs::liveness::Health;
use crate::runs::run_dir::RunDir;
use crate::runs::runs_dir::{RunSummary, RunsDir};
use crate::runs::status::RunState;

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

/// Finds the run that a name or prefix refers to.
///
/// # Errors
///
/// If no run or several runs match.
pub fn find(runs: &RunsDir, prefix: &str) -> Result<RunSummary> {
    let place = runs.path().display();
    let reading = || format!("reading the runs in '{place}'");
    let mut found = runs.matching(prefix).with_context(reading)?;
    if found.len() == 1 {
        return Ok(found.remove(0));
    }
    if found.is_empty() {
        let listing = runs.listing().with_context(reading)?;
        let hidden = match listing.n_unreadable {
            0 => String::new(),
            n => format!(" ({n} unreadable directories skipped; they may belong to other users)"),
        };
        let known: Vec<String> = listing.runs.into_iter().take(10).map(|run| run.id).collect();
        if known.is_empty() {
            bail!(
                "there is no run '{prefix}': '{place}' holds no runs that can be read{hidden}; start one with 'mosaic run EXPERIMENT'"
            );
        }
        bail!(
            "there is no run '{prefix}' in '{place}'{hidden}; the newest are {}",
            known.join(", ")
        );
    }
    let candidates: Vec<String> = found.into_iter().map(|run| run.id).collect();
    bail!(
        "'{prefix}' matches {} runs: {}; type more of the name",
        candidates.len(),
        candidates.join(", ")
    )
}

/// Sends a command to a run's worker and prints the outcome.
///
/// # Errors
///
/// If the lab file is unusable, if the runs cannot be read, if no run or several runs match, or if the
/// command fails as in [`tell_run`].
pub fn tell(paths: &LabPaths, args: &SteerArgs, command: &Command) -> Result<()> {
    let run = find(&paths.runs()?, &args.run.run)?;
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
    let reply = match control::send(run, act) {
        // A worker without a socket can still be asked to stop.
        Err(ControlError::NoWorker { .. })
            if *command == Command::Stop && launch::terminate(run)? =>
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
    let run = find(&paths.runs()?, &args.run.run)?;
    let waits = |state| matches!(state, RunState::Paused | RunState::Queued);
    if run.status.as_ref().is_some_and(|status| waits(status.state)) && run.health == Health::Alive
    {
        return tell_run(&run.dir, &Command::Resume, args.force);
    }
    launch::resume(&run.dir, None)?;
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
    let run = find(&paths.runs()?, &args.run.run)?;
    match launch::kill(&run.dir, args.force) {
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
