//! Reference values for an agreement: what another training of the network reaches, and what r means nothing.
//!
//! - **Ceiling**: r between two networks that differ only in their training seed, from the same noise seeds. Each of them
//!   has its own deviations; a theory that predicts exactly what the networks share could reach up to the square root of it.
//! - **Chance**: r between samples of one network from different noise seeds.

use super::agreement::agreement;
use super::confidence_intervals::{Interval, jackknife_interval, quartiles};
use crate::image::ImageBatch;

/// Median over noise seeds of r between two networks' samples from the same noise seeds; `None` if r is undefined for all.
pub fn r_between(a: &ImageBatch, b: &ImageBatch) -> Option<f64> {
    let each: Vec<f64> = a.iter().zip(b.iter()).filter_map(|(a, b)| agreement(a, b).r).collect();
    quartiles(&each).map(|found| found.median)
}

/// Mean over all pairs of networks of [`r_between`], with a jackknife interval over networks (infinite for two, which are
/// a single pair). `None` for fewer than two networks, or if no pair has an r.
///
/// The networks' samples must be of the same noise seeds, in the same order.
pub fn ceiling(networks: &[&ImageBatch]) -> Option<Interval> {
    let n = networks.len();
    let mut pairs = Vec::new();
    for i in 0..n {
        for j in i + 1..n {
            if let Some(r) = r_between(networks[i], networks[j]) {
                pairs.push((i, j, r));
            }
        }
    }
    let mean = |without: Option<usize>| {
        let kept = pairs.iter().filter(|(i, j, _)| without != Some(*i) && without != Some(*j));
        let values: Vec<f64> = kept.map(|pair| pair.2).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    let without: Vec<f64> = (0..n).filter_map(|i| mean(Some(i))).collect();
    Some(jackknife_interval(mean(None)?, &without))
}

/// Median of r between samples of one network from different noise seeds, over all pairs; `None` for fewer than two
/// samples, or if r is undefined for all pairs.
pub fn chance(samples: &ImageBatch) -> Option<f64> {
    let n = samples.len();
    let pairs = (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j)));
    let each = pairs.filter_map(|(i, j)| agreement(samples.image(i), samples.image(j)).r);
    quartiles(&each.collect::<Vec<_>>()).map(|found| found.median)
}

/// r on a scale from `from` (chance, or the machine without attention) to the ceiling: 0 at `from`, 1 at the
/// ceiling. `None` unless the ceiling is above `from`.
pub fn share_of_the_way(r: f64, from: f64, ceiling: f64) -> Option<f64> {
    (ceiling > from).then(|| (r - from) / (ceiling - from))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::ImageShape;
    use crate::random::noise_seeds;

    /// Samples of `n` networks from `seeds` noise seeds: a part that all share, and a part of their own, mixed so that r
    /// between networks is `r` on average.
    fn networks(n: u64, seeds: usize, r: f64) -> Vec<ImageBatch> {
        let shape = ImageShape::new(3, 16, 16);
        let common = noise_seeds(1, 0, seeds, shape);
        let own = |network: u64| noise_seeds(100 + network, 0, seeds, shape);
        let mix = |network: u64| {
            let own = own(network);
            let pairs = common.values().iter().zip(own.values());
            let values = pairs.map(|(c, o)| r.sqrt() * c + (1.0 - r).sqrt() * o).collect();
            ImageBatch::new(shape, values)
        };
        (0..n).map(mix).collect()
    }

    #[test]
    fn the_ceiling_is_the_correlation_that_networks_share() {
        let networks = networks(4, 30, 0.7);
        let found = ceiling(&networks.iter().collect::<Vec<_>>()).unwrap();
        assert!((found.estimate - 0.7).abs() < 0.02, "{found:?}");
        assert!(found.low < found.estimate && found.high - found.low < 0.1, "{found:?}");
        let pair = ceiling(&[&networks[0], &networks[1]]).unwrap();
        assert_eq!((pair.low, pair.high), (f64::NEG_INFINITY, f64::INFINITY));
        assert_eq!(ceiling(&[&networks[0]]), None);
    }

    #[test]
    fn different_noise_seeds_agree_by_chance_only() {
        let network = &networks(1, 30, 0.5)[0];
        assert!(chance(network).unwrap().abs() < 0.02);
        assert_eq!(chance(&network.slice(0, 1)), None);
    }

    #[test]
    fn the_way_goes_from_chance_to_the_ceiling() {
        assert_eq!(share_of_the_way(0.5, 0.0, 1.0), Some(0.5));
        assert_eq!(share_of_the_way(0.2, 0.2, 0.7), Some(0.0));
        assert_eq!(share_of_the_way(0.2, 0.3, 0.3), None);
    }
}
