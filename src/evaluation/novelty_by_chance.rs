//! How often an image that keeps the rule of a crafted set is novel by chance: the share of the rule's arrangements that are
//! in no training image at any circular shift. The judge's rate of novel images means something only beside it.

use anyhow::Result;

use super::load_networks_and_data::open_held_out;
use crate::analysis::confidence_intervals::Interval;
use crate::analysis::creativity_judge::Judge;
use crate::config::Experiment;
use crate::dataset::{Dataset, DatasetSource};

/// Most arrangements that are judged; if there are fewer, all are, and the share is exact.
const DRAWS: usize = 2048;

/// The share of all arrangements that are novel, with its 95% interval, from the generator's images that are not training
/// images. (Those may still be known: a circular shift can turn one arrangement into another.) `None` for sets without a
/// generator.
///
/// # Errors
///
/// If the images cannot be drawn.
pub fn novelty_by_chance(
    experiment: &Experiment,
    training: &Dataset,
    judge: &Judge,
) -> Result<Option<Interval>> {
    let DatasetSource::Crafted(set) = experiment.dataset_source() else { return Ok(None) };
    let Some(others) = open_held_out(experiment, DRAWS)? else {
        // Every arrangement is a training image.
        return Ok(Some(Interval { estimate: 0.0, low: 0.0, high: 0.0 }));
    };
    let novel = judge.rates(&others.batch(0, others.len())).novel;
    let is_exact = others.len() as u128 + training.len() as u128 == set.n_arrangements();
    let of_others = match is_exact {
        true => Interval {
            low: novel.interval.estimate,
            high: novel.interval.estimate,
            ..novel.interval
        },
        false => novel.interval,
    };
    let n_known = training.len() as f64;
    let share_of_others = 1.0 - n_known / (set.n_arrangements() as f64);
    let scaled = |share: f64| share * share_of_others;
    Ok(Some(Interval {
        estimate: scaled(of_others.estimate),
        low: scaled(of_others.low),
        high: scaled(of_others.high),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::CraftedSet;
    use crate::evaluation::load_networks_and_data::open_dataset;

    #[test]
    fn the_share_is_that_of_all_arrangements() {
        let experiment = Experiment::named("e").unwrap();
        let dataset = open_dataset(&experiment).unwrap();
        let judge = Judge::new(&dataset).unwrap();
        let found = novelty_by_chance(&experiment, &dataset, &judge).unwrap().unwrap();
        let DatasetSource::Crafted(set) = experiment.dataset_source() else { unreachable!() };
        let all = CraftedSet { n: 1024, ..set }.generate("all").unwrap();
        assert_eq!(set_size(&experiment), 1024);
        let expected = judge.rates(&all.batch(0, 1024)).novel;
        assert!((found.estimate - expected.interval.estimate).abs() < 1e-12, "{found:?}");
        assert_eq!((found.low, found.high), (found.estimate, found.estimate));
    }

    fn set_size(experiment: &Experiment) -> u128 {
        match experiment.dataset_source() {
            DatasetSource::Crafted(set) => set.n_arrangements(),
            _ => 0,
        }
    }
}
