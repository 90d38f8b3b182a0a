//! `ls`, `logs`, `note`, `rename`, `rm`: commands on run directories.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use serde::Serialize;

use super::lab_and_runs_dir_options::LabPaths;
use super::pause_resume_stop_kill::RunArg;
use crate::analysis::confidence_intervals::quartiles;
use crate::runs::control_holder::Steering;
use crate::runs::event::{AgreementFigure, AttentionAtLevel, AttentionMetrics, Event, EventBody};
use crate::runs::event_log::EventTail;
use crate::runs::note_and_tags::About;
use crate::runs::running_paused_or_lost::ListedState;
use crate::runs::runs_dir::RunSummary;
use crate::{console, errorln};

#[derive(Clone, Debug, Args)]
pub struct LsArgs {
    /// One JSON array.
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Debug, Args)]
pub struct LogsArgs {
    /// Run name, or a unique prefix of it.
    pub run: String,
    /// Follow new events.
    #[arg(short, long)]
    pub follow: bool,
    /// Print events.jsonl unchanged.
    #[arg(long)]
    pub json: bool,
    /// Show the worker's log instead of the events.
    #[arg(long)]
    pub worker: bool,
}

/// Explains the state of a run, if there is an explanation.
fn message(run: &RunSummary) -> Option<String> {
    let newer = run.newer.as_ref().map(ToString::to_string);
    newer.or_else(|| run.status.as_ref()?.message.clone())
}

/// Name of the process that has control of a run's worker.
fn holder(run: &RunSummary) -> Option<&str> {
    match &run.steering {
        Steering::Theirs(name) => Some(name),
        Steering::Free | Steering::Mine => None,
    }
}

/// A row of `ls --json`.
#[derive(Serialize)]
struct ListedRun<'a> {
    run: &'a str,
    experiment: &'a str,
    state: ListedState,
    step: Option<u64>,
    steps: Option<u64>,
    loss: Option<f64>,
    device: Option<&'a str>,
    message: Option<String>,
    steered_by: Option<&'a str>,
    created_ms: u64,
    note: &'a str,
    tags: &'a [String],
    path: String,
}

impl<'a> ListedRun<'a> {
    fn new(run: &'a RunSummary) -> Self {
        let status = run.status.as_ref();
        Self {
            run: &run.id,
            experiment: &run.experiment,
            state: run.listed_state(),
            step: status.map(|status| status.step),
            steps: status.map(|status| status.steps),
            loss: status.and_then(|status| status.loss),
            device: status.map(|status| status.device.as_str()),
            message: message(run),
            steered_by: holder(run),
            created_ms: run.created_ms,
            note: &run.about.note,
            tags: &run.about.tags,
            path: run.dir.path().display().to_string(),
        }
    }
}

/// Prints the runs and their state.
///
/// # Errors
///
/// If the lab file is unusable, if the directory of runs cannot be read, or if writing to standard output
/// fails.
pub fn list(paths: &LabPaths, args: &LsArgs) -> Result<()> {
    let runs = paths.runs()?;
    let place = runs.path().display();
    let listing =
        runs.settled_listing().with_context(|| format!("reading the runs in '{place}'"))?;
    let found = listing.runs;
    if listing.n_unreadable > 0 {
        errorln!(
            "{} unreadable directories in '{place}' skipped; they may belong to other users",
            listing.n_unreadable
        );
    }
    let mut out = console::stdout();
    if args.json {
        let rows: Vec<_> = found.iter().map(ListedRun::new).collect();
        writeln!(out, "{}", serde_json::to_string(&rows)?)?;
        return Ok(());
    }
    if found.is_empty() {
        let words = if listing.n_unreadable > 0 { "that can be read" } else { "yet" };
        errorln!("no runs in '{place}' {words}; start one with 'mosaic run EXPERIMENT'");
        return Ok(());
    }
    let shown = |run: &RunSummary| console::line(&run.id).into_owned();
    let width = found.iter().map(|run| shown(run).len()).max().unwrap_or(0);
    writeln!(out, "{:width$}  {:9}  {:>15}  {:>9}  note", "run", "state", "step", "loss")?;
    for run in &found {
        let status = run.status.as_ref();
        let step = status.map_or_else(String::new, |s| format!("{}/{}", s.step, s.steps));
        let loss =
            status.and_then(|s| s.loss).map_or_else(String::new, |loss| format!("{loss:.5}"));
        let message = message(run).unwrap_or_default();
        let tags: String = run.about.tags.iter().map(|tag| format!("#{tag} ")).collect();
        let note = [tags.trim_end(), &run.about.note, &message];
        let note =
            note.into_iter().filter(|words| !words.is_empty()).collect::<Vec<_>>().join("  ");
        let line = format!(
            "{:width$}  {:9}  {step:>15}  {loss:>9}  {note}",
            shown(run),
            run.listed_state().word()
        );
        writeln!(out, "{}", console::line(line.trim_end()))?;
    }
    Ok(())
}

