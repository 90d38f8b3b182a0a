//! Which schedule is kept: the ranking of candidates by their final samples.

use super::calibration_file::Candidate;

/// Ranks candidates by the mean r of their final samples, the largest first, which is kept; of equals by the least error,
/// then in their order.
pub fn ranked(mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    candidates.sort_by(|a, b| b.r_mean.total_cmp(&a.r_mean).then(a.error.total_cmp(&b.error)));
    candidates
}

/// Mean of values; NaN without any.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::super::calibration_file::Origin;
    use super::*;

    #[test]
    fn the_largest_mean_r_is_kept_whatever_the_kind_of_schedule() {
        use Origin::{Constant, Network, Own};
        let candidate = |origin, boost, r_mean, error| Candidate {
            origin,
            boost,
            error,
            r: None,
            r_mean,
            settings: Vec::new(),
        };
        let found = ranked(vec![
            candidate(Network, 1.0, 0.7, 0.1),
            candidate(Network, 4.0, 0.7, 0.05),
            candidate(Own, 1.0, 0.6, 0.0),
            candidate(Constant, 1.0, 0.71, 0.3),
            candidate(Own, 2.0, 0.6, 0.0),
        ]);
        let found: Vec<_> = found.iter().map(|found| (found.origin, found.boost)).collect();
        assert_eq!(
            found,
            [(Constant, 1.0), (Network, 4.0), (Network, 1.0), (Own, 1.0), (Own, 2.0)]
        );
    }
}
