//! `reproduce`: runs the studies of lab.toml and reports them.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;

use super::exit_codes::STOPPED;
use super::follow_several_runs::{run_together, tell_unfinished};
use super::lab_and_runs_dir_options::LabPaths;
use super::run::follower_terminal;
use crate::config::nearest_name::nearest;
use crate::config::{Arm, Lab, Study};
use crate::evaluation::studies::run_results::RunResults;
use crate::evaluation::studies::study_report::{self, Heading};
use crate::evaluation::studies::study_runs::ArmState;
use crate::hardware::device_request::DeviceRequest;
use crate::runs::catch_signals::{self, Signals};
use crate::runs::runs_dir::RunsDir;
use crate::{console, errorln};

#[derive(Clone, Debug, Args)]
pub struct ReproduceArgs {
    /// Studies of lab.toml, or 'all'; without any, they are listed.
    pub studies: Vec<String>,
    /// Small version: minutes to an hour on two cores. Most have one training seed, so no verdicts over networks. The full
    /// one needs a GPU.
    #[arg(long)]
    pub quick: bool,
    /// Concurrent runs [default: two on a CPU with at least two cores, one on a GPU].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub jobs: Option<u16>,
    /// auto, cpu, cuda:N or cuda:N,M (several GPUs); overrides device of the lab file.
    #[arg(long)]
    pub device: Option<DeviceRequest>,
    /// List the runs without starting them.
    #[arg(long)]
    pub dry_run: bool,
    /// Print the reports as JSON, one a line; progress goes to stderr.
    #[arg(long)]
    pub json: bool,
}

pub fn run(paths: &LabPaths, args: &ReproduceArgs) -> Result<ExitCode> {
    let lab = paths.lab()?;
    let studies = chosen(&lab, &args.studies)?;
    if studies.is_empty() {
        return list(&lab, args).map(|()| ExitCode::SUCCESS);
    }
    let device = args.device.as_ref().unwrap_or(&lab.settings.device);
    let signals = catch_signals::catch(follower_terminal()).context("listening for signals")?;
    for study in studies {
        let plan = if args.quick { &study.quick } else { &study.full };
        let arms = plan.arms(&lab.experiments)?;
        if args.dry_run {
            let mut out = console::stdout();
            writeln!(out, "{}: {}", study.name, study.claim)?;
            for arm in &arms {
                let steps = arm.experiment.training.steps;
                writeln!(out, "  {}: {steps} training steps", arm.words())?;
            }
            continue;
        }
        if !one(&lab, study, &arms, args, device, &signals)? {
            return Ok(ExitCode::from(STOPPED));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn chosen<'a>(lab: &'a Lab, names: &[String]) -> Result<Vec<&'a Study>> {
    if names.iter().any(|name| name == "all") {
        return Ok(lab.studies.iter().collect());
    }
    let find = |name: &String| {
        let found = lab.studies.iter().find(|study| study.name == *name);
        found.with_context(|| {
            let known = || lab.studies.iter().map(|study| study.name.as_str());
            let near = nearest(name, known());
            let near = near.map_or_else(String::new, |near| format!("; did you mean '{near}'?"));
            let known: Vec<&str> = known().collect();
            format!("no study '{name}' in the lab file{near} It has {}", known.join(", "))
        })
    };
    names.iter().map(find).collect()
}

fn list(lab: &Lab, args: &ReproduceArgs) -> Result<()> {
    let mut out = console::stdout();
    let count = |plan: &crate::config::Plan| plan.arms(&lab.experiments).map(|a| a.len());
    if args.json {
        let row = |study: &Study| -> Result<serde_json::Value> {
            let (full, quick) = (count(&study.full)?, count(&study.quick)?);
            Ok(
                json!({ "name": study.name, "claim": study.claim, "runs": full, "quick_runs": quick }),
            )
        };
        let rows = lab.studies.iter().map(row).collect::<Result<Vec<_>>>()?;
        writeln!(out, "{}", serde_json::Value::Array(rows))?;
        return Ok(());
    }
    for study in &lab.studies {
        let (full, quick) = (count(&study.full)?, count(&study.quick)?);
        writeln!(out, "{} ({full} runs, --quick: {quick})\n  {}", study.name, study.claim)?;
    }
    if lab.studies.is_empty() {
        writeln!(out, "the lab file holds no [study.NAME]; 'mosaic init' writes one that does")?;
    }
    Ok(())
}

/// Runs one study and writes its report; false if it was stopped first.
fn one(
    lab: &Lab,
    study: &Study,
    arms: &[Arm],
    args: &ReproduceArgs,
    device: &DeviceRequest,
    signals: &Signals,
) -> Result<bool> {
    let runs = RunsDir::new(&lab.settings.runs_dir);
    errorln!("study {}: {} runs", study.name, arms.len());
    let stands = run_together(&runs, arms, device, args.jobs, signals);
    let (mut figures, mut missing) = (Vec::new(), Vec::new());
    for (arm, stand) in arms.iter().zip(&stands) {
        match stand {
            ArmState::Finished(run) => match RunResults::read(arm, run) {
                Ok(found) => figures.push(found),
                Err(error) => missing.push((
                    arm.clone(),
                    format!("{error:#}; 'mosaic compare {}' recreates its report", run.id()),
                )),
            },
            ArmState::Failed(reason) => missing.push((arm.clone(), reason.clone())),
            ArmState::Waiting | ArmState::Working { .. } => {
                tell_unfinished(&stands, signals);
                return Ok(false);
            }
        }
    }
    for (arm, reason) in &missing {
        errorln!("{}: {reason}", arm.words());
    }
    if figures.is_empty() {
        bail!("no run of study '{}' has a result", study.name);
    }
    let reading = crate::evaluation::studies::read(study.analysis, &study.margins, &figures);
    let folder = lab.settings.runs_dir.join("studies").join(match args.quick {
        true => format!("{}-quick", study.name),
        false => study.name.clone(),
    });
    let heading = Heading { study, is_quick: args.quick, missing: &missing };
    let page = study_report::write(&folder, &heading, &figures, &reading)
        .with_context(|| format!("writing the report into '{}'", folder.display()))?;
    if args.json {
        let path = folder.join("report.json");
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("reading '{}'", path.display()))?;
        let report: serde_json::Value = serde_json::from_str(&text)?;
        writeln!(console::stdout(), "{report}")?;
    } else {
        // Claim and verdicts only, since tables are wider than most terminals.
        let verdicts = page.split("\n## ").next().unwrap_or(&page);
        write!(console::stdout(), "{verdicts}")?;
    }
    errorln!("tables and figures: '{}'", folder.join("report.md").display());
    Ok(true)
}
