//! Subcommands and plain-text output: the lab without its dashboard.
//!
//! Results go to stdout, progress and complaints to stderr. Exit codes: 0 done, 1 failed, 2 wrong
//! use, 3 the run was stopped, 128 + n the dashboard was ended by signal n. Nothing is computed here that the dashboard could not show too.

pub mod experiments;
pub mod init;
pub mod runs;
pub mod control;
pub mod run;
pub mod sample;
pub mod report;
pub mod data;
pub mod denoise;
mod tensor_file;
pub mod theory;
pub mod bench;
pub mod bench_gpu;
mod calibrate;
mod compare;
mod reproduce;
mod inspect;
mod doctor;
mod show;
mod preview;
mod progress;

use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{CommandFactory, Parser, Subcommand};
use signal_hook::consts::SIGXFSZ;

use crate::allocator::when_exhausted;
use crate::config::{self, Lab};
use crate::console::{self, abilities};
use crate::errorln;
use crate::files::{is_stderr, is_stdout};
use crate::hardware::resource_limits::{memory, start_threads};
use crate::runs::command::Command as WorkerCommand;
use crate::runs::runs_dir::RunsDir;
use crate::runs::signals;
use crate::tui::Left;
use crate::worker;

/// Exit code of wrong use.
pub const MISUSE: u8 = 2;
/// Exit code of a run that was stopped before its end.
pub const STOPPED: u8 = 3;
/// A process that a signal ends has this and the signal's number as its exit code, as shells report it.
const SIGNALLED: u8 = 128;

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong use, 3 stopped before the end. 'run' and 'reproduce' pass on signals that ask \
them to end (TERM, QUIT, USR1, USR2 and others), wait until their workers have written a checkpoint, and exit with 3; \
Ctrl-C only leaves them, and the workers go on.";

/// A terminal laboratory for the creativity of diffusion models.
///
/// Without a subcommand: the dashboard.
#[derive(Debug, Parser)]
#[command(name = "mosaic", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    pub place: Place,
    #[command(subcommand)]
    pub command: Option<Subcommands>,
}

/// What the dashboard is opened on.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct AttachArgs {
    /// The run, or the start of its name if no other starts so; the newest live one if not given.
    pub run: Option<String>,
    /// Only look: nothing can be launched, paused, stopped or changed.
    #[arg(long)]
    pub read_only: bool,
}

