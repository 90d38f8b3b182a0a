//! Timings on this host, for `mosaic bench`.
//!
//! Times are medians over repeats. CPU time counts all threads and hardly depends on other processes; wall time does. Peak memory is the process's high-water mark, reset first where the system can.

pub mod gpu;
pub mod peak_rates;
pub mod pytorch_times;
pub mod time_one_score_machine;
pub mod training_step_times;

use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};

use crate::analysis::confidence_intervals::quartiles;

/// Wall and CPU time of each repeat, in seconds.
#[derive(Clone, Debug, Default)]
pub struct Times {
    wall: Vec<f64>,
    cpu: Vec<f64>,
}

impl Times {
    /// Runs and times one repeat.
    ///
    /// # Errors
    ///
    /// If `repeat` fails; it is not timed then.
    pub fn take<T>(&mut self, repeat: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        let (wall, cpu) = (Instant::now(), cpu_seconds());
        let made = repeat()?;
        self.cpu.push(cpu_seconds() - cpu);
        self.wall.push(wall.elapsed().as_secs_f64());
        Ok(made)
    }

    /// Median wall time in seconds; NaN before the first repeat.
    pub fn median_wall_s(&self) -> f64 {
        median(&self.wall)
    }

    /// Median CPU time of all threads in seconds; NaN before the first repeat.
    pub fn median_cpu_s(&self) -> f64 {
        median(&self.cpu)
    }
}

fn median(values: &[f64]) -> f64 {
    quartiles(values).map_or(f64::NAN, |quartiles| quartiles.median)
}

/// CPU seconds of this process so far, over all threads.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Resets the peak memory of the process (Linux only; elsewhere the peak stays that of the whole process).
fn reset_peak_memory() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Peak memory of the process in MB; `None` where the system does not report it.
fn peak_memory_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes / 1024.0)
}
