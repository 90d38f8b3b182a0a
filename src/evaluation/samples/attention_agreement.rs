//! A predicted attention map against the network's: entropies, and the correlation of their logarithms.

use crate::analysis::agreement::agreement;
use crate::diffusion::AttentionMaps;
use crate::diffusion::attention_entropy::row_entropy;

/// Weights are at least this when maps are compared by their logarithms: about the least share of a large map in
/// single precision.
const LEAST_WEIGHT: f32 = 1e-9;

/// A predicted attention map against the network's (the mean over its heads).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MapAgreement {
    /// Mean over query pixels and heads of the entropy of the predicted attention, nats.
    pub predicted_nats: f64,
    /// The same of the network's attention.
    pub measured_nats: f64,
    /// Pearson's r of the logarithms of all weights; `None` if either map is uniform.
    pub r_of_logs: Option<f64>,
}

/// Image `i` of the predicted maps against image `j` of the measured ones.
pub fn compare_maps(
    predicted: &AttentionMaps,
    i: usize,
    measured: &AttentionMaps,
    j: usize,
) -> MapAgreement {
    let (predicted_nats, predicted) = over_heads(predicted, i);
    let (measured_nats, measured) = over_heads(measured, j);
    let logs = |map: &[f32]| -> Vec<f64> {
        map.iter().map(|&weight| f64::from(weight.max(LEAST_WEIGHT)).ln()).collect()
    };
    let r_of_logs = agreement(&logs(&predicted), &logs(&measured)).r;
    MapAgreement { predicted_nats, measured_nats, r_of_logs }
}

/// The mean over heads and query pixels of the entropies of image `index`, and its mean map over heads.
fn over_heads(maps: &AttentionMaps, index: usize) -> (f64, Vec<f32>) {
    let (n_pixels, n_heads) = (maps.n_pixels(), maps.n_heads());
    let mut mean = vec![0.0_f32; n_pixels * n_pixels];
    let mut nats = 0.0;
    for head in 0..n_heads {
        let map = maps.map(index, head);
        let entropy = map.chunks_exact(n_pixels).map(row_entropy).sum::<f64>() / n_pixels as f64;
        nats += entropy / n_heads as f64;
        mean.iter_mut().zip(map).for_each(|(mean, weight)| *mean += weight / n_heads as f32);
    }
    (nats, mean)
}

/// Means over maps; `None` without any.
pub fn mean_map(maps: &[MapAgreement]) -> Option<MapAgreement> {
    let some = |values: Vec<f64>| (!values.is_empty()).then(|| mean(values.into_iter()));
    Some(MapAgreement {
        predicted_nats: some(maps.iter().map(|map| map.predicted_nats).collect())?,
        measured_nats: mean(maps.iter().map(|map| map.measured_nats)),
        r_of_logs: some(maps.iter().filter_map(|map| map.r_of_logs).collect()),
    })
}

/// Mean of values; NaN without any.
pub fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0.0), |(sum, n), value| (sum + value, n + 1.0));
    sum / n
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_compared_over_the_mean_of_the_heads() {
        let predicted = AttentionMaps::new(1, 2, vec![0.9, 0.1, 0.5, 0.5]);
        let measured = AttentionMaps::new(2, 2, vec![1.0, 0.0, 0.6, 0.4, 0.8, 0.2, 0.4, 0.6]);
        let found = compare_maps(&predicted, 0, &measured, 0);
        let nats = |p: f64| -p * p.ln() - (1.0 - p) * (1.0 - p).ln();
        assert!((found.predicted_nats - (nats(0.9) + nats(0.5)) / 2.0).abs() < 1e-6);
        let expected = (nats(0.6) + nats(0.8) + nats(0.4)) / 4.0;
        assert!((found.measured_nats - expected).abs() < 1e-6);
        // The mean of the heads is the prediction itself.
        assert!(found.r_of_logs.unwrap() > 1.0 - 1e-6);
    }

    #[test]
    fn a_uniform_map_has_an_entropy_but_no_correlation() {
        let uniform = AttentionMaps::new(1, 2, vec![0.5; 4]);
        let found = compare_maps(&uniform, 0, &uniform, 0);
        assert!((found.predicted_nats - 2_f64.ln()).abs() < 1e-9 && found.r_of_logs.is_none());
    }
}
