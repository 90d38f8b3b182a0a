//! What can be typed after `mosaic`.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::place::Place;
use super::{
    bench, calibrate, compare, control, data, denoise, doctor, experiments, init, inspect, preview,
    report, reproduce, run, runs, sample, show, theory,
};

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
    pub fn computes(&self) -> bool {
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
