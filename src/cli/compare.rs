//! `compare`: compares the networks of one or more runs with every machine, on held-out noise seeds; or networks with each
//! other.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use clap::Args;
use signal_hook::consts::SIGINT;

use super::compare_networks::{self, NetworksRequest};
use super::lab_and_runs_dir_options::LabPaths;
use super::preview;
use super::progress_bar;
use crate::config::LargestSide;
use crate::config::noise_seed_purposes::NoiseSeeds;
use crate::evaluation::calibration::Calibration;
use crate::evaluation::external::recorded_run;
use crate::evaluation::floors::floors_file::LEVELS;
use crate::evaluation::network_and_machines_of_run::Trained;
use crate::evaluation::preview_request::PreviewRequest;
use crate::evaluation::report::{NetworkMeasurements, Report, ReportContext};
use crate::evaluation::summary_over_runs::{Row, summary};
use crate::files::make_folder;
use crate::runs::catch_signals;
use crate::runs::event::LossByLevel;
use crate::{console, errorln};

#[derive(Clone, Debug, Args)]
pub struct CompareArgs {
    /// Run names, or unique prefixes; runs of one experiment count as its training seeds.
    #[arg(required_unless_present = "external")]
    pub runs: Vec<String>,
    /// Directory with samples of a model from elsewhere (see 'mosaic external'), which becomes a run; repeatable.
    #[arg(long, value_name = "DIR")]
    pub external: Vec<PathBuf>,
    /// Compare networks with each other instead of with machines: RUNS, these and --external, each with each. Writes
    /// networks.md, .csv, .json and .png.
    #[arg(long = "with", value_name = "RUN", num_args = 1.., conflicts_with_all = ["uncalibrated", "at_step", "samples"])]
    pub with: Vec<String>,
    /// Held-out noise seeds.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=NoiseSeeds::HELD_OUT_MAX as i64))]
    pub seeds: u32,
    /// Judged samples of each network (crafted sets); at least as many as seeds.
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=NoiseSeeds::HELD_OUT_MAX as i64))]
    pub samples: u32,
    /// Change a theory.*, calibrate.*, compare.* or diffusion.* setting of the runs; repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// Use the machines' settings as given, without calibration.
    #[arg(long)]
    pub uncalibrated: bool,
    /// Training step of the checkpoint to compare [default: the newest]; training.keep_every keeps earlier ones. Needs
    /// --out: a run's own report is of its newest checkpoint.
    #[arg(long, value_name = "STEP", requires = "out")]
    pub at_step: Option<u64>,
    /// Directory for the reports, one folder per run [default: replace each run's own report].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print the summary as JSON.
    #[arg(long)]
    pub json: bool,
}

pub fn run(paths: &LabPaths, args: &CompareArgs) -> Result<()> {
    let names = args.runs.iter().chain(&args.with);
    let mut runs = names.map(|name| paths.run(name)).collect::<Result<Vec<_>>>()?;
    for directory in &args.external {
        runs.push(paths.run(&run_of_record(paths, directory)?)?);
    }
    if let Some(out) = &args.out {
        make_folder(out).with_context(|| format!("making '{}'", out.display()))?;
    }
    let stop = catch_signals::stop_on(&[SIGINT]).context("listening for Ctrl-C")?;
    if !args.with.is_empty() {
        let request = NetworksRequest {
            runs: &runs,
            n_seeds: args.seeds as usize,
            settings: &args.settings,
            out: args.out.as_deref(),
            json: args.json,
        };
        return compare_networks::run(&request, &stop);
    }
    let mut rows = Vec::new();
    for (index, run) in runs.iter().enumerate() {
        errorln!("run {} ({} of {})", run.id, index + 1, runs.len());
        let trained = Trained::open_at(&run.dir, &args.settings, args.at_step)?;
        trained.solver.watch(progress_bar::of_solving(stop.clone()));
        trained.notes.iter().for_each(|note| errorln!("{note}"));
        let folder = match &args.out {
            Some(out) => out.join(&run.id),
            None => run.dir.report_path(),
        };
        rows.push(one(&trained, args, &folder, &stop)?);
        errorln!("its report is in '{}'", folder.display());
    }
    let summary = summary(&rows);
    if let Some(out) = &args.out {
        summary.write(out)?;
    }
    if args.json {
        writeln!(console::stdout(), "{}", summary.json)?;
    } else {
        write!(console::stdout(), "{}", summary.page)?;
    }
    Ok(())
}

