//! `preview`: samples of network and machines from chosen noise seeds, written to the run's directory.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Result, anyhow};
use clap::Args;

use super::lab_and_runs_dir_options::LabPaths;
use super::pause_resume_stop_kill::tell_run;
use super::progress_bar;
use crate::console;
use crate::evaluation::make_preview::PreviewMaker;
use crate::evaluation::network_and_machines_of_run::Trained;
use crate::evaluation::preview_request::PreviewRequest;
use crate::evaluation::samples::MachineSet;
use crate::runs::alive_silent_or_lost::Health;
use crate::runs::control_messages::Command;
use crate::runs::run_dir::RunDir;

#[derive(Clone, Debug, Args)]
pub struct PreviewArgs {
    /// Run name, or a unique prefix of it.
    pub run: String,
    /// Noise seeds, at most 64: one such as 8, or a range such as 8..12 [default: the run's own].
    #[arg(long, value_name = "A..B")]
    pub seeds: Option<String>,
    /// Sampling steps, at most 1000 [default: the run's own].
    #[arg(long, value_name = "N")]
    pub steps: Option<String>,
    /// Take control from the dashboard or command that has it.
    #[arg(long)]
    pub force: bool,
}

pub fn preview(paths: &LabPaths, args: &PreviewArgs) -> Result<()> {
    let run = paths.run(&args.run)?;
    let own = PreviewRequest::of(&run.dir.experiment()?);
    let (steps, seeds) = (own.steps.to_string(), own.seeds.to_string());
    let is_own = args.seeds.is_none() && args.steps.is_none();
    let request = match is_own {
        true => own,
        false => {
            let seeds = args.seeds.as_deref().unwrap_or(&seeds);
            let steps = args.steps.as_deref().unwrap_or(&steps);
            PreviewRequest::parse(seeds, steps).map_err(|problem| anyhow!("{problem}"))?
        }
    };
    if matches!(run.health, Health::Alive) {
        let command = match is_own {
            true => Command::Sample { seeds: None, steps: None },
            false => request.command(),
        };
        return tell_run(&run.dir, &command, args.force);
    }
    let path = make(&run.dir, &request)?;
    writeln!(console::stdout(), "{path}")?;
    Ok(())
}

/// Makes the preview of the newest checkpoint, with calibrated machines if the calibration is of its sampling steps;
/// returns its directory.
fn make(run: &RunDir, request: &PreviewRequest) -> Result<String> {
    let trained = Trained::open(run, &[])?;
    trained.solver.watch(progress_bar::of_solving(Arc::default()));
    let calibration = run.calibration_path();
    let machine_set = trained.machine_set.with_saved_calibration(&calibration, request.steps)?;
    make_of(&trained, request, &machine_set)
}

/// Makes the preview of an open run with these machines; returns its directory.
///
/// # Errors
///
/// If sampling fails or the preview cannot be written.
pub fn make_of(
    trained: &Trained,
    request: &PreviewRequest,
    machine_set: &MachineSet,
) -> Result<String> {
    let run = &trained.run;
    let maker = PreviewMaker {
        previews: &run.previews_path(),
        machine_set,
        judge: trained.judge.as_ref(),
        noise: &trained.noise,
        stop: &AtomicBool::new(false),
    };
    let summary = maker.make(trained.step, &trained.network, request)?;
    Ok(run.path().join(summary.path).display().to_string())
}
