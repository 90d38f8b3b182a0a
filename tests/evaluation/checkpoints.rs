//! Earlier checkpoints of a run: copies and errors over training against a plain recomputation, and `--at-step`.

use mosaic_lab::evaluation::floors::NoisedImages;
use mosaic_lab::evaluation::floors::noised_images::Translation;
use mosaic_lab::evaluation::network_and_machines_of_run::Trained;
use mosaic_lab::random::noise_seeds;
use mosaic_lab::runs::run_dir::RunDir;
use serde_json::Value;

use crate::common::{Lab, stderr, stdout};
use crate::plain::{level, mean, sample, squared_error, wilson};
use crate::{check_close, printed};

const SAMPLES: usize = 6;
const SETTINGS: [&str; 9] = [
    "network.attention=none",
    "network.padding=zeros",
    "training.optimizer=adamw",
    "training.steps=30",
    "training.keep_every=10",
    "training.keep_checkpoints=1",
    "preview.every=0",
    "calibrate.seeds=0",
    "compare.checkpoint_samples=6",
];

/// Whether a sample is less than a third as far from the nearest image, at its place, as from the second nearest.
fn is_copy(image: &[f64], training: &[Vec<f64>]) -> bool {
    let mut all: Vec<f64> = training.iter().map(|other| squared_error(image, other)).collect();
    all.sort_by(f64::total_cmp);
    (all[0] / all[1]).sqrt() < 1.0 / 3.0
}

fn check_checkpoint(run: &RunDir, found: &Value) {
    let step = found["step"].as_u64().unwrap();
    let trained = Trained::open_at(run, &[], Some(step)).unwrap();
    let (shape, seed) = (trained.dataset.shape(), trained.experiment.noise_seed);
    let data = trained.dataset.batch(0, trained.dataset.len());
    let training: Vec<Vec<f64>> = data.iter().map(<[f64]>::to_vec).collect();
    let n_copies = (0..SAMPLES as u64)
        .filter(|i| {
            let noise = noise_seeds(seed, 1000 + i, 1, shape);
            is_copy(&sample(&trained.network, &noise, 4).sample, &training)
        })
        .count();
    for (place, expected) in wilson(n_copies, SAMPLES).into_iter().enumerate() {
        check_close(found["copies"][place].as_f64().unwrap(), expected, 1e-9, "copies");
    }
    let network = trained.network.clone().clamped(false);
    let held_out = trained.held_out(SAMPLES).unwrap();
    for (key, images) in [("training", &*trained.dataset), ("held_out", &held_out)] {
        let at = |i: i32| {
            let t = f64::from(i) / 10.0;
            let noised = NoisedImages::draw(images, level(t), SAMPLES, Translation::None, seed);
            let x0 = mosaic_lab::diffusion::Denoiser::denoise(&network, &noised.noisy, level(t))
                .unwrap();
            let values = x0.x0.values();
            squared_error(values, noised.clean.values())
        };
        let expected = mean(&(1..10).map(at).collect::<Vec<f64>>());
        check_close(found[key]["mse"].as_f64().unwrap(), expected, 1e-6, key);
    }
}

#[test]
fn every_kept_checkpoint_is_sampled_and_can_be_compared_by_hand() {
    let lab = Lab::new();
    let output = lab.run("glyphs-attention", &SETTINGS, &["--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let run = RunDir::open(lab.runs().join(report["run"].as_str().unwrap()));
    let all = report["over_training"].as_array().unwrap();
    let steps: Vec<u64> = all.iter().map(|found| found["step"].as_u64().unwrap()).collect();
    assert_eq!(steps, [10, 20, 30]);
    all.iter().for_each(|found| check_checkpoint(&run, found));
    let copies = std::fs::read_to_string(run.report_path().join("copies_over_training.csv"));
    assert_eq!(copies.unwrap().lines().count(), 1 + 3 * SAMPLES);
    assert!(run.report_path().join("over_training.png").is_file());

    let (id, out) = (run.id(), lab.place.path().join("out").display().to_string());
    let compared = printed(
        &lab,
        &["compare", &id, "--seeds", "2", "--at-step", "20", "--out", &out, "--json"],
    );
    let compared: Value = serde_json::from_str(&compared).unwrap();
    let earlier = &compared["experiments"][0]["runs"][0];
    assert_eq!((&earlier["steps"], &earlier["final_loss"]), (&20.into(), &Value::Null));
    assert!(earlier["over_training"].as_array().unwrap().is_empty());
    let again = std::fs::read_to_string(run.report_path().join("report.json")).unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&again).unwrap(),
        report,
        "the run's own is left alone"
    );

    let refused = lab.mosaic(&["compare", &id, "--at-step", "20"]);
    assert!(
        !refused.status.success() && stderr(&refused).contains("--out"),
        "{}",
        stderr(&refused)
    );
    let file = lab.place.path().join("s.safetensors").display().to_string();
    let sampled = lab.mosaic(&["sample", &id, "--at-step", "10", "--out", &file]);
    let words = stdout(&sampled) + &stderr(&sampled);
    assert!(sampled.status.success() && words.contains("16 samples of step 10"), "{words}");
    let refused = lab.mosaic(&["sample", &id, "--at-step", "15", "--out", &file]);
    let words = stderr(&refused);
    assert!(words.contains("no checkpoint of step 15; it has those of 10, 20, 30"), "{words}");
}
