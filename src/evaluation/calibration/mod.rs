//! Calibration: the settings of each machine that fit one network best, step by step.
//!
//! ```text
//! trajectories of the network (seeds of their own) -> errors over a grid, per step -> schedules
//!                                  schedules, sampled from the same seeds -> the one that is kept
//! ```
//!
//! A machine without attention gets the patch side with the best median cosine of the predicted noise, as Kamb &
//! Ganguli choose their scales; the attention machine gets the (k, lambda, gamma, tau) with the least mean squared
//! error over seeds. Both are fitted twice: at the network's states, and at the states that the machine itself
//! reaches with the settings of the steps before. The settings that fit best at the network's states need not keep
//! a machine on the network's trajectory, so the schedules compete: the winner is the one whose *final samples* have
//! the largest mean r with the network's, or that schedule with its lambdas multiplied by 1.5, 2 or 4, whichever is the
//! largest factor whose r is within one standard error (of the difference over seeds). One patch side at every step
//! competes too (machines without attention); for pooled attention, whose least error is a hedge, only one lambda and
//! gamma at every step compete. All of this uses the calibration seeds only: no preview and no report shows any of them.
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