/// Where experiments and runs are.
#[derive(Clone, Debug, clap::Args)]
pub struct Place {
    /// Experiments and settings; ./lab.toml, or else the built-in one.
    #[arg(long, value_name = "FILE", global = true)]
    pub lab: Option<PathBuf>,
    /// Where runs are kept, in place of the lab file's runs_dir.
    #[arg(long, value_name = "DIR", global = true)]
    pub runs_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Subcommands {
    /// Train, compare with theory and report, without a dashboard.
    Run(run::RunArgs),
    /// List experiments; with a name, all its settings and what they mean.
    Experiments(experiments::ExperimentsArgs),
    /// Open the dashboard on a run; runs never notice who looks.
    Attach(AttachArgs),
    /// List runs, newest first.
    Ls(runs::LsArgs),
    /// Pause a run (it writes a checkpoint first).
    Pause(control::SteerArgs),
    /// Go on with a paused, stopped, failed or lost run.
    Resume(control::SteerArgs),
    /// Write a checkpoint and end a run; it can be resumed.
    Stop(control::SteerArgs),
    /// End a run's worker at once, without a checkpoint.
    Kill(control::SteerArgs),
    /// Make a preview now, of chosen seeds: by the run's worker, or here where there is none.
    Preview(preview::PreviewArgs),
    /// Show a run's events and its worker's log.
    Logs(runs::LogsArgs),
    /// Write a note and tags to a run, or show them.
    Note(runs::NoteArgs),
    /// Give a run that nobody works on another name.
    Rename(runs::RenameArgs),
    /// Delete a run that nobody works on.
    Rm(control::RunArg),
    /// Sample a run's network from noise seeds into a file.
    Sample(sample::SampleArgs),
    /// Follow one noise seed through network and machines, and look at what any pixel looked at.
    Inspect(inspect::InspectArgs),
    /// Fit the machines' settings to a run's network, step by step.
    Calibrate(calibrate::CalibrateArgs),
    /// Compare runs' networks with every machine from held-out seeds, and write their reports.
    Compare(compare::CompareArgs),
    /// Run the studies of lab.toml: claims of the theory, put to trained networks, with their verdicts.
    Reproduce(reproduce::ReproduceArgs),
    /// Show a PNG file or a run's newest preview in this terminal.
    Show(show::ShowArgs),
    /// Show the report of a finished run.
    Report(report::ReportArgs),
    /// List data sets, or show one.
    Data(data::DataArgs),
    /// Write the built-in lab file as ./lab.toml, to change it.
    Init(init::InitArgs),
    /// Sample score machines from noise seeds, with no network; goes on where it was interrupted.
    Theory(theory::TheoryArgs),
    /// Run one score machine on given tensors.
    Denoise(denoise::DenoiseArgs),
    /// Time theory and training on this machine.
    Bench(bench::BenchArgs),
    /// Say what this terminal and machine can do, and what to do where they cannot.
    Doctor(doctor::DoctorArgs),
    /// Print a completion script for a shell.
    Completions { shell: clap_complete::Shell },
    /// The process that trains a run; started by 'run' and the dashboard.
    #[command(hide = true)]
    Worker { run_dir: PathBuf },
}

impl Subcommands {
    /// Whether it computes in this process, with all threads. (A worker starts them when it is its turn.)
    fn computes(&self) -> bool {
        matches!(
            self,
            Self::Preview(_)
                | Self::Sample(_)
                | Self::Inspect(_)
                | Self::Calibrate(_)
                | Self::Compare(_)
                | Self::Theory(_)
                | Self::Denoise(_)
                | Self::Bench(_)
        )
    }
}

impl Place {
    /// The lab, with `--runs-dir` applied.
    pub fn lab(&self) -> Result<Lab> {
        let mut lab = config::load(self.lab.as_deref())?;
        if let Some(runs_dir) = &self.runs_dir {
            lab.settings.runs_dir.clone_from(runs_dir);
        }
        Ok(lab)
    }

