//! Kamb & Ganguli's setting: do networks without attention compute local posterior means, of patches that grow with
//! the noise, with the dictionary that their padding lets them have?

use super::run_results::RunResults;
use super::training_seeds::seed_groups;
use super::verdict::{Finding, Reading};
use super::which_theory_predicts_which_network::{agreement, compare_machines, panels};
use crate::analysis::claim_tests::Claim;
use crate::analysis::paired_differences::Difference;
use crate::evaluation::png_charts::{Panel, Series};
use crate::network::network_config::Padding;

/// Patch sides are odd.
const SIDE_SPACING: f64 = 2.0;

pub(super) fn read(runs: &[RunResults]) -> Reading {
    let above = Claim::Above { margin: 0.0 };
    let mut local = Finding::new(
        "the local machine that pairs with the padding predicts samples better than whole images, the Gaussian and patches bound to their place",
        above,
    );
    let mut padding =
        Finding::new("and better than the one that pairs with the other padding", above);
    let mut scales =
        Finding::new("the patches that fit the network best grow with the noise", above);
    for group in seed_groups(runs) {
        let (own, other) = pair(group.runs[0]);
        for rival in ["ideal", "wiener", "ls"] {
            compare_machines(&mut local, &group, own, rival);
        }
        compare_machines(&mut padding, &group, own, other);
        let grown: Vec<SideGrowth> =
            group.runs.iter().filter_map(|run| side_growth(&patch_sides(run, own))).collect();
        let n = grown.len();
        let mean = |side: fn(&SideGrowth) -> f64| grown.iter().map(side).sum::<f64>() / n as f64;
        let words = format!(
            "{}: mean side {:.1} pixels above t = 0.5, {:.1} below",
            group.words(),
            mean(|found| found.noisy),
            mean(|found| found.clean)
        );
        let each = grown.iter().map(|found| found.difference(n));
        scales.compare_networks(&each.collect::<Vec<_>>(), words);
    }
    let curve = |(colour, run): (usize, &RunResults)| {
        Series::line(&run.arm.words(), colour, patch_sides(run, pair(run).0))
    };
    let title = "patch side that fits best, k(t)".to_owned();
    let k = Panel::over_time(title, runs.iter().enumerate().map(curve).collect());
    let panels = std::iter::once(k).chain(panels(runs)).collect();
    Reading { findings: vec![local, padding, scales], tables: vec![agreement(runs)], panels }
}

/// Mean patch sides in pixels, and the standard error that their rounding to odd numbers leaves.
struct SideGrowth {
    /// Above t = 0.5.
    noisy: f64,
    /// Up to t = 0.5.
    clean: f64,
    rounding_error: f64,
}

impl SideGrowth {
    /// The growth of one network of `n_networks`. A calibration keeps one side per step for all of its noise seeds, so
    /// the error over noise seeds is unknown; over several networks it is part of their spread, but for the rounding.
    fn difference(&self, n_networks: usize) -> Difference {
        let noise_error = if n_networks > 1 { self.rounding_error } else { f64::INFINITY };
        Difference { value: self.noisy - self.clean, noise_error, noise_degrees: f64::INFINITY }
    }
}

/// The growth of patch sides, `(t, side)`; `None` without steps below and above t = 0.5.
fn side_growth(sides: &[(f64, f64)]) -> Option<SideGrowth> {
    let (clean, noisy): (Vec<_>, Vec<_>) = sides.iter().partition(|(t, _)| *t <= 0.5);
    let mean = |kept: &[(f64, f64)]| kept.iter().map(|s| s.1).sum::<f64>() / kept.len() as f64;
    // A rounded value is off by a uniform error, whose variance is the squared spacing / 12.
    let variance = |kept: &[(f64, f64)]| SIDE_SPACING.powi(2) / 12.0 / kept.len() as f64;
    (!clean.is_empty() && !noisy.is_empty()).then(|| SideGrowth {
        noisy: mean(&noisy),
        clean: mean(&clean),
        rounding_error: (variance(&clean) + variance(&noisy)).sqrt(),
    })
}

/// The local machine that pairs with a network's padding, and the other one.
fn pair(run: &RunResults) -> (&'static str, &'static str) {
    match run.arm.experiment.network.padding {
        Padding::Zeros => ("bbels", "els"),
        Padding::Circular => ("els", "bbels"),
    }
}

/// Calibrated patch sides by t.
fn patch_sides(run: &RunResults, machine: &str) -> Vec<(f64, f64)> {
    let found = run.calibration.as_ref().and_then(|calibration| {
        let machine = calibration.machines.iter().find(|found| found.machine == machine)?;
        Some((calibration.n_steps, &machine.candidates.first()?.settings))
    });
    let Some((n_steps, settings)) = found else { return Vec::new() };
    let each = settings.iter().enumerate();
    each.map(|(at, step)| ((at + 1) as f64 / n_steps as f64, step.k as f64)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::example_runs::with_training_seeds;
    use super::super::verdict::Verdict;
    use super::*;

    #[test]
    fn a_zero_padded_network_is_compared_with_the_machine_that_knows_borders() {
        let around = |centre: f64| -> Vec<f64> {
            (0..50).map(|i| centre + 0.01 * f64::from(i % 5)).collect()
        };
        let (low, high) = (around(0.1), around(0.9));
        let machines: [(&str, &[f64]); 3] = [("els", &low), ("bbels", &high), ("ideal", &low)];
        let verdicts = |padding: &str| -> Vec<Verdict> {
            let setting = format!("network.padding={padding}");
            let runs = with_training_seeds(&[&setting], &machines, [[0.0; 3]; 3]);
            read(&runs).findings.iter().map(Finding::verdict).collect()
        };
        use Verdict::{Fails, Holds, Undecided, Untested};
        assert_eq!(verdicts("zeros"), [Holds, Holds, Untested]);
        // els equals ideal here.
        assert_eq!(verdicts("circular"), [Undecided, Fails, Untested]);
    }

    #[test]
    fn growth_of_patches_is_tested_over_training_seeds() {
        let growth = |noisy: f64| {
            let sides: Vec<(f64, f64)> =
                (1..=20).map(|i| (f64::from(i) / 20.0, if i > 10 { noisy } else { 3.0 })).collect();
            side_growth(&sides).unwrap()
        };
        let verdict = |sides: &[f64]| {
            let mut finding = Finding::new("x", Claim::Above { margin: 0.0 });
            let each: Vec<Difference> =
                sides.iter().map(|side| growth(*side).difference(sides.len())).collect();
            finding.compare_networks(&each, String::new());
            (finding.verdict(), finding.within_networks())
        };
        // Two variances of 2^2 / 12 / 10.
        assert!((growth(5.0).rounding_error - (2.0_f64 / 30.0).sqrt()).abs() < 1e-12);
        assert_eq!(verdict(&[5.0, 5.4, 5.2]).0, Verdict::Holds);
        assert_eq!(verdict(&[3.2, 3.4, 3.3]).0, Verdict::Undecided, "within the rounding");
        assert_eq!(verdict(&[9.0, 2.0, 4.0]).0, Verdict::Undecided);
        let alone = (Verdict::NotTestedOverNetworks, Some(Verdict::Undecided));
        assert_eq!(verdict(&[9.0]), alone);
        assert!(side_growth(&[(0.7, 5.0)]).is_none());
    }
}
