//! Runs for the tests of studies.

use serde_json::json;

use super::run_results::RunResults;
use crate::config::{Arm, Experiment};

/// A run with the given settings, r of machines and consistency rate.
pub fn run(settings: &[&str], r: &[(&str, &[f64])], consistent: [f64; 3]) -> RunResults {
    let mut experiment = Experiment::named("a").unwrap();
    settings.iter().for_each(|pair| experiment.set_pair(pair).unwrap());
    let rates = json!({
        "consistent": consistent[0],
        "creative": consistent[0],
        "intervals95": {
            "consistent": [consistent[1], consistent[2]],
            "creative": [consistent[1], consistent[2]],
        },
        "n_samples": 100,
    });
    let each =
        |(name, r): &(&str, &[f64])| ((*name).to_owned(), r.iter().map(|r| Some(*r)).collect());
    RunResults {
        arm: Arm { experiment, base: "a".into(), label: String::new(), varied: Vec::new() },
        run: settings.join(" "),
        report: json!({ "rates": rates, "machine_rates": { "attention-similarity": rates } }),
        r: r.iter().map(each).collect(),
        by_step: Vec::new(),
        calibration: None,
        mosaics: Vec::new(),
        samples: None,
        over_training: Vec::new(),
        predicted_attention: Vec::new(),
        interventions: None,
    }
}

/// Three runs that differ in their training seed, with the consistency rate of each.
pub fn with_training_seeds(
    settings: &[&str],
    r: &[(&str, &[f64])],
    consistent: [[f64; 3]; 3],
) -> Vec<RunResults> {
    let with = |(seed, consistent): (usize, [f64; 3])| {
        let seed = format!("training.seed={seed}");
        let settings: Vec<&str> = settings.iter().copied().chain([seed.as_str()]).collect();
        run(&settings, r, consistent)
    };
    consistent.into_iter().enumerate().map(with).collect()
}