    /// The runs, which can be looked after even when `lab.toml` is broken and `--runs-dir` given.
    pub fn runs(&self) -> Result<RunsDir> {
        match &self.runs_dir {
            Some(path) => Ok(RunsDir::new(path)),
            None => Ok(RunsDir::new(self.lab()?.settings.runs_dir)),
        }
    }
}

/// Runs what was asked for.
pub fn dispatch(cli: Cli) -> Result<ExitCode> {
    let place = &cli.place;
    // Writing past a limit on file sizes is then an error with words, not the end of the process.
    signals::pass_over(SIGXFSZ).context("listening for signals")?;
    let Some(command) = cli.command else { return dashboard(place, &AttachArgs::default()) };
    if command.computes() {
        start_threads()?;
    }
    // A worker has last words of its own.
    if !matches!(command, Subcommands::Worker { .. } | Subcommands::Attach(_)) {
        when_exhausted(|bytes| {
            errorln!("error: out of memory: an allocation of {bytes} bytes failed; {}", memory());
        });
    }
    match command {
        Subcommands::Worker { run_dir } => return Ok(ExitCode::from(worker::run(&run_dir))),
        Subcommands::Attach(args) => return dashboard(place, &args),
        Subcommands::Doctor(args) => {
            let is_well = doctor::run(place, &args)?;
            return Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Subcommands::Run(args) => return run::run(place, &args),
        Subcommands::Reproduce(args) => return reproduce::run(place, &args),
        Subcommands::Theory(args) => return theory::run(place, &args),
        Subcommands::Experiments(args) => experiments::show(place, &args)?,
        Subcommands::Init(args) => init::write(&args)?,
        Subcommands::Ls(args) => runs::list(place, &args)?,
        Subcommands::Logs(args) => runs::logs(place, &args)?,
        Subcommands::Note(args) => runs::note(place, &args)?,
        Subcommands::Rename(args) => runs::rename(place, &args)?,
        Subcommands::Rm(args) => runs::remove(place, &args)?,
        Subcommands::Pause(args) => control::tell(place, &args, &WorkerCommand::Pause)?,
        Subcommands::Stop(args) => control::tell(place, &args, &WorkerCommand::Stop)?,
        Subcommands::Preview(args) => preview::preview(place, &args)?,
        Subcommands::Resume(args) => control::resume(place, &args)?,
        Subcommands::Kill(args) => control::kill(place, &args)?,
        Subcommands::Sample(args) => sample::sample(place, &args)?,
        Subcommands::Calibrate(args) => calibrate::calibrate(place, &args)?,
        Subcommands::Inspect(args) => inspect::run(place, &args)?,
        Subcommands::Compare(args) => compare::run(place, &args)?,
        Subcommands::Show(args) => show::run(place, &args)?,
        Subcommands::Report(args) => report::show(place, &args)?,
        Subcommands::Data(args) => data::run(place, &args)?,
        Subcommands::Denoise(args) => denoise::run(&args)?,
        Subcommands::Bench(args) => bench::run(&args)?,
        Subcommands::Completions { shell } => {
            // Into memory first: clap_complete panics when stdout is closed early.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "mosaic", &mut script);
            io::stdout().write_all(&script)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What to print in place of the dashboard.
const WITHOUT_DASHBOARD: &str = "without the dashboard use
  mosaic experiments        what can be run
  mosaic run EXPERIMENT     train, compare and report
  mosaic ls                 runs and how they stand
  mosaic --help             everything else";

fn dashboard(place: &Place, args: &AttachArgs) -> Result<ExitCode> {
    if let Some(lack) = abilities::lack_of_screen() {
        errorln!("mosaic's dashboard needs a terminal that can show it: {lack}");
        WITHOUT_DASHBOARD.lines().for_each(|line| errorln!("{line}"));
        return Ok(ExitCode::from(MISUSE));
    }
    let lab = place.lab()?;
    RunsDir::new(&lab.settings.runs_dir).check()?;
    let run = match &args.run {
        Some(name) => Some(control::find(&RunsDir::new(&lab.settings.runs_dir), name)?.id),
        None => None,
    };
    let opening = crate::tui::Opening { run, read_only: args.read_only };
    match crate::tui::run(lab, opening)? {
        Left::Detached => Ok(ExitCode::SUCCESS),
        Left::Signalled(signal) => Ok(ExitCode::from(SIGNALLED.saturating_add(signal))),
    }
}

/// Prints what the command line parser has to say: help on standard output, or what is wrong with the arguments. With colours, unless the terminal shows
/// none or an argument has characters that it would obey. (Text that the parser has rendered cannot be judged: it has lost its escapes, which are printed all the same.)
pub fn refuse(error: &clap::Error) -> ExitCode {
    let given: Vec<String> =
        env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let clean: Vec<String> =
        given.iter().map(|argument| console::line(argument).into_owned()).collect();
    let is_clean = given == clean;
    // The parser quotes arguments as they are, line feeds too: it is given clean ones to quote.
    let cleaned = (!is_clean).then(|| Cli::try_parse_from(clean).err()).flatten();
    let error = cleaned.as_ref().unwrap_or(error);
    let text = error.render().to_string();
    let code = u8::try_from(error.exit_code()).unwrap_or(MISUSE);
    let printed = match (is_clean && abilities::obeys_escapes(), error.use_stderr()) {
        (true, _) => error.print(),
        (false, true) => write!(console::stderr(), "{text}"),
        (false, false) => write!(console::stdout(), "{text}"),
    };
    match printed.and_then(|()| io::stdout().flush()) {
        // Help that nobody got; a pipe that was closed is nobody's fault.
        Err(problem) if code == 0 && problem.kind() != io::ErrorKind::BrokenPipe => {
            errorln!("error: writing to standard output: {problem}");
            ExitCode::FAILURE
        }
        Err(_) | Ok(()) => ExitCode::from(code),
    }
}

/// Where words about outputs go: standard error, or standard output where an output leads to that, and nowhere where outputs lead to both.
pub(crate) fn words_beside<'a>(outputs: impl Iterator<Item = &'a Path> + Clone) -> Box<dyn Write> {
    match (outputs.clone().any(is_stderr), outputs.clone().any(is_stdout)) {
        (false, _) => Box::new(console::stderr()),
        (true, false) => Box::new(console::stdout()),
        (true, true) => Box::new(io::sink()),
    }
}

/// An error with its causes, and what to do about a limit of the system behind it.
pub use crate::hardware::resource_limits::in_words;

/// True when an error is only that nobody reads our output any more (`mosaic ls | head -1`).
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}
