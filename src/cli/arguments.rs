//! The command-line arguments of `mosaic`.

use std::path::PathBuf;
use std::sync::LazyLock;

use clap::{Parser, Subcommand};

use super::exit_codes::EXIT_CODES;
use super::lab_and_runs_dir_options::LabPaths;
use super::{
    attach, bench, calibrate, compare, data, denoise, doctor, experiments, export_arguments,
    external, import, init, inspect, logs, ls, note, pause_resume_stop_kill, preview, prune,
    rename, report, reproduce, run, sample, show, theory_arguments,
};

/// Version, commit and GPU features. The commit is that of `MOSAIC_COMMIT` at build time, which `scripts/release` sets.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let features = match (cfg!(feature = "cuda"), cfg!(feature = "cudnn")) {
        (_, true) => "cuda, cudnn",
        (true, false) => "cuda",
        (false, false) => "none",
    };
    let commit = option_env!("MOSAIC_COMMIT").filter(|commit| !commit.is_empty());
    let commit = commit.unwrap_or("unknown");
    format!("{} (commit {commit}, GPU features: {features})", env!("CARGO_PKG_VERSION"))
});

/// A terminal laboratory for the creativity of diffusion models.
///
/// Without a subcommand, opens the dashboard.
#[derive(Debug, Parser)]
#[command(name = "mosaic", version = VERSION.as_str(), max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    pub paths: LabPaths,
    #[command(subcommand)]
    pub command: Option<Subcommands>,
}

#[derive(Debug, Subcommand)]
pub enum Subcommands {
    /// Train an experiment, compare it with theory and write a report, without the dashboard.
    Run(run::RunArgs),
    /// List experiments, or explain all settings of one.
    Experiments(experiments::ExperimentsArgs),
    /// Open the dashboard on a run.
    Attach(attach::AttachArgs),
    /// List runs, newest first.
    Ls(ls::LsArgs),
    /// Pause a run (it writes a checkpoint first).
    Pause(pause_resume_stop_kill::SteerArgs),
    /// Resume a paused, stopped, failed or lost run.
    Resume(pause_resume_stop_kill::SteerArgs),
    /// Write a checkpoint and stop a run; it can be resumed.
    Stop(pause_resume_stop_kill::SteerArgs),
    /// Kill a run's worker immediately, without a checkpoint.
    Kill(pause_resume_stop_kill::SteerArgs),
    /// Make a preview now, from chosen seeds (in the run's worker, or in this process if there is none).
    Preview(preview::PreviewArgs),
    /// Show a run's events, or its worker's log.
    Logs(logs::LogsArgs),
    /// Set or show a run's note and tags.
    Note(note::NoteArgs),
    /// Rename a run that has no worker.
    Rename(rename::RenameArgs),
    /// Delete a run that has no worker.
    Rm(pause_resume_stop_kill::RunArg),
    /// Delete what old runs do not need any more: previews, traces, checkpoints; asks first.
    Prune(prune::PruneArgs),
    /// Sample a run's network from noise seeds and save the samples.
    Sample(sample::SampleArgs),
    /// Make a run of weights that were trained elsewhere (PyTorch or safetensors).
    Import(import::ImportArgs),
    /// Prepare a directory for the samples of a model from elsewhere, which `compare --external` compares with theory.
    External(external::ExternalArgs),
    /// Write a run's weights, samples, trajectories, attention, provenance, calibration or events for other programs.
    Export(export_arguments::ExportArgs),
    /// Trace one noise seed through network and machines; show attention and provenance of a pixel.
    Inspect(inspect::InspectArgs),
    /// Fit the machines' settings to a run's network, one sampling step after the other.
    Calibrate(calibrate::CalibrateArgs),
    /// Compare runs' networks with every machine on held-out seeds and write reports.
    Compare(compare::CompareArgs),
    /// Run the studies of lab.toml: train, test each claim over training seeds, report verdicts.
    Reproduce(reproduce::ReproduceArgs),
    /// Show a PNG file or a run's newest preview in this terminal.
    Show(show::ShowArgs),
    /// Show the report of a finished run, or write the reports of runs as one HTML file.
    Report(report::ReportArgs),
    /// List, show, export or fetch data sets.
    #[command(subcommand)]
    Data(data::DataCommand),
    /// Write the built-in lab file to ./lab.toml for editing.
    Init(init::InitArgs),
    /// Sample score machines from noise seeds without a network; continues an interrupted run.
    Theory(theory_arguments::TheoryArgs),
    /// Run one score machine, or a run's network, on given tensors.
    Denoise(denoise::DenoiseArgs),
    /// Benchmark theory and training on this computer.
    #[command(subcommand)]
    Bench(bench::BenchCommand),
    /// Report what this terminal and computer support, and how to fix problems.
    Doctor(doctor::DoctorArgs),
    /// Print a completion script for a shell.
    Completions { shell: clap_complete::Shell },
    /// Write manual pages to a directory.
    Man {
        /// Directory for mosaic.1, mosaic-run.1 and so on; made if it is missing. Pages that are there are replaced.
        directory: PathBuf,
    },
    /// The process that trains a run; started by 'run' and the dashboard.
    #[command(hide = true)]
    Worker { run_dir: PathBuf },
}

impl Subcommands {
    /// True if the command computes in this process, with all threads. (A worker starts its threads once it
    /// leaves the queue.)
    pub fn computes(&self) -> bool {
        matches!(
            self,
            Self::Preview(_)
                | Self::Sample(_)
                | Self::Inspect(_)
                | Self::Export(_)
                | Self::Calibrate(_)
                | Self::Compare(_)
                | Self::Theory(_)
                | Self::Denoise(_)
                | Self::Bench(_)
        )
    }
}
