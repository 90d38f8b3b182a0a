//! Peak rates of one core of this host, as a reference: multiply-adds, and bytes read from memory.

use std::hint::black_box;
use std::time::{Duration, Instant};

use pulp::{Arch, Simd, WithSimd};
use serde::Serialize;

use crate::simd::Lane;

/// Each rate is the best of repetitions over this time: disturbances only lower it.
const PATIENCE: Duration = Duration::from_millis(60);
/// Far beyond any cache.
const READ_BYTES: usize = 256 << 20;

/// Peak rates of one core.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PeakRates {
    /// Operations a second in `f32`, a multiply-add counted as two.
    pub f32_per_s: f64,
    /// The same in `f64`.
    pub f64_per_s: f64,
    /// Sequential reads from memory.
    pub bytes_per_s: f64,
}

impl PeakRates {
    /// Measures for about a quarter of a second.
    pub fn measure() -> Self {
        let numbers = vec![1_u64; READ_BYTES / size_of::<u64>()];
        let read = || {
            let sum = numbers.iter().fold(0_u64, |sum, &value| sum.wrapping_add(value));
            black_box(sum);
            READ_BYTES as f64
        };
        Self {
            f32_per_s: best_rate(|| Arch::new().dispatch(MultiplyAdd(1.0_f32))),
            f64_per_s: best_rate(|| Arch::new().dispatch(MultiplyAdd(1.0_f64))),
            bytes_per_s: best_rate(read),
        }
    }
}

/// The highest rate, in units per second, over repetitions of `work`, which returns its number of units.
fn best_rate(mut work: impl FnMut() -> f64) -> f64 {
    let started = Instant::now();
    let mut best = 0.0_f64;
    while started.elapsed() < PATIENCE {
        let start = Instant::now();
        let units = work();
        best = best.max(units / start.elapsed().as_secs_f64().max(1e-9));
    }
    best
}

/// Multiply-adds that wait for nothing but registers.
struct MultiplyAdd<T>(T);

/// Sums side by side: more than a unit's latency times the units of any processor, fewer than its registers.
const SIDE_BY_SIDE: usize = 12;
const ROUNDS: usize = 20_000;

impl<T: Lane> WithSimd for MultiplyAdd<T> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let factor = T::splat(simd, black_box(self.0));
        let mut sums = [T::splat(simd, T::ZERO); SIDE_BY_SIDE];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = T::mul_add(simd, factor, factor, *sum);
            }
        }
        let mut all = sums[0];
        for &sum in &sums[1..] {
            all = T::plus(simd, all, sum);
        }
        black_box(pulp::bytemuck::cast_slice::<_, u8>(&[all])[0]);
        (2 * ROUNDS * SIDE_BY_SIDE * T::n_lanes::<S>()) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peak_rates_are_those_of_a_computer() {
        let PeakRates { f32_per_s, f64_per_s, bytes_per_s } = PeakRates::measure();
        assert!(f32_per_s > 1e8 && f64_per_s > 1e8 && bytes_per_s > 1e7);
    }
}
