//! `theory`: samples score machines from noise seeds, without a network. (`--floors` prints errors instead: `theory_floors.rs`.)

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use indicatif::ProgressBar;
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::exit_codes::STOPPED;
use super::lab_and_runs_dir_options::LabPaths;
use super::progress_bar;
use super::theory_arguments::{Opened, TheoryArgs, folder, of_label, open};
use super::theory_floors;
use crate::analysis::creativity_judge::Judge;
use crate::config::enum_settings::MachineName;
use crate::config::{Experiment, NamedMachine};
use crate::dataset::Dataset;
use crate::evaluation::agreement_and_rates;
use crate::evaluation::approximation_error::ApproximationError;
use crate::evaluation::theory_samples::{Outcome, Settings, TheorySamples};
use crate::files::{make_folder, write_output};
use crate::image::{Augmentation, ImageBatch, contact_sheet, picture_file};
use crate::random::noise_seeds;
use crate::runs::catch_signals;
use crate::theory::machine_spec::MachineSpec;
use crate::theory::patch_window::PatchWindow;
use crate::theory::{Machine, Precision, TrainingImages};
use crate::{console, errorln};

/// Interval of progress lines in plain output, without a terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Maximum number of seeds drawn in the picture.
const PICTURE_ROWS_MAX: usize = 64;

/// Inputs shared by all machines.
struct Bench {
    experiment: Experiment,
    dataset: Dataset,
    /// The images of the dictionary: those with the label that was asked for.
    of_label: Dataset,
    images: Arc<TrainingImages>,
    machines: Vec<NamedMachine>,
    folder: PathBuf,
    seeds: ImageBatch,
    /// Checksum of the pixels, and of the labels if a label selects among the images.
    checksum: u32,
}

/// Samples the machines of theory without a network, and writes samples, a picture and figures.
///
/// # Errors
///
/// If the arguments, the lab file or the data set are unusable, if a machine needs a network, if a GPU that
/// was requested by number cannot be opened, if signals cannot be caught, if a machine fails, or if a file
/// cannot be read or written.
pub fn run(paths: &LabPaths, args: &TheoryArgs) -> Result<ExitCode> {
    if args.floors {
        return theory_floors::run(paths, args);
    }
    let stop = catch_signals::stop_on(&[SIGINT, SIGTERM]).context("listening for Ctrl-C")?;
    let bench = prepare(paths, args, &stop)?;
    make_folder(&bench.folder)
        .with_context(|| format!("making the folder '{}'", bench.folder.display()))?;
    let ddim = bench.experiment.ddim();
    let mut progress = Progress::new(bench.machines.len(), ddim.n_steps);
    let mut made: Vec<(String, ImageBatch)> = Vec::new();
    let mut approximations = Vec::new();
    for (index, named) in bench.machines.iter().enumerate() {
        let machine = Machine::new(named.spec.clone(), bench.images.clone(), Precision::F32, None)?;
        let settings = bench.settings(named, args);
        let samples = TheorySamples {
            folder: &bench.folder,
            name: &named.name,
            settings: &settings,
            ddim,
            seeds: &bench.seeds,
        };
        let outcome = samples.make(&machine, &mut |n_left| {
            progress.tell(index, &named.name, n_left);
            !stop.load(Ordering::SeqCst)
        })?;
        match outcome {
            Outcome::Done(samples) => made.push((named.name.clone(), samples)),
            Outcome::Stopped { n_left } => {
                progress.end();
                errorln!(
                    "stopped; {n_left} steps of '{}' remain. Run the same command to continue",
                    named.name
                );
                return Ok(ExitCode::from(STOPPED));
            }
        }
        let error = bench.approximation(&named.name, machine, &stop);
        if stop.load(Ordering::SeqCst) {
            progress.end();
            errorln!("stopped after sampling '{}'. Run the same command to continue", named.name);
            return Ok(ExitCode::from(STOPPED));
        }
        approximations.extend(error?);
    }
    progress.end();
    bench.conclude(&made, &approximations, args)?;
    Ok(ExitCode::SUCCESS)
}

fn prepare(paths: &LabPaths, args: &TheoryArgs, stop: &Arc<AtomicBool>) -> Result<Bench> {
    let Opened { name, mut experiment, network, dataset, images, solver } = open(paths, args)?;
    solver.watch(progress_bar::of_solving(stop.clone()));
    let of_network = [MachineName::AttentionTrajectory, MachineName::AttentionMeasured];
    let named = experiment.theory.machines.iter().find(|machine| of_network.contains(machine));
    if let (Some(machine), false) = (named, args.machine.is_empty()) {
        let name: &str = machine.into();
        bail!("machine '{name}' needs a network's attention maps; use 'mosaic run' for it");
    }
    experiment.theory.machines.retain(|machine| !of_network.contains(machine));
    let (machines, notes) = experiment.machines(&network);
    notes.iter().for_each(|note| errorln!("{note}"));
    ensure!(!machines.is_empty(), "no machines to sample; choose one with --machine");
    let n = usize::try_from(args.seeds.end - args.seeds.start)?;
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(dataset.pixels());
    if let (Some(_), Some(labels)) = (args.label, dataset.labels()) {
        checksum.update(labels);
    }
    Ok(Bench {
        checksum: checksum.finalize(),
        seeds: noise_seeds(experiment.noise_seed, args.seeds.start, n, dataset.shape()),
        folder: folder(args, &name),
        of_label: of_label(args, &dataset),
        images,
        experiment,
        dataset,
        machines,
    })
}

/// Kind and patch sides of a machine, as samples of earlier versions have them, and its window if it is not square.
fn machine_in_words(spec: &MachineSpec) -> String {
    let MachineSpec { kind, k, window } = spec;
    let window = match window {
        PatchWindow::Square => String::new(),
        other => format!(", window: {other:?}"),
    };
    format!("MachineSpec {{ kind: {kind:?}, k: {k:?}{window} }}")
}

