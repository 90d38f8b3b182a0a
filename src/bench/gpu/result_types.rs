//! One comparison with the CPU, and one timing.

use serde::Serialize;

use crate::bench::pytorch_times::Peer;

/// One comparison with the CPU.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    pub name: String,
    pub passed: bool,
    /// The differences found, and their limits.
    pub detail: String,
}

/// One timing.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Row {
    /// Describes the work in the same words as its peer.
    pub what: String,
    /// Milliseconds per step; per step and query for theory.
    pub median_ms: f64,
    /// The rate that this amounts to, such as pairs per second.
    pub rate: String,
    /// The least number of operations: floating-point operations for training, instructions for theory.
    pub operations: f64,
    /// Operations per multiply-add instruction.
    pub operations_each: f64,
    /// Peak operations per second, where they are not multiply-add instructions.
    pub operations_per_s_max: Option<f64>,
    /// The least number of bytes to and from the GPU's memory.
    pub bytes: f64,
    #[serde(skip)]
    pub peer: Option<Peer>,
    /// PyTorch's time for the same, where it was asked for.
    pub peer_ms: Option<f64>,
    /// Milliseconds per part of the work, if known.
    pub parts: Vec<(String, f64)>,
}
