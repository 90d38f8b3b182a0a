//! Runs the subcommand that the arguments name, or the dashboard if they name none.

use std::env;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command as Process, ExitCode};

use anyhow::{Context, Result};
use signal_hook::consts::SIGXFSZ;

use super::arguments::{Cli, Subcommands};
use super::attach::AttachArgs;
use super::{
    attach, bench, calibrate, compare, completions, data, denoise, doctor, experiments, export,
    external, import, init, inspect, logs, ls, man, note, pause_resume_stop_kill, preview, prune,
    rename, report, reproduce, rm, run, sample, show, theory,
};
use crate::allocator::when_exhausted;
use crate::files::is_stdout_closed;
use crate::hardware::compute_environment;
use crate::hardware::resource_limits::{memory, start_threads};
use crate::runs::catch_signals;
use crate::runs::control_messages::Command as WorkerCommand;
use crate::runs::process_identity::this_program;
use crate::{errorln, worker};

/// Runs the requested command.
///
/// # Errors
///
/// If signals cannot be caught, if threads cannot be started, or if the command or the dashboard fails.
pub fn dispatch(cli: Cli) -> Result<ExitCode> {
    let paths = &cli.paths;
    // Exceeding a file size limit then causes an error message instead of ending the process.
    catch_signals::pass_over(SIGXFSZ).context("listening for signals")?;
    let Some(command) = cli.command else { return attach::run(paths, &AttachArgs::default()) };
    if command.computes() {
        restart_to_compute();
        start_threads()?;
    }
    // A worker has its own out-of-memory report.
    if !matches!(command, Subcommands::Worker { .. } | Subcommands::Attach(_)) {
        when_exhausted(|bytes| {
            errorln!("error: out of memory: an allocation of {bytes} bytes failed; {}", memory());
        });
    }
    match command {
        Subcommands::Worker { run_dir } => return Ok(ExitCode::from(worker::run(&run_dir))),
        Subcommands::Attach(args) => return attach::run(paths, &args),
        Subcommands::Doctor(args) => {
            let is_well = doctor::run(paths, &args)?;
            return Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Subcommands::Run(args) => return run::run(paths, &args),
        Subcommands::Reproduce(args) => return reproduce::run(paths, &args),
        Subcommands::Theory(args) => return theory::run(paths, &args),
        Subcommands::Data(command) => return data::run(paths, &command),
        Subcommands::Experiments(args) => experiments::show(paths, &args)?,
        Subcommands::Init(args) => init::write(&args)?,
        Subcommands::Ls(args) => ls::run(paths, &args)?,
        Subcommands::Logs(args) => logs::run(paths, &args)?,
        Subcommands::Note(args) => note::run(paths, &args)?,
        Subcommands::Rename(args) => rename::run(paths, &args)?,
        Subcommands::Rm(args) => rm::run(paths, &args)?,
        Subcommands::Prune(args) => prune::run(paths, &args)?,
        Subcommands::Pause(args) => {
            pause_resume_stop_kill::tell(paths, &args, &WorkerCommand::Pause)?
        }
        Subcommands::Stop(args) => {
            pause_resume_stop_kill::tell(paths, &args, &WorkerCommand::Stop)?
        }
        Subcommands::Preview(args) => preview::preview(paths, &args)?,
        Subcommands::Resume(args) => pause_resume_stop_kill::resume(paths, &args)?,
        Subcommands::Kill(args) => pause_resume_stop_kill::kill(paths, &args)?,
        Subcommands::Sample(args) => sample::sample(paths, &args)?,
        Subcommands::Import(args) => import::run(paths, &args)?,
        Subcommands::External(args) => external::run(paths, &args)?,
        Subcommands::Export(args) => export::run(paths, &args)?,
        Subcommands::Calibrate(args) => calibrate::calibrate(paths, &args)?,
        Subcommands::Inspect(args) => inspect::run(paths, &args)?,
        Subcommands::Compare(args) => compare::run(paths, &args)?,
        Subcommands::Show(args) => show::run(paths, &args)?,
        Subcommands::Report(args) => report::show(paths, &args)?,
        Subcommands::Denoise(args) => denoise::run(paths, &args)?,
        Subcommands::Bench(command) => bench::run(paths, &command)?,
        Subcommands::Man { directory } => man::write(&directory)?,
        Subcommands::Completions { shell } => completions::run(shell)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Starts this program again, in the same process, if its environment lacks variables that libraries read when a
/// process starts. Without a way to do so the command is slower.
fn restart_to_compute() {
    let missing: Vec<_> = compute_environment::missing().collect();
    if missing.is_empty() || is_stdout_closed() {
        return;
    }
    let mut arguments = env::args_os();
    // By its own path if it is still there, because the system takes the name of a process from it.
    let own = env::current_exe().ok().filter(|path| path.exists());
    let Some(program) = own.or_else(|| this_program().ok()) else { return };
    let mut again = Process::new(program);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    // Only returns on failure.
    let _ = again.args(arguments).envs(missing).exec();
}

/// True if the error is only that the reader of our output has closed it (`mosaic ls | head -1`).
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}
