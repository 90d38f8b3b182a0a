//! The runs of a study: found, resumed or launched, so many at a time, and followed to their ends.

use std::thread;
use std::time::{Duration, Instant};

use crate::config::{Arm, study::same_settings};
use crate::runs::alive_silent_or_lost::{Health, START_LIMIT};
use crate::runs::catch_signals::Signals;
use crate::runs::launch_resume_kill_worker::{
    LaunchError, LaunchOptions, launch, log_words, resume, terminate,
};
use crate::runs::run_dir::RunDir;
use crate::runs::run_toml::{self, Origin};
use crate::runs::runs_dir::RunsDir;
use crate::runs::status_json::{RunState, Status};

const POLL: Duration = Duration::from_millis(250);

/// The state of one run of a study.
#[derive(Clone, Debug)]
pub enum ArmState {
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
pub fn stop_all(states: &[ArmState]) -> Vec<LaunchError> {
    let working = states.iter().filter_map(|state| match state {
        ArmState::Working { run, .. } => Some(run),
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
/// first, which leaves workers running. `observe` is called with the states of all, four times a second.
pub fn run_all(
    runs: &RunsDir,
    arms: &[Arm],
    options: &LaunchOptions,
    jobs: usize,
    signals: &Signals,
    observe: &mut dyn FnMut(&[ArmState]),
) -> Vec<ArmState> {
    let mut states: Vec<ArmState> = arms.iter().map(|arm| found(runs, arm)).collect();
    // A run is resumed once; one that fails again stays failed.
    let mut resumed = vec![false; arms.len()];
    loop {
        // Workers that a signal to all of a job has stopped are not resumed.
        if signals.has_stop() || signals.has_left() {
            return states;
        }
        for (at, state) in states.iter_mut().enumerate() {
            *state = look(state, &mut resumed[at], options);
        }
        let working =
            states.iter().filter(|state| matches!(state, ArmState::Working { .. })).count();
        let mut free = jobs.max(1).saturating_sub(working);
        for (arm, state) in arms.iter().zip(&mut states) {
            if free > 0 && matches!(state, ArmState::Waiting) {
                *state = begin(runs, arm, options);
                free -= 1;
            }
        }
        observe(&states);
        let over = |state: &ArmState| matches!(state, ArmState::Finished(_) | ArmState::Failed(_));
        if states.iter().all(over) {
            return states;
        }
        thread::sleep(POLL);
    }
}

/// An existing run with the settings of an arm: a finished one if there is one, else the newest. Imported weights, which
/// were trained in another way, are none.
pub fn found(runs: &RunsDir, arm: &Arm) -> ArmState {
    let mut found = ArmState::Waiting;
    for summary in runs.list() {
        let same = run_toml::read(&summary.dir.run_toml_path()).is_ok_and(|run| {
            run.origin == Origin::Trained && same_settings(&run.experiment, &arm.experiment)
        });
        if !same {
            continue;
        }
        let state = summary.status.as_ref().map(|status| status.state);
        if state == Some(RunState::Finished)
            && summary.dir.report_path().join("report.json").is_file()
        {
            return ArmState::Finished(summary.dir);
        }
        // The newest of the others; `look` finds out whether it must be resumed.
        if matches!(found, ArmState::Waiting) && state != Some(RunState::Finished) {
            found = ArmState::Working { run: summary.dir, status: None, since: Instant::now() };
        }
    }
    found
}

fn begin(runs: &RunsDir, arm: &Arm, options: &LaunchOptions) -> ArmState {
    let options = LaunchOptions { label: arm.label.clone(), ..options.clone() };
    match launch(runs, &arm.experiment, &options) {
        Ok(run) => ArmState::Working { run, status: None, since: Instant::now() },
        Err(error) => ArmState::Failed(format!("{:#}", anyhow::Error::new(error))),
    }
}

/// The state of a run now; one that was interrupted is resumed once.
fn look(state: &ArmState, resumed: &mut bool, options: &LaunchOptions) -> ArmState {
    let ArmState::Working { run, since, .. } = state else { return state.clone() };
    let (health, status) = (run.health(), run.status());
    let state = status.as_ref().map(|status| status.state);
    if !run.path().is_dir() {
        return ArmState::Failed(format!("run {}: its directory is gone", run.id()));
    }
    let interrupted = match (health, state) {
        (Health::Over, Some(RunState::Finished)) => return ArmState::Finished(run.clone()),
        (Health::Over | Health::Lost | Health::Newer, _) => true,
        (Health::Unknown, _) => since.elapsed() > START_LIMIT,
        _ => false,
    };
    if !interrupted {
        return ArmState::Working { run: run.clone(), status: status.map(Box::new), since: *since };
    }
    if *resumed {
        let message = status.and_then(|status| status.message);
        let message = message.unwrap_or_else(|| {
            format!("its worker exited without reporting a status; {}", log_words(run))
        });
        return ArmState::Failed(format!("run {}: {message}", run.id()));
    }
    *resumed = true;
    match resume(run, options.threads) {
        Ok(()) => ArmState::Working { run: run.clone(), status: None, since: Instant::now() },
        Err(error) => ArmState::Failed(format!("{:#}", anyhow::Error::new(error))),
    }
}
