//! Which noise seeds are used for what, so that no figure is computed on seeds that something was fitted to or looked at.
//!
//! ```text
//!    0 ..  500   previews, and what people choose to look at
//!  500 .. 1000   calibration of machines
//! 1000 ..        held out: comparisons and reports
//! ```

/// First seed on which machines are calibrated.
pub const FIRST_CALIBRATION_SEED: u64 = 500;
/// Most seeds that a calibration may use, so that none of them is held out.
pub const CALIBRATION_SEEDS_MAX: usize = 500;
/// First seed of comparisons and reports.
pub const FIRST_HELD_OUT_SEED: u64 = 1000;
