//! Several training seeds of one experiment: a range as users type it, and the experiment with each seed.

use std::ops::Range;

use super::error::SettingError;
use super::noise_seed_argument::parse_range;
use super::{Arm, Experiment};

/// Most training seeds of a group.
const SEEDS_MAX: u64 = 1000;

/// Parses training seeds: `A..B`, or one seed.
///
/// # Errors
///
/// If the text is no range of seeds, or names none or more than a thousand.
pub fn parse_training_seeds(text: &str) -> Result<Range<u64>, String> {
    let seeds = parse_range(text)?;
    match seeds.end - seeds.start {
        0 => Err(format!("training seeds '{text}': the range is empty; 0..5 means seeds 0 to 4")),
        n if n > SEEDS_MAX => Err(format!("training seeds '{text}': more than {SEEDS_MAX}")),
        _ => Ok(seeds),
    }
}

/// The experiment with each of these training seeds. Its name stays: all are runs of one experiment. `changes` is what it
/// differs in from the one in lab.toml, for the names of the runs.
///
/// # Errors
///
/// If a seed is refused.
pub fn group(
    experiment: &Experiment,
    changes: &str,
    seeds: &Range<u64>,
) -> Result<Vec<Arm>, SettingError> {
    let arm = |seed: u64| {
        let mut experiment = experiment.clone();
        let base = experiment.name.to_string();
        experiment.set("training.seed", &seed.to_string())?;
        let label = match changes {
            "" => format!("seed{seed}"),
            changes => format!("{changes}-seed{seed}"),
        };
        Ok(Arm { experiment, base, label, varied: vec![("training.seed", seed.to_string())] })
    };
    seeds.clone().map(arm).collect()
}
