//! `calibrate`: fit the machines' settings to a run's network, step by step.

use std::io::Write;

use anyhow::{Context, Result, bail};
use clap::Args;
use signal_hook::consts::SIGINT;

use super::lab_and_runs_dir_options::LabPaths;
use super::progress_bar;
use crate::config::LargestSide;
use crate::evaluation::calibration::{Calibrated, Origin, StepSettings};
use crate::evaluation::network_and_machines_of_run::Trained;
use crate::runs::catch_signals;
use crate::{console, errorln};

#[derive(Clone, Debug, Args)]
pub struct CalibrateArgs {
    /// Run name, or a unique prefix of it.
    pub run: String,
    /// Change a theory.*, calibrate.* or diffusion.* setting of the run; repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// Print the calibration as JSON instead of tables.
    #[arg(long)]
    pub json: bool,
}

pub fn calibrate(paths: &LabPaths, args: &CalibrateArgs) -> Result<()> {
    let run = paths.run(&args.run)?;
    let trained = Trained::open(&run.dir, &args.settings)?;
    if trained.experiment.calibrate.seeds.is_none() {
        bail!("calibrate.seeds is 0; set a number, for example --set calibrate.seeds=16");
    }
    trained.notes.iter().for_each(|note| errorln!("{note}"));
    let stop = catch_signals::stop_on(&[SIGINT]).context("listening for Ctrl-C")?;
    trained.solver.watch(progress_bar::of_solving(stop.clone()));
    let mut progress = |what: &str| errorln!("calibrating {what}");
    let found =
        trained.calibrate(LargestSide::Image, None, &stop, &mut progress).context("calibrating")?;
    let Some(found) = found else {
        let machines: Vec<&str> = trained.machine_set.names().collect();
        bail!(
            "none of the run's machines ({}) has settings to calibrate; choose others, for example --set theory.machines=els,ls",
            machines.join(", ")
        );
    };
    let path = run.dir.calibration_path();
    found.write(&path).with_context(|| format!("writing '{}'", path.display()))?;
    let folder = run.dir.path();
    found.draw(folder).with_context(|| format!("drawing its curves in '{}'", folder.display()))?;
    if args.json {
        writeln!(console::stdout(), "{}", serde_json::to_string(&found)?)?;
    } else {
        let text: String = found.machines.iter().map(table).collect();
        write!(console::stdout(), "{text}")?;
    }
    errorln!(
        "wrote the calibration to '{}', with its curves in the same directory",
        path.display()
    );
    Ok(())
}

/// Settings that are equal at every step, as text.
fn constant(settings: &[StepSettings]) -> String {
    let Some(StepSettings { k, lambda, gamma, .. }) = settings.first() else {
        return String::new();
    };
    let k =
        if settings.iter().all(|step| step.k == *k) { format!("k {k}, ") } else { String::new() };
    format!("constant {k}lambda {lambda}, gamma {gamma}")
}

fn table(machine: &Calibrated) -> String {
    let mut text = format!("{}\n", machine.machine);
    for (index, candidate) in machine.candidates.iter().enumerate() {
        text += &format!(
            "  {} {}, lambda x{}: final error {:.4}, mean r {:.3}, median {}\n",
            if index == 0 { "kept " } else { "     " },
            match candidate.origin {
                Origin::Network => "fitted along the network's trajectory".to_owned(),
                Origin::Own => "fitted along its own trajectory".to_owned(),
                Origin::Constant => constant(&candidate.settings),
            },
            candidate.boost,
            candidate.error,
            candidate.r_mean,
            candidate.r.map_or_else(|| "-".to_owned(), |r| format!("{r:.3}"))
        );
    }
    text += "      t    k  lambda  gamma    tau  cosine    R^2 (sd)\n";
    for (fit, settings) in machine.steps.iter().zip(machine.schedule()).rev() {
        let StepSettings { k, lambda, gamma, tau } = settings;
        text += &format!(
            "  {:5.3}  {k:3}  {lambda:6.2}  {gamma:5.2}  {tau:5.2}  {:6.3}  {:5.3} ({:.3})\n",
            fit.t, fit.cosine, fit.r_squared, fit.r_squared_sd
        );
    }
    text
}