/// The name of the run of a record in `directory`; a new one gets a preview for the dashboard.
fn run_of_record(paths: &LabPaths, directory: &Path) -> Result<String> {
    let comparing = || format!("comparing '{}'", directory.display());
    let lab = paths.lab()?;
    let device = &lab.settings.device;
    let (run, is_new) =
        recorded_run::run_of(directory, &lab, &paths.runs()?, device).with_context(comparing)?;
    if !is_new {
        return Ok(run.id());
    }
    let previewed = Trained::open(&run, &[]).and_then(|trained| {
        let request = PreviewRequest::of(&trained.experiment);
        // Previews show the noise of calibration, so that nobody looks at held-out samples.
        if trained.noise.n_calibration() < request.seeds.len() {
            errorln!("no preview: there are fewer samples of calibration than preview.seeds");
            return Ok(String::new());
        }
        preview::make_of(&trained, &request, &trained.machine_set)
    });
    if let Err(error) = previewed {
        // Nothing can be compared: the run would be of no use.
        let _ = std::fs::remove_dir_all(run.path());
        return Err(error).with_context(comparing);
    }
    Ok(run.id())
}

fn one(trained: &Trained, args: &CompareArgs, folder: &Path, stop: &AtomicBool) -> Result<Row> {
    let calibration = if args.uncalibrated { None } else { calibration(trained, args, stop)? };
    let machine_set = trained.machine_set.calibrated(calibration.as_ref())?;
    if let Some(calibration) = &calibration {
        make_folder(folder).with_context(|| format!("making '{}'", folder.display()))?;
        calibration.draw(folder).context("drawing the calibration")?;
        calibration
            .write(&folder.join("calibration.json"))
            .with_context(|| format!("writing into '{}'", folder.display()))?;
    }
    // What the run's status and its other checkpoints say is about its end.
    let at_end = args.at_step.is_none();
    let status = trained.run.status().filter(|_| at_end);
    let final_loss = status.and_then(|status| status.loss);
    let (calibration, levels) = (calibration.as_ref(), LossByLevel::default());
    let mut progress = |done| errorln!("floors: {done} of {} noise levels", LEVELS.len());
    let floors = trained.floors(stop, &mut progress).context("measuring the floors")?;
    let mut progress = |done, n| errorln!("copies over training: {done} of {n} checkpoints");
    let over_training = match at_end {
        true => trained.over_training(stop, &mut progress).context("looking at the checkpoints")?,
        false => Vec::new(),
    };
    let mut progress = |done, n| errorln!("interventions: {done} of {n}");
    let interventions = trained
        .intervene(&machine_set, stop, &mut progress)
        .with_context(|| format!("intervening on run {}", trained.run.id()))?;
    let measured = NetworkMeasurements {
        floors: floors.as_ref(),
        over_training: &over_training,
        interventions: interventions.as_ref(),
    };
    let context =
        ReportContext::new(trained, &machine_set, calibration, final_loss, &levels, measured)?;
    let n = (args.seeds as usize).min(trained.noise.n_held_out());
    let n_judged = args.samples as usize;
    let mut progress = |done| errorln!("{done} of {n} held-out seeds");
    let comparison = trained
        .compare(&machine_set, n, n_judged, stop, &mut progress)
        .with_context(|| format!("comparing run {}", trained.run.id()))?;
    let report = Report::new(&context, &comparison);
    report
        .write(folder)
        .with_context(|| format!("writing the report into '{}'", folder.display()))?;
    Ok(Row::new(&report))
}

/// The calibration of the run's network and machines. What the run's own calibration holds is taken from there if no
/// setting was changed and the network is that of the newest checkpoint, and a new fit becomes part of it. `None` if calibrate.seeds is 0.
fn calibration(
    trained: &Trained,
    args: &CompareArgs,
    stop: &AtomicBool,
) -> Result<Option<Calibration>> {
    let path = trained.run.calibration_path();
    let is_plain = args.settings.is_empty() && args.at_step.is_none();
    let saved = if is_plain { Calibration::read(&path)? } else { None };
    let mut progress = |what: &str| errorln!("calibrating {what}");
    let found = trained
        .calibrate(LargestSide::Image, saved.as_ref(), stop, &mut progress)
        .context("calibrating")?;
    if stop.load(Ordering::SeqCst) {
        bail!("stopped");
    }
    if let (Some(found), true) = (&found, is_plain && found != saved) {
        found.write(&path).with_context(|| format!("writing '{}'", path.display()))?;
    }
    Ok(found)
}
