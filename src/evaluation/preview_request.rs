//! Which preview is asked for: noise seeds and sampling steps, from a run's settings, a command or typed text.

use std::ops::Range;

use crate::config::Experiment;
use crate::config::noise_seed_argument::parse_range;
use crate::config::noise_seed_purposes::NoiseSeeds;
use crate::runs::control_messages::Command;

const SEEDS_MAX: u64 = NoiseSeeds::PREVIEW_MAX as u64;
/// The largest number of sampling steps in a preview: previews are for looking at.
pub const STEPS_MAX: usize = 1000;

/// The noise seeds of a preview and its number of sampling steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviewRequest {
    pub seeds: NoiseSeeds,
    pub steps: usize,
}

impl PreviewRequest {
    /// The preview that a run makes by itself.
    pub fn of(experiment: &Experiment) -> Self {
        let seeds = NoiseSeeds::first_previews(experiment.preview.seeds);
        Self { seeds, steps: experiment.ddim().n_steps }
    }

    /// A preview of `seeds` in `steps` sampling steps.
    ///
    /// # Errors
    /// If there are no seeds or steps, or too many, or seeds that are reserved ([`NoiseSeeds::preview`]).
    pub fn new(seeds: Range<u64>, steps: usize) -> Result<Self, String> {
        if seeds.is_empty() || seeds.end - seeds.start > SEEDS_MAX {
            let Range { start, end } = seeds;
            return Err(format!(
                "seeds {start}..{end}: a preview has 1 to {SEEDS_MAX} seeds; 0..4 are four"
            ));
        }
        if steps == 0 || steps > STEPS_MAX {
            return Err(format!("{steps} sampling steps; must be 1 to {STEPS_MAX}"));
        }
        let seeds = NoiseSeeds::preview(seeds).map_err(|reserved| reserved.to_string())?;
        Ok(Self { seeds, steps })
    }

    /// Parses typed text: `8..12` or `8` for the seeds, and a number of steps.
    ///
    /// # Errors
    /// If the text is not of that form, or as [`Self::new`].
    pub fn parse(seeds: &str, steps: &str) -> Result<Self, String> {
        let range = parse_range(seeds)?;
        let steps = steps
            .trim()
            .parse()
            .map_err(|_| format!("sampling steps '{steps}': must be a whole number"))?;
        Self::new(range, steps)
    }

    /// The command that asks a worker for this preview.
    pub fn command(&self) -> Command {
        let Range { start, end } = self.seeds.range();
        Command::Sample { seeds: Some((start, end)), steps: Some(self.steps) }
    }

    /// The preview that a command asks for; parts that it leaves out are those of `self`.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn or(&self, seeds: Option<(u64, u64)>, steps: Option<usize>) -> Result<Self, String> {
        if seeds.is_none() && steps.is_none() {
            return Ok(self.clone());
        }
        let seeds = seeds.map_or(self.seeds.range(), |(first, end)| first..end);
        Self::new(seeds, steps.unwrap_or(self.steps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(seeds: Range<u64>, steps: usize) -> PreviewRequest {
        PreviewRequest::new(seeds, steps).unwrap()
    }

    #[test]
    fn seeds_and_steps_are_typed_as_people_do() {
        let request = |seeds: &str, steps: &str| PreviewRequest::parse(seeds, steps);
        assert_eq!(request("8..12", "20"), Ok(of(8..12, 20)));
        assert_eq!(request(" 7", " 5 "), Ok(of(7..8, 5)));
        for (seeds, steps, words) in [
            ("8-12", "20", "such as 8..12"),
            ("12..8", "20", "1 to 64 seeds"),
            ("0..65", "20", "1 to 64 seeds"),
            ("0..4", "0", "1 to 1000"),
            ("1003", "20", "held out"),
            ("498..502", "20", "calibration"),
            ("0..4", "many", "whole number"),
            ("18446744073709551615", "9", "such as 8..12"),
        ] {
            let problem = request(seeds, steps).unwrap_err();
            assert!(problem.contains(words), "{problem}");
        }
    }

    #[test]
    fn omitted_fields_default_to_the_runs_own() {
        let own = of(0..4, 20);
        assert_eq!(own.or(None, None), Ok(own.clone()));
        assert_eq!(own.or(Some((3, 5)), None), Ok(of(3..5, 20)));
        assert!(own.or(None, Some(100_000)).is_err());
    }
}
