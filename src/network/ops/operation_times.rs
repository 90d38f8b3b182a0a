//! Wall time per kind of operation, counted while a measurement runs.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

/// Kinds of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    Convolution,
    ConvolutionGradient,
    Attention,
    AttentionGradient,
    Norm,
    NormGradient,
    Resample,
    Optimiser,
}

const NAMES: [&str; 8] = [
    "convolution",
    "convolution gradient",
    "attention",
    "attention gradient",
    "norm",
    "norm gradient",
    "resample",
    "optimiser",
];

static IS_ON: AtomicBool = AtomicBool::new(false);
static NANOSECONDS: [AtomicU64; NAMES.len()] = [const { AtomicU64::new(0) }; NAMES.len()];
/// One measurement at a time.
static IN_USE: Mutex<()> = Mutex::new(());

/// A running measurement; ends when dropped.
pub struct Measurement {
    _in_use: std::sync::MutexGuard<'static, ()>,
}

/// Starts a measurement at zero; waits while another one runs.
pub fn start() -> Measurement {
    let _in_use = IN_USE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    NANOSECONDS.iter().for_each(|total| total.store(0, Ordering::Relaxed));
    IS_ON.store(true, Ordering::Relaxed);
    Measurement { _in_use }
}

impl Measurement {
    /// Seconds of each operation since the start.
    pub fn stop(self) -> Vec<(&'static str, f64)> {
        let totals = NANOSECONDS.iter().map(|total| total.load(Ordering::Relaxed) as f64 * 1e-9);
        NAMES.into_iter().zip(totals).collect()
    }
}

impl Drop for Measurement {
    fn drop(&mut self) {
        IS_ON.store(false, Ordering::Relaxed);
    }
}

/// Counts the time until the result is dropped as `work`, if a measurement runs.
#[must_use]
pub fn timed(work: Work) -> Timer {
    Timer { work, start: IS_ON.load(Ordering::Relaxed).then(Instant::now) }
}

/// See [`timed`].
pub struct Timer {
    work: Work,
    start: Option<Instant>,
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(start) = self.start {
            let nanoseconds = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
            NANOSECONDS[self.work as usize].fetch_add(nanoseconds, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_counts_while_somebody_measures() {
        let measurement = start();
        {
            let _timer = timed(Work::Resample);
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        let found = measurement.stop();
        assert!(found.iter().any(|&(name, seconds)| name == "resample" && seconds >= 0.002));
    }
}
