//! Runs grouped over training seeds, and their paired differences: same training seed, everything else equal but for
//! one setting.

use super::run_results::RunResults;
use crate::analysis::confidence_intervals::Interval;
use crate::analysis::paired_differences::Difference;
use crate::config::Experiment;

/// The setting over which networks are repeated.
const TRAINING_SEED: &str = "training.seed";

/// Runs that differ in their training seed only.
pub struct SeedGroup<'a> {
    pub runs: Vec<&'a RunResults>,
}

/// The groups of `runs`, in the order of their first runs.
pub fn seed_groups(runs: &[RunResults]) -> Vec<SeedGroup<'_>> {
    let mut groups: Vec<SeedGroup<'_>> = Vec::new();
    for run in runs {
        let mut found = groups.iter_mut();
        match found.find(|group| group.runs[0].differs_only_in(run, TRAINING_SEED)) {
            Some(group) => group.runs.push(run),
            None => groups.push(SeedGroup { runs: vec![run] }),
        }
    }
    groups
}

impl<'a> SeedGroup<'a> {
    /// The settings that all runs share, the training seed apart.
    pub fn experiment(&self) -> &'a Experiment {
        &self.runs[0].arm.experiment
    }

    /// The varied settings, without the training seed.
    pub fn words(&self) -> String {
        let mut arm = self.runs[0].arm.clone();
        arm.varied.retain(|(key, _)| *key != TRAINING_SEED);
        arm.words()
    }

    /// Pairs of runs with the same training seed that differ in `key` and in nothing else.
    pub fn pairs(&self, other: &Self, key: &str) -> Vec<(&'a RunResults, &'a RunResults)> {
        let partner = |run: &&'a RunResults| {
            let found = other.runs.iter().find(|other| run.differs_only_in(other, key));
            found.map(|found| (*run, *found))
        };
        self.runs.iter().filter_map(partner).collect()
    }

    /// Pairs of these runs with those of the same settings but without attention; empty if there are none.
    pub fn without_attention(&self, groups: &[Self]) -> Vec<(&'a RunResults, &'a RunResults)> {
        let none = groups.iter().filter(|group| group.experiment().network.attention.is_none());
        let mut pairs = none.map(|group| self.pairs(group, "network.attention"));
        pairs.find(|pairs| !pairs.is_empty()).unwrap_or_default()
    }
}

/// Paired differences of one figure and the means of both sides over training seeds.
pub struct Differences {
    pub each: Vec<Difference>,
    pub mean_a: f64,
    pub mean_b: f64,
}

impl Differences {
    /// Of pairs of rates, one pair per training seed, of those where both are known.
    pub fn of_rates(pairs: impl Iterator<Item = (Option<Interval>, Option<Interval>)>) -> Self {
        let known = pairs.filter_map(|(a, b)| Some((a?, b?)));
        Self::of(known.map(|(a, b)| (a.estimate, b.estimate, Some(Difference::of_rates(a, b)))))
    }

    /// Of pairs of r, each `[noise seeds]`, one pair per training seed. Means over noise seeds where both are defined.
    pub fn of_r<'r>(pairs: impl Iterator<Item = (&'r [Option<f64>], &'r [Option<f64>])>) -> Self {
        Self::of(pairs.map(|(a, b)| {
            let both = |pair: &(&Option<f64>, &Option<f64>)| pair.0.is_some() && pair.1.is_some();
            let kept: Vec<_> = a.iter().zip(b).filter(both).collect();
            let mean =
                |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / kept.len() as f64;
            (
                mean(&mut kept.iter().filter_map(|pair| *pair.0)),
                mean(&mut kept.iter().filter_map(|pair| *pair.1)),
                Difference::over_noise_seeds(a, b),
            )
        }))
    }

    fn of(found: impl Iterator<Item = (f64, f64, Option<Difference>)>) -> Self {
        let known: Vec<(f64, f64, Difference)> =
            found.filter_map(|(a, b, difference)| Some((a, b, difference?))).collect();
        let n = known.len() as f64;
        Self {
            mean_a: known.iter().map(|each| each.0).sum::<f64>() / n,
            mean_b: known.iter().map(|each| each.1).sum::<f64>() / n,
            each: known.into_iter().map(|each| each.2).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::runs_for_tests::run;
    use super::*;

    #[test]
    fn runs_are_paired_within_a_training_seed() {
        let make = |attention: &str, seed: usize| {
            let settings =
                [format!("network.attention={attention}"), format!("training.seed={seed}")];
            let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
            run(&settings, &[], [0.0; 3])
        };
        let runs = [make("softmax", 0), make("none", 1), make("softmax", 1), make("none", 2)];
        let groups = seed_groups(&runs);
        let sizes: Vec<usize> = groups.iter().map(|group| group.runs.len()).collect();
        assert_eq!(sizes, [2, 2]);
        let pairs = groups[0].pairs(&groups[1], "network.attention");
        assert_eq!(pairs.len(), 1);
        assert_eq!((&pairs[0].0.run, &pairs[0].1.run), (&runs[2].run, &runs[1].run));
        assert!(groups[0].pairs(&groups[1], "dataset.n").is_empty());
        assert_eq!(groups[0].without_attention(&groups).len(), 1);
        assert!(groups[0].words() == groups[0].runs[1].arm.words(), "nothing else varies");
    }
}
