//! Training seeds of one experiment as runs that follow one another without anybody who waits for them: the first starts,
//! the others are queued. The dashboard's counterpart of `mosaic run --training-seeds`, which compares them at their end.

use super::study_runs::{ArmState, found};
use crate::config::Arm;
use crate::runs::launch_resume_kill_worker::{LaunchOptions, launch};
use crate::runs::runs_dir::RunsDir;

/// What was launched.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Enqueued {
    /// Names of the new runs, in order.
    pub runs: Vec<String>,
    /// Number of arms that have a run already, which is left as it is.
    pub n_existing: usize,
    /// Why the remaining arms were not launched.
    pub problem: Option<String>,
}

/// Launches the arms that have no run yet: the first as `options` say, the others into the queue. Stops at the first that
/// cannot be launched.
pub fn enqueue(runs: &RunsDir, arms: &[Arm], options: &LaunchOptions) -> Enqueued {
    let mut done = Enqueued::default();
    for arm in arms {
        if !matches!(found(runs, arm), ArmState::Waiting) {
            done.n_existing += 1;
            continue;
        }
        let queued = options.queued || !done.runs.is_empty();
        let options = LaunchOptions { queued, label: arm.label.clone(), ..options.clone() };
        match launch(runs, &arm.experiment, &options) {
            Ok(run) => done.runs.push(run.id()),
            Err(error) => {
                done.problem = Some(format!("{:#}", anyhow::Error::new(error)));
                break;
            }
        }
    }
    done
}
