//! What a GPU does, checked against the CPU and timed, for `mosaic bench gpu`.
//!
//! Checks are of whole machines and whole training steps on seeded random inputs; the CPU's results are the
//! specification. Times are medians after a warm-up.

#[cfg(feature = "cudnn")]
mod networks;
pub mod peer;
#[cfg(feature = "cudnn")]
pub mod sampling;
pub mod theory;
#[cfg(feature = "cudnn")]
pub mod training;

use serde::Serialize;

use peer::Peer;

/// One comparison with the CPU.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    pub name: String,
    pub passed: bool,
    /// What was found, and what is allowed.
    pub detail: String,
}

/// One timing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The same words as a peer's for the same work.
    pub what: String,
    /// Of a step; of a step and query for theory.
    pub median_ms: f64,
    /// What it amounts to, such as pairs a second.
    pub rate: String,
    /// Operations, at least: floating-point ones of training, instructions of theory.
    pub operations: f64,
    /// How many of them one multiply-add instruction is.
    pub operations_each: f64,
    /// The most of them in a second, where they are no such instructions.
    pub operations_per_s_max: Option<f64>,
    /// Bytes to and from the GPU's memory, at least.
    pub bytes: f64,
    #[serde(skip)]
    pub peer: Option<Peer>,
    /// PyTorch's time for the same, where it was asked for.
    pub peer_ms: Option<f64>,
    /// Where the time goes, if known.
    pub parts: Vec<(String, f64)>,
}
