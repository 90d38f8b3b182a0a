//! Calibration: the settings of each machine that fit one network best, step by step.
//!
//! ```text
//! trajectories of the network (seeds of their own) -> errors over a grid, per step -> schedules
//!                                  schedules, sampled from the same seeds -> the one that is kept
//! ```
//!
//! Every machine is fitted by one criterion, the least mean squared error of x0hat over seeds, on the same seeds: the
//! machine without attention gets a patch side, the attention machine (k, lambda, gamma, tau). All are fitted twice: at
//! the network's states, and at the states that the machine itself reaches with the settings of the steps before. The
//! settings that fit best at the network's states need not keep a machine on the network's trajectory, so the schedules
//! compete, and with them constant ones: for each patch side the setting with the least error over all steps, and, for
//! machines with attention, the fitted schedules with their lambdas multiplied by 1.5, 2 or 4. The winner is the one
//! whose *final samples* have the largest mean r with the network's. For pooled attention, whose least error is a hedge,
//! a few constant lambdas and gammas compete too, (0, 0) among them. All of this uses the calibration seeds only: no
//! preview and no report shows any of them.
//!
//! Patch sides are those up to the receptive field. A network with attention sees the whole image, so the machines without
//! sharing (`els`, `bbels`, `ls`) may be given sides up to the image ([`crate::config::CalibrationGrid`]).
//!
//! Entry `i - 1` of a schedule belongs to `t = i / T`, both here and where a machine uses it (the public code of Kamb
//! & Ganguli is off by one there).
//!
//! Reading order: [`machine_schedule`] (settings of a step), [`calibration_file`] (the result and its file),
//! [`calibration_charts`] (the result as charts), `setting_errors` (errors over a grid), `schedule_search` (the fits),
//! `schedule_ranking` (the contest).

pub mod machine_schedule;
pub mod calibration_file;
pub mod calibration_charts;
mod setting_errors;
pub mod patch_side_growth;
mod schedule_ranking;
mod schedule_search;

pub use calibration_file::{Calibrated, Calibration, CalibrationError, Candidate, Origin, StepFit};
pub use machine_schedule::{StepSettings, with_schedule};
pub use schedule_search::{Subject, Target, calibrate};
pub use setting_errors::{MachineFamily, MachinesByClass};
