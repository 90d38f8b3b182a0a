//! Kamb & Ganguli's setting: do networks without attention compute local posterior means, of patches that grow with
//! the noise, with the dictionary that their padding lets them have?

use super::paired_training_seeds::seed_groups;
use super::run_results::RunResults;
use super::verdict_of_finding::{Finding, Reading};
use super::which_theory_predicts_which_network::{agreement, compare_machines, panels};
use crate::analysis::claim_tests::Claim;
use crate::analysis::paired_differences::Difference;
use crate::evaluation::calibration::Calibrated;
use crate::evaluation::calibration::patch_side_growth::PatchSideGrowth;
use crate::evaluation::chart_panels::{Panel, Series};
use crate::network::network_config::Padding;

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
        let growth = |run: &&RunResults| {
            let found = PatchSideGrowth::of(&patch_sides(run, own))?;
            Some((found, calibrated(run, own)?.patch_growth_error))
        };
        let grown: Vec<(PatchSideGrowth, Option<f64>)> =
            group.runs.iter().filter_map(growth).collect();
        let n = grown.len();
        let mean = |side: fn(&PatchSideGrowth) -> f64| {
            grown.iter().map(|(found, _)| side(found)).sum::<f64>() / n as f64
        };
        let words = format!(
            "{}: mean side {:.1} pixels above t = 0.5, {:.1} below",
            group.words(),
            mean(|found| found.noisy),
            mean(|found| found.clean)
        );
        let each: Vec<Difference> =
            grown.iter().map(|(found, error)| difference(found, *error, n)).collect();
        scales.compare_networks(&each, words);
    }
    let curve = |(colour, run): (usize, &RunResults)| {
        Series::line(&run.arm.words(), colour, patch_sides(run, pair(run).0))
    };
    let title = "patch side that fits best, k(t)".to_owned();
    let k = Panel::over_time(title, runs.iter().enumerate().map(curve).collect());
    let panels = std::iter::once(k).chain(panels(runs)).collect();
    Reading { findings: vec![local, padding, scales], tables: vec![agreement(runs)], panels }
}

/// The growth of one network's patches of `n_networks`. A calibration of an earlier version does not have the error over
/// noise seeds; over several networks it is part of their spread, but for the rounding.
fn difference(
    growth: &PatchSideGrowth,
    error_over_seeds: Option<f64>,
    n_networks: usize,
) -> Difference {
    let error = match error_over_seeds {
        Some(error) => error,
        None if n_networks > 1 => 0.0,
        None => f64::INFINITY,
    };
    Difference {
        value: growth.growth(),
        noise_error: error.hypot(growth.rounding_error),
        noise_degrees: f64::INFINITY,
    }
}

/// The local machine that pairs with a network's padding, and the other one.
fn pair(run: &RunResults) -> (&'static str, &'static str) {
    match run.arm.experiment.network.padding {
        Padding::Zeros => ("bbels", "els"),
        Padding::Circular => ("els", "bbels"),
    }
}

/// The calibration of a machine against the run's network.
fn calibrated<'a>(run: &'a RunResults, machine: &str) -> Option<&'a Calibrated> {
    run.calibration.as_ref()?.machines.iter().find(|found| found.machine == machine)
}

/// Calibrated patch sides by t.
fn patch_sides(run: &RunResults, machine: &str) -> Vec<(f64, f64)> {
    let Some(found) = calibrated(run, machine) else { return Vec::new() };
    let schedule = found.schedule();
    let t = |at: usize| (at + 1) as f64 / schedule.len() as f64;
    schedule.iter().enumerate().map(|(at, step)| (t(at), step.k as f64)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::runs_for_tests::with_training_seeds;
    use super::super::verdict_of_finding::Verdict;
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
        let verdict = |sides: &[f64], error: Option<f64>| {
            let mut finding = Finding::new("x", Claim::Above { margin: 0.0 });
            let growth = |side: &f64| {
                let side = |i: i32| (f64::from(i) / 20.0, if i > 10 { *side } else { 3.0 });
                PatchSideGrowth::of(&(1..=20).map(side).collect::<Vec<_>>()).unwrap()
            };
            let each: Vec<Difference> =
                sides.iter().map(|side| difference(&growth(side), error, sides.len())).collect();
            finding.compare_networks(&each, String::new());
            (finding.verdict(), finding.within_networks())
        };
        assert_eq!(verdict(&[5.0, 5.4, 5.2], None).0, Verdict::Holds);
        assert_eq!(verdict(&[3.2, 3.4, 3.3], None).0, Verdict::Undecided, "within the rounding");
        assert_eq!(verdict(&[9.0, 2.0, 4.0], None).0, Verdict::Undecided);
        assert_eq!(verdict(&[5.0, 5.4, 5.2], Some(2.0)).0, Verdict::Undecided);
        let alone = |within| (Verdict::NotTestedOverNetworks, Some(within));
        assert_eq!(verdict(&[9.0], None), alone(Verdict::Undecided));
        assert_eq!(verdict(&[9.0], Some(0.5)), alone(Verdict::Holds));
    }
}
