//! GPU results checked against the CPU, and GPU timings, for `mosaic bench gpu`.
//!
//! Checks are of whole machines and whole training steps on seeded random inputs; the CPU's results are the
//! specification. Times are medians after a warm-up. The cases are in `check_and_time_*.rs`, the comparison in
//! `differences_from_cpu.rs`; the order in which they run, the options and what is printed are in `cli/bench_gpu.rs`.

#[cfg(feature = "cudnn")]
mod networks;
pub mod result_types;
mod differences_from_cpu;
#[cfg(feature = "cudnn")]
pub mod check_and_time_sampling;
pub mod check_and_time_theory;
#[cfg(feature = "cudnn")]
pub mod check_and_time_training;

pub use result_types::{Check, Row};
