//! `mosaic logs`: shows a run's events, or its worker's log, and follows new events.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use super::lab_and_runs_dir_options::LabPaths;
use crate::analysis::confidence_intervals::quartiles;
use crate::analysis::excess_over_floor::LevelExcess;
use crate::runs::event::{
    AgreementFigure, AttentionAtLevel, AttentionMetrics, Event, EventBody, FloorLevel,
};
use crate::runs::event_log::EventTail;
use crate::runs::listed_run_state::ListedState;
use crate::{console, errorln};

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

/// Prints a run's events, or its worker's log.
///
/// # Errors
///
/// If the lab file is unusable, if the runs, the events or the log cannot be read, if no run or several runs
/// match, or if writing to standard output fails.
pub fn run(paths: &LabPaths, args: &LogsArgs) -> Result<()> {
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
        EventBody::Floors(floors) => {
            let level = |level: &FloorLevel| {
                let floors = level.floors.iter();
                let words = floors.map(|(name, error)| format!("{name} {:.4}", error.mse));
                format!("t {:.1} {}", level.t, words.collect::<Vec<_>>().join(" "))
            };
            let levels: Vec<String> = floors.levels.iter().map(level).collect();
            format!("floors (error of the clean estimate): {}", levels.join(", "))
        }
        EventBody::Excess(excess) => {
            let level =
                |level: &LevelExcess| format!("{:+.4} at t {:.1}", level.excess.mse, level.t);
            let levels: Vec<String> = excess.levels.iter().map(level).collect();
            let word: &str = excess.convergence.into();
            format!("{word}; error above {}: {}", excess.class_floor, levels.join(", "))
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
