//! Runs several experiments together and shows their progress: the runs of a study, or training seeds of one experiment.

use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar};

use super::progress_bar;
use crate::config::Arm;
use crate::evaluation::studies::study_runs::{ArmState, run_all, stop_all};
use crate::hardware::device_request::DeviceRequest;
use crate::runs::catch_signals::Signals;
use crate::runs::launch_resume_kill_worker::LaunchOptions;
use crate::runs::listed_run_state::ListedState;
use crate::runs::runs_dir::RunsDir;
use crate::runs::status_json::RunState;
use crate::{console, errorln};

/// Interval of progress lines in plain output, without a terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(15);

/// Runs `arms` to their ends, `jobs` at a time (without a number: two on a CPU with at least two cores, one on a GPU), and
/// shows their progress. Runs with the same settings that exist already are used, or continued. A signal ends it earlier.
pub fn run_together(
    runs: &RunsDir,
    arms: &[Arm],
    device: &DeviceRequest,
    jobs: Option<u16>,
    signals: &Signals,
) -> Vec<ArmState> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let on_cpu = *device == DeviceRequest::Cpu || !cfg!(feature = "cuda");
    let jobs = jobs.map_or_else(|| if on_cpu { cores.min(2) } else { 1 }, usize::from);
    let jobs = jobs.min(arms.len()).max(1);
    // A small network trains nearly as fast on one core as on two, so concurrent runs use both cores better.
    let threads = (jobs > 1).then(|| (cores / jobs).max(1));
    let options = LaunchOptions { device: device.clone(), threads, ..LaunchOptions::default() };
    errorln!("{} runs, {jobs} at a time", arms.len());
    let mut teller = Teller::new(arms);
    let stands =
        run_all(runs, arms, &options, jobs, signals, &mut |stands| teller.tell(arms, stands));
    teller.finish();
    stands
}

/// Reports what happens to the workers of an unfinished study or group, and stops them if that was requested.
pub fn tell_unfinished(stands: &[ArmState], signals: &Signals) {
    if !signals.has_stop() {
        errorln!(
            "stopped following; the workers continue. Run the same command again to follow them"
        );
        return;
    }
    let name = signals.name().unwrap_or_else(|| "a signal".to_owned());
    errorln!("stopped by {name}: waiting until the workers have written their checkpoints");
    let errors = stop_all(stands);
    for error in &errors {
        errorln!("{error}");
    }
    if errors.is_empty() {
        errorln!("all workers have stopped; run the same command to continue");
    }
}

/// Shows the progress of runs: one bar each on a terminal, otherwise a line at intervals.
struct Teller {
    bars: Option<(MultiProgress, Vec<ProgressBar>)>,
    last: Option<Instant>,
    done: Vec<bool>,
}

impl Teller {
    fn new(arms: &[Arm]) -> Self {
        let width = arms.iter().map(|arm| arm.words().len()).max().unwrap_or(0).min(60);
        let template = format!("{{prefix:{width}}} {{bar:20}} {{wide_msg}}");
        let steps = |arm: &Arm| (arm.words(), arm.experiment.training.steps as u64);
        let bars = progress_bar::bars(&template, &arms.iter().map(steps).collect::<Vec<_>>());
        Self { bars, last: None, done: vec![false; arms.len()] }
    }

    fn tell(&mut self, arms: &[Arm], stands: &[ArmState]) {
        if let Some((_, bars)) = &self.bars {
            for (bar, stand) in bars.iter().zip(stands) {
                if let ArmState::Working { status: Some(status), .. } = stand {
                    bar.set_position(status.step);
                }
                if matches!(stand, ArmState::Finished(_)) {
                    bar.set_position(bar.length().unwrap_or(0));
                }
                bar.set_message(console::shown(&in_words(stand)));
            }
            return;
        }
        let due = self.last.is_none_or(|last| last.elapsed() >= LINE_INTERVAL);
        for (at, (arm, stand)) in arms.iter().zip(stands).enumerate() {
            let over = matches!(stand, ArmState::Finished(_) | ArmState::Failed(_));
            let news = over && !self.done[at];
            self.done[at] |= over;
            if news || (due && matches!(stand, ArmState::Working { .. })) {
                errorln!("{}: {}", arm.words(), in_words(stand));
            }
        }
        if due {
            self.last = Some(Instant::now());
        }
    }

    fn finish(&self) {
        if let Some((_, bars)) = &self.bars {
            bars.iter().for_each(ProgressBar::abandon);
        }
    }
}

fn in_words(stand: &ArmState) -> String {
    match stand {
        ArmState::Waiting => "waits".to_owned(),
        ArmState::Working { status: None, .. } => "starts".to_owned(),
        ArmState::Working { status: Some(status), .. } => match (status.state, &status.message) {
            (RunState::Training, _) => {
                let eta = status.eta_s.map_or_else(String::new, |s| format!(", {s:.0} s left"));
                format!("step {} of {}{eta}", status.step, status.steps)
            }
            (_, Some(message)) => message.clone(),
            (state, None) => ListedState::from(state).word().to_owned(),
        },
        ArmState::Finished(run) => format!("finished: {}", run.id()),
        ArmState::Failed(reason) => format!("failed: {reason}"),
    }
}
