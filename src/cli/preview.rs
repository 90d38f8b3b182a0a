//! `preview`: samples of network and machines from chosen noise seeds, written to the run's directory.

use std::io::Write;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, anyhow};
use clap::Args;

use super::control::{find, tell_run};
use super::place::Place;
use crate::console;
use crate::evaluation::calibration::Calibration;
use crate::evaluation::previewing::{Maker, PreviewRequest};
use crate::evaluation::trained::Trained;
use crate::runs::command::Command;
use crate::runs::liveness::Health;
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

pub fn preview(place: &Place, args: &PreviewArgs) -> Result<()> {
    let run = find(&place.runs()?, &args.run)?;
    let own = PreviewRequest::of(&run.dir.experiment()?);
    let (steps, seeds) = (own.steps.to_string(), format!("{}..{}", own.seeds.start, own.seeds.end));
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

/// Makes a preview from the newest checkpoint, with the machines' calibrated settings if they match its
/// sampling steps.
fn make(run: &RunDir, request: &PreviewRequest) -> Result<String> {
    let trained = Trained::open(run, &[])?;
    let plain: Vec<_> = trained.machine_set.machines().cloned().collect();
    let calibration = Calibration::read(&run.calibration_path())?;
    let machines = calibration.filter(|found| found.n_steps == request.steps);
    let machines = machines.map_or_else(|| plain.clone(), |found| found.apply(&plain));
    let machine_set =
        trained.machine_set.with_machines(machines).context("building the machines")?;
    let maker = Maker {
        previews: &run.previews_path(),
        machine_set: &machine_set,
        judge: trained.judge.as_ref(),
        noise_seed: trained.experiment.noise_seed,
        stop: &AtomicBool::new(false),
    };
    let summary = maker.make(trained.step, &trained.network, request)?;
    Ok(run.path().join(summary.path).display().to_string())
}
