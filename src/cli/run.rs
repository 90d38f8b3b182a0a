//! `run`: launches a worker and follows it until it ends.
//!
//! The worker is a separate process from the start: Ctrl-C ends only the following, and a dropped connection
//! changes nothing. A signal that asks this command to end (TERM, QUIT, USR1 and the others of
//! [`crate::runs::catch_signals`]) is passed on: the worker writes a checkpoint and stops, and only then does the
//! command end, with exit code 3. If the worker would end with this command, as in a container whose first
//! process it is, Ctrl-C and a hangup have the same effect.

use std::io::Write;
use std::ops::Range;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use indicatif::ProgressBar;

use super::exit_codes::STOPPED;
use super::lab_and_runs_dir_options::LabPaths;
use super::logs::in_words;
use super::progress_bar;
use super::run_training_seeds;
use crate::config::name_of_changes::changes_in_words;
use crate::config::training_seed_group::parse_training_seeds;
use crate::hardware::device_request::DeviceRequest;
use crate::runs::alive_silent_or_lost::{Health, START_LIMIT};
use crate::runs::catch_signals::{self, Signals, Terminal};
use crate::runs::event::{Event, EventBody, NoticeLevel};
use crate::runs::event_log::EventTail;
use crate::runs::launch_resume_kill_worker::{LaunchOptions, launch, log_words, terminate};
use crate::runs::process_identity::{FileId, ends_a_container};
use crate::runs::run_dir::RunDir;
use crate::runs::runs_dir::RunsDir;
use crate::runs::status_json::RunState;
use crate::{console, errorln};

#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// The experiment of lab.toml to run; see 'mosaic experiments'.
    pub experiment: String,
    /// Change a setting; repeatable. Paths are relative to the lab file.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// auto, cpu, cuda:N or cuda:N,M (several GPUs); overrides device of the lab file.
    #[arg(long)]
    pub device: Option<DeviceRequest>,
    /// Train these training seeds as a group and compare them: figures with intervals over training seeds, and the
    /// agreement between training seeds as a ceiling. Existing runs with the same settings are used.
    #[arg(long, value_name = "A..B", value_parser = parse_training_seeds, conflicts_with_all = ["detach", "queue"])]
    pub training_seeds: Option<Range<u64>>,
    /// With --training-seeds: concurrent runs [default: two on a CPU with at least two cores, one on a GPU].
    #[arg(long, value_name = "N", requires = "training_seeds", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub jobs: Option<u16>,
    /// Print one JSON object at the end; progress goes to stderr.
    #[arg(long)]
    pub json: bool,
    /// Launch in the background and return.
    #[arg(long)]
    pub detach: bool,
    /// Enqueue: start when no other run uses the device, in order of launch. With --detach, return immediately.
    #[arg(long)]
    pub queue: bool,
}

