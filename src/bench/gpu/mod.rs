//! GPU results checked against the CPU, and GPU timings, for `mosaic bench gpu`.
//!
//! Checks are of whole machines and whole training steps on seeded random inputs; the CPU's results are the
//! specification. Times are medians after a warm-up.

#[cfg(feature = "cudnn")]
mod networks;
pub mod results;
#[cfg(feature = "cudnn")]
pub mod sampling;
pub mod theory;
#[cfg(feature = "cudnn")]
pub mod training;

pub use results::{Check, Row};