impl Bench {
    /// Everything that one machine's samples depend on.
    fn settings(&self, machine: &NamedMachine, args: &TheoryArgs) -> Settings {
        let (dataset, ddim) = (&self.dataset, self.experiment.ddim());
        let pairs = [
            ("machine", machine_in_words(&machine.spec)),
            ("images", format!("{} of {}", self.images.len(), dataset.shape())),
            ("checksum", format!("{:08x}", self.checksum)),
            ("label", args.label.map_or_else(|| "any".to_owned(), |label| label.to_string())),
            ("seeds", format!("{}..{}", args.seeds.start, args.seeds.end)),
            ("noise_seed", self.experiment.noise_seed.to_string()),
            ("sampling_steps", ddim.n_steps.to_string()),
        ];
        // Samples of earlier versions have no such setting.
        let augmentation = self.images.augmentation();
        let copies = (augmentation != Augmentation::None).then(|| {
            let word: &str = augmentation.into();
            ("augment", word.to_owned())
        });
        let all = pairs.into_iter().chain(copies);
        all.map(|(key, value)| (key.to_owned(), value)).collect()
    }

    /// How far an approximate machine is from the exact one; `None` for exact machines.
    fn approximation(
        &self,
        name: &str,
        machine: Machine,
        stop: &AtomicBool,
    ) -> Result<Option<ApproximationError>> {
        let (schedule, seed) = (self.experiment.schedule, self.experiment.noise_seed);
        ApproximationError::measure(name, &[machine], &self.of_label, schedule, seed, stop)
            .with_context(|| format!("measuring the error of the approximate machine '{name}'"))
    }

    /// Writes the picture and figures, and prints a message.
    fn conclude(
        &self,
        made: &[(String, ImageBatch)],
        approximations: &[ApproximationError],
        args: &TheoryArgs,
    ) -> Result<()> {
        let picture = self.folder.join("samples.png");
        picture_file::write(
            &contact_sheet::columns((args.seeds.start, &self.seeds), made, PICTURE_ROWS_MAX),
            &picture,
        )
        .with_context(|| format!("writing '{}'", picture.display()))?;
        let judge = Judge::new(&self.dataset);
        let machines: serde_json::Map<String, serde_json::Value> = self
            .machines
            .iter()
            .zip(made)
            .map(|(machine, (name, samples))| {
                let rates = judge.as_ref().map(|judge| agreement_and_rates::rates(judge, samples));
                let settings = self.settings(machine, args);
                let mut figures = json!({ "settings": settings, "rates": rates });
                if let Some(error) = approximations.iter().find(|error| error.machine == *name) {
                    figures["approximation_error"] = json!(error);
                }
                (name.clone(), figures)
            })
            .collect();
        let all = json!({ "folder": self.folder.display().to_string(), "machines": machines });
        let path = self.folder.join("theory.json");
        write_output(&path, serde_json::to_string_pretty(&all)?.as_bytes())
            .with_context(|| format!("writing '{}'", path.display()))?;
        if args.json {
            writeln!(console::stdout(), "{all}")?;
        }
        for (name, samples) in made {
            let Some(judge) = &judge else { break };
            let rates = agreement_and_rates::rates(judge, samples).named();
            let words: Vec<String> = rates
                .into_iter()
                .map(|(what, rate)| {
                    format!("{what} {:.2} [{:.2}, {:.2}]", rate.value, rate.low, rate.high)
                })
                .collect();
            errorln!("{name}: {}", words.join(", "));
        }
        approximations.iter().for_each(|error| errorln!("{}", error.words()));
        errorln!(
            "wrote {} samples per machine (safetensors, f64) and samples.png to '{}'",
            self.seeds.len(),
            self.folder.display()
        );
        Ok(())
    }
}

/// Shows a bar on a terminal, and lines elsewhere.
struct Progress {
    n_steps: usize,
    n_machines: usize,
    bar: Option<ProgressBar>,
    started: Instant,
    /// Steps that were loaded from disk, which do not count towards the speed.
    n_found: usize,
    n_done: usize,
    told: Option<Instant>,
}

impl Progress {
    fn new(n_machines: usize, n_steps: usize) -> Self {
        let template = "{bar:30} {pos}/{len} steps {wide_msg}";
        let bar = progress_bar::bar(template, (n_machines * n_steps) as u64);
        let started = Instant::now();
        Self { n_steps, n_machines, bar, started, n_found: 0, n_done: 0, told: None }
    }

    fn tell(&mut self, machine: usize, name: &str, n_left: usize) {
        let n_done = machine * self.n_steps + self.n_steps - n_left;
        if n_done > self.n_done + 1 {
            self.n_found += n_done - self.n_done - 1;
        }
        self.n_done = n_done;
        let (n_made, n_missing) =
            (n_done.saturating_sub(self.n_found), self.n_machines * self.n_steps - n_done);
        let words = match n_made {
            0 => name.to_owned(),
            n => {
                let each = self.started.elapsed().as_secs_f64() / n as f64;
                let left = Duration::from_secs_f64((each * n_missing as f64).round());
                format!("{name}: {each:.2} s/step, {} left", indicatif::HumanDuration(left))
            }
        };
        match &self.bar {
            Some(bar) => {
                bar.set_position(n_done as u64);
                bar.set_message(console::shown(&words));
            }
            None if self.told.is_none_or(|told| told.elapsed() >= LINE_INTERVAL) => {
                errorln!("step {n_done} of {}: {words}", self.n_machines * self.n_steps);
                self.told = Some(Instant::now());
            }
            None => {}
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