const POLL: Duration = Duration::from_millis(150);
/// Interval at which a worker that does not stop is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// Interval of loss lines in plain output, without a terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Launches a run, follows it unless `--detach` is given, and prints its report.
///
/// # Errors
///
/// If the lab file is unusable, if the experiment or a setting is unknown or unusable, if signals cannot be
/// caught, if the worker does not start or is lost, if the run fails or its directory vanishes, if its events
/// or report cannot be read, or if writing to standard output fails.
pub fn run(paths: &LabPaths, args: &RunArgs) -> Result<ExitCode> {
    let lab = paths.lab()?;
    let base = lab.experiment(&args.experiment)?;
    let mut experiment = base.clone();
    experiment.set_pairs(&args.settings)?;
    let device = args.device.clone().unwrap_or_else(|| lab.settings.device.clone());
    let runs = RunsDir::new(&lab.settings.runs_dir);
    let signals = catch_signals::catch(follower_terminal()).context("listening for signals")?;
    if let Some(seeds) = &args.training_seeds {
        let how = (&device, args.jobs);
        return run_training_seeds::run(
            &runs,
            (base, &experiment),
            seeds,
            how,
            &signals,
            args.json,
        );
    }
    let run = launch(
        &runs,
        &experiment,
        &LaunchOptions {
            device,
            label: changes_in_words(base, &experiment),
            queued: args.queue,
            ..LaunchOptions::default()
        },
    )?;
    errorln!("run {} in '{}'", run.id(), run.path().display());
    if args.detach && signals.has_stop() {
        terminate(&run)?;
        return Ok(ExitCode::from(STOPPED));
    }
    if args.detach {
        if args.json {
            let launched =
                serde_json::json!({ "run": run.id(), "path": run.path().display().to_string() });
            writeln!(console::stdout(), "{launched}")?;
        } else {
            writeln!(console::stdout(), "{}", run.id())?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let end = Follower::new(&run, experiment.training.steps as u64).follow(&run, &signals)?;
    conclude(&run, end, args.json)
}

/// Effect of Ctrl-C and a hangup on a command that follows workers.
pub fn follower_terminal() -> Terminal {
    if ends_a_container() { Terminal::Ends } else { Terminal::Leaves }
}

/// How following a run ended.
#[derive(Clone, Debug, PartialEq)]
enum End {
    Over(RunState, Option<String>),
    Lost,
    /// The run's directory was moved or deleted.
    Vanished,
    Detached,
}

fn conclude(run: &RunDir, end: End, as_json: bool) -> Result<ExitCode> {
    let id = run.id();
    match end {
        End::Over(RunState::Finished, _) => {
            let name = if as_json { "report.json" } else { "report.md" };
            let path = run.report_path().join(name);
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("reading '{}'", path.display()))?;
            if as_json {
                let report: serde_json::Value = serde_json::from_str(&text)?;
                writeln!(console::stdout(), "{report}")?;
            } else {
                write!(console::stdout(), "{text}")?;
                errorln!("report and figures: '{}'", run.report_path().display());
            }
            Ok(ExitCode::SUCCESS)
        }
        End::Over(RunState::Stopped, reason) => {
            let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
            errorln!("run {id} was stopped{reason}; continue with 'mosaic resume {id}'");
            Ok(ExitCode::from(STOPPED))
        }
        End::Over(_, reason) => {
            let reason = reason.unwrap_or_else(|| "no reason was given".to_owned());
            anyhow::bail!("run {id} failed: {reason}; its log: '{}'", run.log_path().display())
        }
        End::Lost => anyhow::bail!(
            "the worker of run {id} exited without reporting a status; 'mosaic resume {id}' continues from its last checkpoint; {}",
            log_words(run)
        ),
        End::Vanished => anyhow::bail!(
            "the directory '{}' of run {id} was moved or deleted during training; its worker stops",
            run.path().display()
        ),
        End::Detached => {
            // The terminal has printed ^C.
            errorln!("");
            errorln!(
                "run {id} continues in the background; follow with 'mosaic logs -f {id}', stop with 'mosaic stop {id}'"
            );
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Shows events as a progress bar on a terminal and as plain lines elsewhere.
struct Follower {
    tail: EventTail,
    bar: Option<ProgressBar>,
    last_line: Option<Instant>,
    message: Option<String>,
    /// The run's directory, to detect that it was moved or replaced.
    directory: Option<FileId>,
}

impl Follower {
    fn new(run: &RunDir, steps: u64) -> Self {
        let bar = progress_bar::bar("{bar:30} {pos}/{len} {per_sec} ETA {eta} {wide_msg}", steps);
        Self {
            tail: EventTail::new(run.events_path()),
            bar,
            last_line: None,
            message: None,
            directory: FileId::of(run.path()).ok(),
        }
    }

    fn follow(&mut self, run: &RunDir, signals: &Signals) -> Result<End> {
        let started = Instant::now();
        let mut asked: Option<Instant> = None;
        loop {
            // Health is read first: an ending worker writes its events before its last status.
            let (health, status) = (run.health(), run.status());
            for event in self.tail.poll().context("reading the run's events")? {
                self.show(&event);
            }
            match (health, status) {
                (Health::Over, Some(status)) => {
                    self.finish();
                    return Ok(End::Over(status.state, status.message));
                }
                _ if FileId::of(run.path()).ok() != self.directory => {
                    self.finish();
                    return Ok(End::Vanished);
                }
                (Health::Lost, _) => {
                    self.finish();
                    return Ok(End::Lost);
                }
                (Health::Unknown, _) if started.elapsed() > START_LIMIT => return Ok(End::Lost),
                (_, Some(status)) if status.state == RunState::Comparing => {
                    self.compare(status.message);
                }
                _ => {}
            }
            let is_due = |asked: Instant| asked.elapsed() >= ASK_AGAIN;
            if signals.has_stop() && asked.is_none_or(is_due) {
                let is_first = asked.replace(Instant::now()).is_none();
                let name = signals.name().unwrap_or_else(|| "a signal".to_owned());
                if is_first {
                    self.line(&format!(
                        "{name}: waiting until the worker has written a checkpoint"
                    ));
                }
                // A worker that cannot be reached may have received the signal too, so it is still waited for.
                if let Err(error) = terminate(run)
                    && is_first
                {
                    self.line(&format!("{error}"));
                }
            }
            // Once the worker was asked to stop, it is waited for in any case.
            if signals.has_left() && asked.is_none() {
                self.finish();
                return Ok(End::Detached);
            }
            std::thread::sleep(POLL);
        }
    }

    fn show(&mut self, event: &Event) {
        match &event.body {
            EventBody::Metrics(metrics) => {
                let loss = metrics.loss.map_or_else(|| "-".to_owned(), |loss| format!("{loss:.4}"));
                if let Some(bar) = &self.bar {
                    bar.set_position(event.step);
                    bar.set_message(format!("loss {loss}"));
                } else if self.last_line.is_none_or(|last| last.elapsed() >= LINE_INTERVAL) {
                    self.last_line = Some(Instant::now());
                    errorln!("{}", in_words(event));
                }
            }
            EventBody::Attention(_)
            | EventBody::LossByLevel(_)
            | EventBody::Checkpoint { .. }
            | EventBody::Unknown => {}
            // The command's own error says why.
            EventBody::State { state: RunState::Failed, .. } => {}
            EventBody::Notice { level: NoticeLevel::Info, .. } if self.bar.is_some() => {}
            _ => self.line(&in_words(event)),
        }
    }

    fn compare(&mut self, message: Option<String>) {
        if message == self.message {
            return;
        }
        if let Some(text) = &message {
            match &self.bar {
                Some(bar) => bar.set_message(console::shown(text)),
                None => errorln!("{}", console::line(text)),
            }
        }
        self.message = message;
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| errorln!("{text}")),
            None => errorln!("{text}"),
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
