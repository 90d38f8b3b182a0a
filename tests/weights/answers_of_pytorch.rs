//! `examples/pytorch/answer.py`: a PyTorch module that answers the questions of `mosaic external` is compared with theory as
//! the run is that its weights came from.

use std::path::Path;

use serde_json::Value;

use super::common::Lab;
use super::{drawn_set, fixtures, has_pytorch, python, succeed};

/// The agreement of every machine with a model: the median r.
fn medians(lab: &Lab, what: &[&str], out: &str) -> Vec<(String, f64)> {
    let out = lab.place.path().join(out);
    let shared = ["--seeds", "6", "--uncalibrated", "--set", "compare.floor_draws=6", "--out"];
    succeed(lab, &[&["compare"], what, &shared[..], &[out.to_str().unwrap()]].concat());
    let mut folder = std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path());
    let folder = folder.find(|path| path.is_dir()).unwrap();
    let text = std::fs::read_to_string(folder.join("report.json")).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    let agreement = report["agreement"].as_object().unwrap().iter();
    let mut found: Vec<(String, f64)> =
        agreement.map(|(name, figures)| (name.clone(), figures["r"].as_f64().unwrap())).collect();
    for level in report["floors"]["levels"].as_array().unwrap() {
        found.push((format!("error at {}", level["t"]), level["network"]["mse"].as_f64().unwrap()));
    }
    found
}

#[test]
fn a_module_that_answers_has_the_figures_of_its_run() {
    if !has_pytorch("answers of a PyTorch module") {
        return;
    }
    let lab = Lab::new();
    let data = drawn_set(&lab, 8);
    let data: Vec<&str> = data.iter().map(String::as_str).collect();
    let file = fixtures().join("resnet_module.pt");
    let steps = ["--set", "diffusion.sampling_steps=5", "--set", "theory.machines=bbels,ideal"];
    let arguments = [&["import", file.to_str().unwrap()], &data[..], &steps].concat();
    let (run, _) = succeed(&lab, &arguments);
    let weights = lab.place.path().join("weights.safetensors");
    succeed(&lab, &["export", &run, "--weights", weights.to_str().unwrap()]);
    // The run's settings as an experiment of a lab file.
    let text = std::fs::read_to_string(lab.runs().join(&run).join("run.toml")).unwrap();
    let sections = text.split_once("\n\n").unwrap().1;
    let name = sections.split_once("[experiment.").unwrap().1.split_once(']').unwrap().0;
    std::fs::write(lab.place.path().join("lab.toml"), sections).unwrap();
    let folder = lab.place.path().join("module");
    let folder_text = folder.to_str().unwrap();
    let question = ["external", folder_text, "--experiment", name, "--seeds", "6", "--noised", "6"];
    succeed(&lab, &question);
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/pytorch");
    let script = format!(
        "import sys\nsys.path.insert(0, {examples:?})\nfrom load_mosaic_weights import load\nfrom answer import answer\nnetwork = \
         load({weights:?})\nanswer({folder_text:?}, lambda x, t: network(t, x), predicts='eps')\n"
    );
    python(&["-c", &script]);
    let of_record = medians(&lab, &["--external", folder_text], "record");
    let of_run = medians(&lab, &[&run], "run");
    assert!(of_run.len() > 4, "{of_run:?}");
    for ((name, found), (expected_name, expected)) in of_record.iter().zip(&of_run) {
        assert_eq!(name, expected_name);
        assert!(
            (found - expected).abs() < 2e-3 * (1.0 + expected.abs()),
            "{name}: {found} {expected}"
        );
    }
}
