//! What the world tells a worker over `control.sock`: one JSON object a line, one reply a line.

use serde::{Deserialize, Serialize};

/// A request to the worker of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    Pause,
    Resume,
    /// Write a checkpoint and end; the run can be resumed.
    Stop,
    /// Write a checkpoint and go on.
    Checkpoint,
    /// Make a preview at the current step; of the run's own seeds, in its own number of steps, where nothing is said.
    Sample {
        /// First noise seed and one past the last.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seeds: Option<(u64, u64)>,
        /// Sampling steps.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        steps: Option<usize>,
    },
    /// Change the number of steps between previews.
    PreviewEvery {
        steps: u64,
    },
}

/// The worker's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    Accepted,
    Refused { reason: String },
}
