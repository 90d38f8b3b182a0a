//! Training: the loop, its loss, optimiser state and checkpoints.
//!
//! It knows neither who observes a run nor what the numbers mean (`analysis`, a sibling).
//!
//! Reading order: [`config`] (the settings), [`loss`] (one step's data and objective), [`learning_rate`] (the
//! learning rate), [`adamw`], [`ema`], [`state`] (weights, optimiser and average,
//! on candle tensors or in `gpu`), [`trainer`] (the loop), [`identity`] (what a checkpoint was trained with),
//! [`checkpoint`] (format), [`retention`], [`early_end`].

pub mod config;
pub mod loss;
pub mod learning_rate;
pub mod adamw;
pub mod ema;
pub mod checkpoint_identity;
pub mod checkpoint;
pub mod retention;
pub mod early_end;
pub mod gpu_step;
pub mod error;
mod tensors;
pub mod state;
#[cfg_attr(not(feature = "cudnn"), path = "no_gpu.rs")]
pub mod gpu;
pub mod trainer;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use error::TrainingError;
pub use trainer::{StepReport, Trainer};
