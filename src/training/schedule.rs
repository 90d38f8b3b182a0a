//! The learning rate of each step: linear warm-up, a stretch at the peak, then constant, half a cosine or
//! exponential decay.

use std::f64::consts::PI;

use super::config::{RateDecay, TrainingConfig};

/// The rate of update `step`, counted from 0.
///
/// Warm-up reaches the peak at update `warmup`; the first update already moves a little.
pub fn learning_rate(config: &TrainingConfig, step: u64) -> f64 {
    if step < config.warmup as u64 {
        return config.rate * (step + 1) as f64 / (config.warmup + 1) as f64;
    }
    let start = config.warmup + config.hold;
    let after = step.saturating_sub(start as u64) as f64;
    let span = config.steps.saturating_sub(start).max(1) as f64;
    let progress = (after / span).min(1.0);
    match config.decay {
        RateDecay::Constant => config.rate,
        RateDecay::Cosine => config.rate * 0.5 * (1.0 + (PI * progress).cos()),
        RateDecay::Exponential { final_factor } => config.rate * final_factor.powf(progress),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::config::example;

    #[test]
    fn rates_follow_their_formulas() {
        let rate = |decay, step| {
            let config = TrainingConfig { steps: 110, warmup: 10, rate: 1.0, decay, ..example() };
            learning_rate(&config, step)
        };
        let check = |decay, expected: [f64; 4]| {
            for (step, expected) in [0, 10, 60, 110].into_iter().zip(expected) {
                let found = rate(decay, step);
                assert!((found - expected).abs() < 1e-12, "{decay:?} at {step}: {found}");
            }
        };
        check(RateDecay::Constant, [1.0 / 11.0, 1.0, 1.0, 1.0]);
        check(RateDecay::Cosine, [1.0 / 11.0, 1.0, 0.5, 0.0]);
        check(RateDecay::Exponential { final_factor: 0.01 }, [1.0 / 11.0, 1.0, 0.1, 0.01]);
    }

    #[test]
    fn a_held_rate_decays_over_what_is_left() {
        let config = TrainingConfig { steps: 110, warmup: 10, hold: 60, rate: 1.0, ..example() };
        let rates = [10, 69, 70, 90, 110].map(|step| learning_rate(&config, step));
        for (found, expected) in rates.into_iter().zip([1.0, 1.0, 1.0, 0.5, 0.0]) {
            assert!((found - expected).abs() < 1e-12, "{rates:?}");
        }
    }

    #[test]
    fn a_run_shorter_than_its_warm_up_only_rises() {
        let config = TrainingConfig { steps: 5, warmup: 10, rate: 1.0, ..example() };
        assert!(learning_rate(&config, 4) > learning_rate(&config, 3));
    }
}