/// Prints a run's events, or its worker's log.
///
/// # Errors
///
/// If the lab file is unusable, if the runs, the events or the log cannot be read, if no run or several runs
/// match, or if writing to standard output fails.
pub fn logs(paths: &LabPaths, args: &LogsArgs) -> Result<()> {
    let run = paths.run(&args.run)?;
    let mut out = console::stdout();
    if args.worker {
        let text = std::fs::read(run.dir.log_path()).context("reading the worker's log")?;
        out.write_all(&text)?;
        return Ok(());
    }
    let mut tail = EventTail::new(run.dir.events_path());
    loop {
        let over = !run.dir.health().is_at_work();
        for event in tail.poll().context("reading the run's events")? {
            let line = if args.json { serde_json::to_string(&event)? } else { in_words(&event) };
            writeln!(out, "{line}")?;
        }
        // Health was read first, so that an ending worker's last events are not missed.
        if !args.follow || over {
            if let Some(newer) = tail.newer {
                errorln!("some events of {} were skipped: {newer}", run.id);
            }
            return Ok(());
        }
        out.flush()?;
        std::thread::sleep(Duration::from_millis(250));
    }
}

/// Mean entropy over heads at each noise level.
fn entropies(attention: &AttentionMetrics) -> String {
    let level = |level: &AttentionAtLevel| {
        let heads = level.entropy_nats.len().max(1) as f64;
        format!("{:.2} at t {:.2}", level.entropy_nats.iter().sum::<f64>() / heads, level.t)
    };
    attention.levels.iter().map(level).collect::<Vec<_>>().join(", ")
}

/// Formats an event as one plain line.
pub fn in_words(event: &Event) -> String {
    let number =
        |value: Option<f64>| value.map_or_else(|| "not finite".to_owned(), |v| format!("{v:.5}"));
    let text = match &event.body {
        EventBody::State { state, reason } => {
            let reason = reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
            format!("{}{reason}", ListedState::from(*state).word())
        }
        EventBody::Metrics(metrics) => format!(
            "loss {}, {:.2} steps/s, rate {:.2e}",
            number(metrics.loss),
            metrics.steps_per_s,
            metrics.learning_rate
        ),
        EventBody::Attention(attention) => {
            format!("attention entropy (nats) {}", entropies(attention))
        }
        EventBody::PredictedAttention { machine, metrics } => {
            format!("attention entropy (nats) by {machine} {}", entropies(metrics))
        }
        EventBody::LossByLevel(levels) => {
            let ranges: Vec<String> = levels
                .ranges()
                .map(|(end, loss)| format!("{} up to t {end:.1}", number(Some(loss))))
                .collect();
            format!("loss by noise level: {}", ranges.join(", "))
        }
        EventBody::Preview(preview) => {
            let figures = agreement(&preview.figures);
            format!("preview {} in {:.1} s; r^2: {figures}", preview.path, preview.seconds)
        }
        EventBody::Checkpoint { path, seconds } => format!("checkpoint {path} in {seconds:.2} s"),
        EventBody::Notice { level, text } => {
            let level: &str = level.into();
            format!("{level}: {text}")
        }
        EventBody::Agreement { figures } => {
            format!("agreement, median r^2: {}", agreement(figures))
        }
        EventBody::Unknown => "unknown event (written by a newer version)".to_owned(),
    };
    format!("step {:>6}  {}", event.step, console::line(&text))
}

