//! The learning rate of each step: linear warm-up, a phase at the peak, then constant, half a cosine or
//! exponential decay.

use std::f64::consts::PI;

use super::training_config::{LrSchedule, TrainingConfig};

/// The learning rate of update `step`, counted from 0.
///
/// Warm-up reaches the peak at update `warmup`; the first update already has a small positive rate.
pub fn learning_rate(config: &TrainingConfig, step: u64) -> f64 {
    if step < config.warmup as u64 {
        return config.learning_rate * (step + 1) as f64 / (config.warmup + 1) as f64;
    }
    let start = config.warmup + config.lr_hold_steps;
    let after = step.saturating_sub(start as u64) as f64;
    let span = config.steps.saturating_sub(start).max(1) as f64;
    let progress = (after / span).min(1.0);
    match config.lr_schedule {
        LrSchedule::Constant => config.learning_rate,
        LrSchedule::Cosine => config.learning_rate * 0.5 * (1.0 + (PI * progress).cos()),
        LrSchedule::Exponential => config.learning_rate * config.final_factor.powf(progress),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::training_config::example;

    #[test]
    fn rates_follow_their_formulas() {
        let rate = |lr_schedule, step| {
            let config = TrainingConfig {
                steps: 110,
                warmup: 10,
                learning_rate: 1.0,
                lr_schedule,
                ..example()
            };
            learning_rate(&config, step)
        };
        let check = |decay, expected: [f64; 4]| {
            for (step, expected) in [0, 10, 60, 110].into_iter().zip(expected) {
                let found = rate(decay, step);
                assert!((found - expected).abs() < 1e-12, "{decay:?} at {step}: {found}");
            }
        };
        check(LrSchedule::Constant, [1.0 / 11.0, 1.0, 1.0, 1.0]);
        check(LrSchedule::Cosine, [1.0 / 11.0, 1.0, 0.5, 0.0]);
        check(LrSchedule::Exponential, [1.0 / 11.0, 1.0, 0.1, 0.01]);
    }

    #[test]
    fn a_held_rate_decays_over_what_is_left() {
        let config = TrainingConfig {
            steps: 110,
            warmup: 10,
            lr_hold_steps: 60,
            learning_rate: 1.0,
            ..example()
        };
        let rates = [10, 69, 70, 90, 110].map(|step| learning_rate(&config, step));
        for (found, expected) in rates.into_iter().zip([1.0, 1.0, 1.0, 0.5, 0.0]) {
            assert!((found - expected).abs() < 1e-12, "{rates:?}");
        }
    }

    #[test]
    fn a_run_shorter_than_its_warm_up_only_rises() {
        let config = TrainingConfig { steps: 5, warmup: 10, learning_rate: 1.0, ..example() };
        assert!(learning_rate(&config, 4) > learning_rate(&config, 3));
    }
}
