//! Which schedule is kept: the ranking of candidates by their final samples.

use super::calibration_file::Candidate;

/// A schedule that has been sampled.
pub struct SampledSchedule {
    pub candidate: Candidate,
    /// Pearson's r of its final samples with the network's, per seed; 0 where it is undefined.
    pub r: Vec<f64>,
}

/// Ranks candidates: the one that is kept, then the others by mean r, largest first.
///
/// The candidate that is kept is the best one, or the same fit with a larger boost if its r is lower by no more than a
/// standard error of the difference over seeds. Fits hedge where the network decides, so among schedules that r cannot
/// tell apart the one with the most sharing is kept.
pub fn ranked(mut schedules: Vec<SampledSchedule>) -> Vec<Candidate> {
    let r_mean = |schedule: &SampledSchedule| schedule.candidate.r_mean;
    let error = |schedule: &SampledSchedule| schedule.candidate.error;
    schedules.sort_by(|a, b| r_mean(b).total_cmp(&r_mean(a)).then(error(a).total_cmp(&error(b))));
    let boost = |at: &usize| schedules[*at].candidate.boost;
    let is_as_good = |at: &usize| {
        let (best, other) = (&schedules[0], &schedules[*at]);
        let gaps: Vec<f64> = best.r.iter().zip(&other.r).map(|(best, r)| best - r).collect();
        let gap = mean(&gaps);
        let variance = mean(&gaps.iter().map(|g| (g - gap).powi(2)).collect::<Vec<_>>());
        let error = (variance / (gaps.len().saturating_sub(1).max(1)) as f64).sqrt();
        best.candidate.origin == other.candidate.origin && gap <= error
    };
    // Of equal boosts (constant settings all have the same) the best one, which comes last.
    let all = (0..schedules.len()).rev();
    let kept = all.filter(is_as_good).max_by(|a, b| boost(a).total_cmp(&boost(b)));
    schedules[..=kept.unwrap_or(0)].rotate_right(1);
    schedules.into_iter().map(|schedule| schedule.candidate).collect()
}

/// Mean of values; NaN without any.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::super::calibration_file::Origin;
    use super::*;

    fn schedule(origin: Origin, boost: f64, r: [f64; 4]) -> SampledSchedule {
        let (r_mean, settings) = (mean(&r), Vec::new());
        let candidate = Candidate { origin, boost, error: 0.0, r: None, r_mean, settings };
        SampledSchedule { candidate, r: r.to_vec() }
    }

    /// The candidates' origins and boosts after ranking, beside a best one of r = .9, .8, .7, .6.
    fn check(others: &[(Origin, f64, [f64; 4])], expected: &[(Origin, f64)]) {
        let best = schedule(Origin::Network, 1.0, [0.9, 0.8, 0.7, 0.6]);
        let others = others.iter().map(|(origin, boost, gaps)| {
            let r = [0.9 - gaps[0], 0.8 - gaps[1], 0.7 - gaps[2], 0.6 - gaps[3]];
            schedule(*origin, *boost, r)
        });
        let found = ranked(others.chain([best]).collect());
        let found: Vec<_> = found.iter().map(|found| (found.origin, found.boost)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn more_sharing_is_kept_if_its_r_is_within_a_standard_error() {
        use Origin::{Constant, Network, Own};
        // Gaps of mean 0.03 with a standard error of 0.039, and of 0.046 with one of 0.039.
        let (within, beyond) = ([0.12, -0.03, 0.07, -0.04], [0.136, -0.014, 0.086, -0.024]);
        check(&[(Network, 2.0, within)], &[(Network, 2.0), (Network, 1.0)]);
        check(&[(Network, 2.0, beyond)], &[(Network, 1.0), (Network, 2.0)]);
        check(&[(Own, 2.0, within)], &[(Network, 1.0), (Own, 2.0)]);
        check(&[(Network, 0.5, within)], &[(Network, 1.0), (Network, 0.5)]);
        check(
            &[(Network, 4.0, beyond), (Constant, 1.0, [0.01; 4]), (Network, 2.0, within)],
            &[(Network, 2.0), (Network, 1.0), (Constant, 1.0), (Network, 4.0)],
        );
    }
}
