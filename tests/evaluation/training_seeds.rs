//! A group of training seeds: its ceiling and chance against samples drawn anew.

use mosaic_lab::random::noise_seeds;
use mosaic_lab::runs::run_dir::RunDir;
use serde_json::Value;

use crate::common::{Lab, stderr, stdout};
use crate::plain::{mean, pearson, quantile, sample};
use crate::{check_close, open};

#[test]
fn a_group_has_the_ceiling_of_its_training_seeds() {
    let lab = Lab::new();
    let settings = [
        "dataset.n=8",
        "dataset.size=12",
        "dataset.gap=3",
        "training.steps=40",
        "preview.every=0",
        "compare.seeds=6",
        "compare.samples=6",
        "calibrate.seeds=0",
        "diffusion.sampling_steps=4",
        "theory.machines=els",
    ];
    let flags = ["--json", "--training-seeds", "3..6"];
    let output = lab.run("glyphs-cnn", &settings, &flags);
    assert!(output.status.success(), "{}", stderr(&output));
    let found: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let groups = found["experiments"].as_array().unwrap();
    assert_eq!(groups.len(), 1, "one group: {found}");
    let group = &groups[0];
    let reports = group["runs"].as_array().unwrap();
    assert_eq!(reports.len(), 3);

    let samples: Vec<Vec<Vec<f64>>> = reports
        .iter()
        .map(|report| {
            let run = RunDir::open(lab.runs().join(report["run"].as_str().unwrap()));
            let trained = open(&run, "els");
            let noise = |i: u64| noise_seeds(0, 1000 + i, 1, trained.dataset.shape());
            (0..6).map(|i| sample(&trained.network, &noise(i), 4).sample).collect()
        })
        .collect();
    let between = |a: &[Vec<f64>], b: &[Vec<f64>]| {
        let r: Vec<f64> = a.iter().zip(b).map(|(a, b)| pearson(a, b)).collect();
        quantile(&r, 0.5)
    };
    let pairs = [(0, 1), (0, 2), (1, 2)].map(|(i, j)| between(&samples[i], &samples[j]));
    let ceiling = group["ceiling"]["r"].as_f64().unwrap();
    check_close(ceiling, mean(&pairs), 1e-4, "ceiling");
    let chances: Vec<f64> = samples
        .iter()
        .map(|of| {
            let pairs = (0..6).flat_map(|i| (i + 1..6).map(move |j| (i, j)));
            let r: Vec<f64> = pairs.map(|(i, j)| pearson(&of[i], &of[j])).collect();
            quantile(&r, 0.5)
        })
        .collect();
    let chance = group["chance"].as_f64().unwrap();
    check_close(chance, mean(&chances), 1e-4, "chance");
    let els = &group["over_runs"]["els"];
    let share = (els["r"]["mean"].as_f64().unwrap() - chance) / (ceiling - chance);
    let found_share = els["share_of_the_way"]["from_chance"].as_f64().unwrap();
    check_close(found_share, share, 1e-9, "share of the way");
    assert!(els["r"]["interval95"][0].as_f64().unwrap() < els["r"]["mean"].as_f64().unwrap());

    // The same command finds the finished runs.
    let again = lab.run("glyphs-cnn", &settings, &flags);
    let again: Value = serde_json::from_str(&stdout(&again)).unwrap();
    assert_eq!(again["experiments"][0]["ceiling"], group["ceiling"]);
    let groups = std::fs::read_dir(lab.runs().join("groups")).unwrap();
    let groups: Vec<_> = groups.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(groups.len(), 1, "{groups:?}");
    assert!(groups[0].join("summary.md").is_file(), "{groups:?}");

    let refused = lab.run("glyphs-cnn", &[], &["--training-seeds", "5..5"]);
    assert!(stderr(&refused).contains("the range is empty"), "{}", stderr(&refused));
}
