//! Training: the loop, its loss, optimiser state and checkpoints.
//!
//! It knows neither who observes a run nor what the numbers mean (`analysis`, a sibling).
//!
//! Reading order: [`training_config`] (the settings), [`loss`] (one step's data and objective), [`learning_rate`] (the
//! learning rate), [`gradient_clipping`], [`optimizer_interface`] (what an optimiser does), [`adamw`], [`soap`] with its
//! [`eigenbasis`], [`ema`], [`training_state`] (weights, optimiser and average, on candle tensors or, by the commands of
//! [`gpu_commands`], in `gpu_training_state`), [`trainer`] (the loop), [`checkpoint_settings`] (what a checkpoint was
//! trained with), [`checkpoint`] (format), [`checkpoints_to_keep`], [`early_end_of_training`].

pub mod training_config;
mod weight_and_share_of_noise_levels;
pub mod loss;
pub mod learning_rate;
pub mod gradient_clipping;
pub mod optimizer_interface;
pub mod adamw;
pub mod eigenbasis;
pub mod soap;
#[cfg(test)]
mod soap_specification;
pub mod ema;
pub mod checkpoint_format_1;
pub mod checkpoint_settings;
pub mod checkpoint;
pub mod checkpoints_to_keep;
pub mod early_end_of_training;
pub mod gpu_commands;
pub mod error;
mod tensor_training_state;
pub mod training_state;
#[cfg(feature = "cudnn")]
mod gpu_micro_batches;
#[cfg(feature = "cudnn")]
pub mod gpu_training_state;
pub mod trainer;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use error::TrainingError;
pub use trainer::{StepReport, Trainer};
