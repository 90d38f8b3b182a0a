//! Dispatches arguments to the command that handles them, or to the dashboard if there is none.

use std::env;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command as Process, ExitCode};

use anyhow::{Context, Result};
use clap::{CommandFactory, Parser};
use signal_hook::consts::SIGXFSZ;

use super::arguments::{AttachArgs, Cli, Subcommands};
use super::exit_codes::{MISUSE, SIGNALLED};
use super::lab_and_runs_dir_options::LabPaths;
use super::{
    bench, calibrate, compare, data, denoise, doctor, experiments, init, inspect,
    pause_resume_stop_kill, preview, report, reproduce, run, runs, sample, show, theory,
};
use crate::allocator::when_exhausted;
use crate::console::{self, terminal_abilities};
use crate::files::is_stdout_closed;
use crate::hardware::compute_environment;
use crate::hardware::resource_limits::{memory, start_threads};
use crate::runs::control_messages::Command as WorkerCommand;
use crate::runs::process_identity::this_program;
use crate::runs::runs_dir::RunsDir;
use crate::runs::signals;
use crate::tui::{self, Left};
use crate::{errorln, worker};

/// Runs the requested command.
///
/// # Errors
///
/// If signals cannot be caught, if threads cannot be started, or if the command or the dashboard fails.
pub fn dispatch(cli: Cli) -> Result<ExitCode> {
    let paths = &cli.paths;
    // Exceeding a file size limit then causes an error message instead of ending the process.
    signals::pass_over(SIGXFSZ).context("listening for signals")?;
    let Some(command) = cli.command else { return dashboard(paths, &AttachArgs::default()) };
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
        Subcommands::Attach(args) => return dashboard(paths, &args),
        Subcommands::Doctor(args) => {
            let is_well = doctor::run(paths, &args)?;
            return Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Subcommands::Run(args) => return run::run(paths, &args),
        Subcommands::Reproduce(args) => return reproduce::run(paths, &args),
        Subcommands::Theory(args) => return theory::run(paths, &args),
        Subcommands::Experiments(args) => experiments::show(paths, &args)?,
        Subcommands::Init(args) => init::write(&args)?,
        Subcommands::Ls(args) => runs::list(paths, &args)?,
        Subcommands::Logs(args) => runs::logs(paths, &args)?,
        Subcommands::Note(args) => runs::note(paths, &args)?,
        Subcommands::Rename(args) => runs::rename(paths, &args)?,
        Subcommands::Rm(args) => runs::remove(paths, &args)?,
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
        Subcommands::Calibrate(args) => calibrate::calibrate(paths, &args)?,
        Subcommands::Inspect(args) => inspect::run(paths, &args)?,
        Subcommands::Compare(args) => compare::run(paths, &args)?,
        Subcommands::Show(args) => show::run(paths, &args)?,
        Subcommands::Report(args) => report::show(paths, &args)?,
        Subcommands::Data(command) => data::run(paths, &command)?,
        Subcommands::Denoise(args) => denoise::run(&args)?,
        Subcommands::Bench(command) => bench::run(paths, &command)?,
        Subcommands::Completions { shell } => {
            // Written to memory first: clap_complete panics if stdout is closed early.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "mosaic", &mut script);
            io::stdout().write_all(&script)?;
        }
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

/// Printed if the dashboard cannot be shown.
const WITHOUT_DASHBOARD: &str = "without the dashboard use
  mosaic experiments        what can be run
  mosaic run EXPERIMENT     train, compare and report
  mosaic ls                 list runs and their state
  mosaic --help             everything else";

fn dashboard(paths: &LabPaths, args: &AttachArgs) -> Result<ExitCode> {
    if let Some(lack) = terminal_abilities::lack_of_screen() {
        errorln!("mosaic's dashboard needs a terminal that can show it: {lack}");
        WITHOUT_DASHBOARD.lines().for_each(|line| errorln!("{line}"));
        return Ok(ExitCode::from(MISUSE));
    }
    let lab = paths.lab()?;
    RunsDir::new(&lab.settings.runs_dir).check()?;
    let run = args.run.as_ref().map(|name| paths.run(name)).transpose()?;
    match tui::run(lab, run.map(|run| run.id), args.read_only)? {
        Left::Detached => Ok(ExitCode::SUCCESS),
        Left::Signalled(signal) => Ok(ExitCode::from(SIGNALLED.saturating_add(signal))),
    }
}

/// Prints the argument parser's output: help on standard output, errors on standard error. Colours are used
/// unless the terminal shows none or an argument contains characters that it would interpret. (The arguments
/// are checked rather than the rendered text, which lacks escape sequences that are printed nevertheless.)
pub fn refuse(error: &clap::Error) -> ExitCode {
    let given: Vec<String> =
        env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let clean: Vec<String> =
        given.iter().map(|argument| console::line(argument).into_owned()).collect();
    let is_clean = given == clean;
    // The parser quotes arguments literally, including line feeds, so it is given sanitised ones.
    let cleaned = (!is_clean).then(|| Cli::try_parse_from(clean).err()).flatten();
    let error = cleaned.as_ref().unwrap_or(error);
    let text = error.render().to_string();
    let code = u8::try_from(error.exit_code()).unwrap_or(MISUSE);
    let printed = match (is_clean && terminal_abilities::obeys_escapes(), error.use_stderr()) {
        (true, _) => error.print(),
        (false, true) => write!(console::stderr(), "{text}"),
        (false, false) => write!(console::stdout(), "{text}"),
    };
    match printed.and_then(|()| io::stdout().flush()) {
        // The help text could not be written; a closed pipe is not an error.
        Err(problem) if code == 0 && problem.kind() != io::ErrorKind::BrokenPipe => {
            errorln!("error: writing to standard output: {problem}");
            ExitCode::FAILURE
        }
        Err(_) | Ok(()) => ExitCode::from(code),
    }
}

/// True if the error is only that the reader of our output has closed it (`mosaic ls | head -1`).
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}
