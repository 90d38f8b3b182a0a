//! The runs of a study: found, resumed or launched, so many at a time, and followed to their ends.

use std::thread;
use std::time::{Duration, Instant};

use crate::config::Arm;
use crate::config::study::same_settings;
use crate::runs::launch::{LaunchError, LaunchOptions, launch, log_words, resume, terminate};
use crate::runs::liveness::{Health, START_LIMIT};
use crate::runs::run_dir::RunDir;
use crate::runs::runs_dir::RunsDir;
use crate::runs::signals::Signals;
use crate::runs::status::{RunState, Status};

const POLL: Duration = Duration::from_millis(250);

/// The state of one run of a study.
#[derive(Clone, Debug)]
pub enum Stand {
    /// Not started.
    Waiting,
    Working {
        run: RunDir,
        status: Option<Box<Status>>,
        since: Instant,
    },
    Finished(RunDir),
    /// There is no result, for this reason.
    Failed(String),
}

/// Asks every worker of a study to write a checkpoint and stop, and waits until all have stopped. Workers that cannot be
/// reached from here are not waited for.
pub fn stop_all(stands: &[Stand]) -> Vec<LaunchError> {
    let working = stands.iter().filter_map(|stand| match stand {
        Stand::Working { run, .. } => Some(run),
        _ => None,
    });
    let mut errors = Vec::new();
    let mut stopping = Vec::new();
    for run in working {
        match terminate(run) {
            Ok(true) => stopping.push(run),
            Ok(false) => {}
            Err(error) => errors.push(error),
        }
    }
    for run in stopping {
        while run.health().is_at_work() {
            thread::sleep(POLL);
        }
    }
    errors
}

/// Runs `arms`, at most `jobs` at a time, and returns the final state of each: finished or failed, unless a signal came
/// first, which leaves workers running. `tell` is called with the states of all, four times a second.
pub fn run_all(
    runs: &RunsDir,
    arms: &[Arm],
    options: &LaunchOptions,
    jobs: usize,
    signals: &Signals,
    tell: &mut dyn FnMut(&[Stand]),
) -> Vec<Stand> {
    let mut stands: Vec<Stand> = arms.iter().map(|arm| found(runs, arm)).collect();
    // A run is resumed once; one that fails again stays failed.
    let mut resumed = vec![false; arms.len()];
    loop {
        // Workers that a signal to all of a job has stopped are not resumed.
        if signals.has_stop() || signals.has_left() {
            return stands;
        }
        for (at, stand) in stands.iter_mut().enumerate() {
            *stand = look(stand, &mut resumed[at], options);
        }
        let working = stands.iter().filter(|stand| matches!(stand, Stand::Working { .. })).count();
        let mut free = jobs.max(1).saturating_sub(working);
        for (arm, stand) in arms.iter().zip(&mut stands) {
            if free > 0 && matches!(stand, Stand::Waiting) {
                *stand = begin(runs, arm, options);
                free -= 1;
            }
        }
        tell(&stands);
        let over = |stand: &Stand| matches!(stand, Stand::Finished(_) | Stand::Failed(_));
        if stands.iter().all(over) {
            return stands;
        }
        thread::sleep(POLL);
    }
}

/// An existing run with the settings of an arm: a finished one if there is one, else the newest.
fn found(runs: &RunsDir, arm: &Arm) -> Stand {
    let mut found = Stand::Waiting;
    for summary in runs.list() {
        let same = summary.dir.experiment().is_ok_and(|e| same_settings(&e, &arm.experiment));
        if !same {
            continue;
        }
        let state = summary.status.as_ref().map(|status| status.state);
        if state == Some(RunState::Finished)
            && summary.dir.report_path().join("report.json").is_file()
        {
            return Stand::Finished(summary.dir);
        }
        // The newest of the others; `look` finds out whether it must be resumed.
        if matches!(found, Stand::Waiting) && state != Some(RunState::Finished) {
            found = Stand::Working { run: summary.dir, status: None, since: Instant::now() };
        }
    }
    found
}

fn begin(runs: &RunsDir, arm: &Arm, options: &LaunchOptions) -> Stand {
    match launch(runs, &arm.experiment, options) {
        Ok(run) => Stand::Working { run, status: None, since: Instant::now() },
        Err(error) => Stand::Failed(in_words(&error)),
    }
}

/// The state of a run now; one that was interrupted is resumed once.
fn look(stand: &Stand, resumed: &mut bool, options: &LaunchOptions) -> Stand {
    let Stand::Working { run, since, .. } = stand else { return stand.clone() };
    let (health, status) = (run.health(), run.status());
    let state = status.as_ref().map(|status| status.state);
    if !run.path().is_dir() {
        return Stand::Failed(format!("run {}: its directory is gone", run.id()));
    }
    let interrupted = match (health, state) {
        (Health::Over, Some(RunState::Finished)) => return Stand::Finished(run.clone()),
        (Health::Over | Health::Lost | Health::Newer, _) => true,
        (Health::Unknown, _) => since.elapsed() > START_LIMIT,
        _ => false,
    };
    if !interrupted {
        return Stand::Working { run: run.clone(), status: status.map(Box::new), since: *since };
    }
    if *resumed {
        let message = status.and_then(|status| status.message);
        let message = message.unwrap_or_else(|| {
            format!("its worker exited without reporting a status; {}", log_words(run))
        });
        return Stand::Failed(format!("run {}: {message}", run.id()));
    }
    *resumed = true;
    match resume(run, options.threads) {
        Ok(()) => Stand::Working { run: run.clone(), status: None, since: Instant::now() },
        Err(error) => Stand::Failed(in_words(&error)),
    }
}

fn in_words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words += &format!(": {error}");
        cause = error.source();
    }
    words
}