/// The median r^2 with each machine.
fn agreement(figures: &[AgreementFigure]) -> String {
    let words = |figure: &AgreementFigure| {
        let squares: Vec<f64> = figure.r.iter().flatten().map(|r| r * r).collect();
        let median = quartiles(&squares).map(|q| format!("{:.2}", q.median));
        format!("{} {}", figure.machine, median.unwrap_or_else(|| "undefined".to_owned()))
    };
    figures.iter().map(words).collect::<Vec<_>>().join(", ")
}

/// Deletes a run.
///
/// # Errors
///
/// If the lab file is unusable, if the runs cannot be read, if no run or several runs match, if the run has a
/// worker or was written by a newer mosaic, if it cannot be deleted, or if writing to standard output fails.
pub fn remove(paths: &LabPaths, args: &RunArg) -> Result<()> {
    let run = paths.run(&args.run)?;
    run.dir.delete()?;
    writeln!(console::stdout(), "{} is deleted", run.id)?;
    Ok(())
}

#[derive(Clone, Debug, Args)]
pub struct RenameArgs {
    /// Run name, or a unique prefix of it.
    pub run: String,
    /// New name; the time of launch stays at the end.
    pub to: String,
}

/// Renames a run.
///
/// # Errors
///
/// If the lab file is unusable, if the runs cannot be read, if no run or several runs match, if the new name
/// is invalid or taken, if the run has a worker or was written by a newer mosaic, if it cannot be renamed, or
/// if writing to standard output fails.
pub fn rename(paths: &LabPaths, args: &RenameArgs) -> Result<()> {
    let run = paths.run(&args.run)?;
    let name = paths.runs()?.rename(&run.dir, &args.to)?;
    writeln!(console::stdout(), "{} is now {name}", run.id)?;
    Ok(())
}

#[derive(Clone, Debug, Args)]
pub struct NoteArgs {
    /// Run name, or a unique prefix of it.
    pub run: String,
    /// New note, one line; an empty one deletes it. Without text and tags, prints the current ones.
    pub text: Option<String>,
    /// Add a tag; repeatable.
    #[arg(long, value_name = "TAG")]
    pub tag: Vec<String>,
    /// Remove a tag; repeatable.
    #[arg(long, value_name = "TAG")]
    pub untag: Vec<String>,
}

/// Changes a run's note and tags if any are given, and prints them.
///
/// # Errors
///
/// If the lab file is unusable, if the runs cannot be read, if no run or several runs match, if the note or a
/// tag is invalid, or if the note's file or standard output cannot be written.
pub fn note(paths: &LabPaths, args: &NoteArgs) -> Result<()> {
    let run = paths.run(&args.run)?;
    let mut about = run.about;
    if args.text.is_some() || !args.tag.is_empty() || !args.untag.is_empty() {
        let text = args.text.as_deref().unwrap_or(&about.note);
        about = About::new(text, &about.tags.join(" ")).map_err(|problem| anyhow!(problem))?;
        for tag in &args.tag {
            about.add(tag).map_err(|problem| anyhow!(problem))?;
        }
        about.tags.retain(|tag| !args.untag.contains(tag));
        let path = run.dir.about_path();
        about.write(&path).with_context(|| format!("writing '{}'", path.display()))?;
    }
    let words = format!("{}: {} [{}]", run.id, about.note, about.tags.join(" "));
    writeln!(console::stdout(), "{}", console::line(&words))?;
    Ok(())
}
