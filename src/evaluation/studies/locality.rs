//! Kamb & Ganguli's setting: do networks without attention compute local posterior means, of patches that grow with
//! the noise, with the dictionary that their padding lets them have?

use super::run_results::RunResults;
use super::verdict::{Finding, Reading, Verdict};
use super::which_theory_predicts_which_network::{agreement, panels};
use crate::evaluation::png_charts::{Panel, Series};
use crate::network::network_config::Padding;

pub(super) fn read(runs: &[RunResults]) -> Reading {
    let mut local = Finding::new(
        "the local machine that pairs with the padding predicts samples better than whole images, the Gaussian and patches bound to their place",
    );
    let mut padding = Finding::new("and better than the one that pairs with the other padding");
    let mut scales = Finding::new("the patches that fit the network best grow with the noise");
    for run in runs {
        let (own, other) = pair(run);
        for rival in ["ideal", "wiener", "ls", other] {
            let Some((share, words)) = run.contest(own, rival) else { continue };
            let finding = if rival == other { &mut padding } else { &mut local };
            finding.add(Verdict::above_half(share), words);
        }
        let sides = patch_sides(run, own);
        let mean = |keep: fn(f64) -> bool| {
            let kept: Vec<f64> = sides.iter().filter(|s| keep(s.0)).map(|s| s.1).collect();
            (!kept.is_empty()).then(|| kept.iter().sum::<f64>() / kept.len() as f64)
        };
        if let (Some(clean), Some(noisy)) = (mean(|t| t <= 0.5), mean(|t| t > 0.5)) {
            let verdict = match noisy.total_cmp(&clean) {
                std::cmp::Ordering::Greater => Verdict::Holds,
                std::cmp::Ordering::Equal => Verdict::Undecided,
                std::cmp::Ordering::Less => Verdict::Fails,
            };
            let words = format!(
                "{}: mean side {noisy:.1} pixels above t = 0.5, {clean:.1} below",
                run.arm.words()
            );
            scales.add(verdict, words);
        }
    }
    let curve = |(colour, run): (usize, &RunResults)| {
        Series::line(&run.arm.words(), colour, patch_sides(run, pair(run).0))
    };
    let title = "patch side that fits best, k(t)".to_owned();
    let k = Panel::over_time(title, runs.iter().enumerate().map(curve).collect());
    let panels = std::iter::once(k).chain(panels(runs)).collect();
    Reading { findings: vec![local, padding, scales], tables: vec![agreement(runs)], panels }
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
    use super::super::example_runs::run;
    use super::*;

    #[test]
    fn a_zero_padded_network_is_held_against_the_machine_that_knows_borders() {
        let (low, high) = ([0.1; 50], [0.9; 50]);
        let machines: [(&str, &[f64]); 3] = [("els", &low), ("bbels", &high), ("ideal", &low)];
        let runs = [
            run(&["network.padding=zeros"], &machines, [0.0; 3]),
            run(&["network.padding=circular"], &machines, [0.0; 3]),
        ];
        let findings = read(&runs).findings;
        let verdicts = |at: usize| -> Vec<Verdict> {
            findings[at].evidence.iter().map(|evidence| evidence.verdict).collect()
        };
        // els only draws with ideal, which wins nothing.
        assert_eq!(verdicts(0), [Verdict::Holds, Verdict::Fails]);
        assert_eq!(verdicts(1), [Verdict::Holds, Verdict::Fails]);
        assert_eq!(findings[2].verdict(), Verdict::Untested);
    }
}
