//! Runs of every noise schedule, end to end: training, calibration, comparison and floors.

use std::fs;

use mosaic_lab::diffusion::Schedule;
use mosaic_lab::evaluation::floors::RunFloors;
use mosaic_lab::runs::run_dir::RunDir;
use serde_json::Value;

use crate::common::{Lab, stderr, stdout};
use crate::{check_close, printed};

/// A run of 40 updates with 4 sampling steps, and its report.
fn run(lab: &Lab, schedule: &str) -> (RunDir, Value) {
    let set = format!("diffusion.schedule={schedule}");
    let machines = "theory.machines=els,wiener,attention-trajectory,attention-similarity";
    let output = lab.run("glyphs-attention", &[&set, machines], &["--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    (RunDir::open(lab.runs().join(report["run"].as_str().unwrap())), report)
}

#[test]
fn every_schedule_trains_calibrates_compares_and_measures_floors() {
    let lab = Lab::new();
    for (schedule, times) in [
        (Schedule::DdpmLinear, [0.25, 0.5, 0.75, 1.0]),
        // .001 + .999 (i - 1) / 3.
        (Schedule::Edm, [0.001, 0.334, 0.667, 1.0]),
    ] {
        let (run, report) = run(&lab, schedule.word());
        for machine in ["els", "wiener", "attention-trajectory", "attention-similarity"] {
            // (EDM's four steps are too few for a mosaic: r may be undefined, because els gives even images.)
            assert!(report["agreement"][machine]["R2"].is_number(), "{schedule:?} {machine}");
        }
        let calibration: Value =
            serde_json::from_str(&fs::read_to_string(run.calibration_path()).unwrap()).unwrap();
        let steps = calibration["machines"][0]["steps"].as_array().unwrap();
        for (step, time) in steps.iter().zip(times) {
            check_close(step["t"].as_f64().unwrap(), time, 1e-12, "time of a calibrated step");
        }
        let whole = fs::read_to_string(run.report_path().join("report.json")).unwrap();
        let whole: Value = serde_json::from_str(&whole).unwrap();
        let levels = whole["floors"]["levels"].as_array().unwrap();
        assert_eq!(levels.len(), 10);
        for level in levels {
            let number = |path: &str| level.pointer(path).and_then(Value::as_f64).unwrap();
            let excess = number("/network/mse") - number("/els/mse");
            check_close(number("/excess/mse"), excess, 1e-6, "the excess");
        }
        // More is known at less noise.
        let floor = |index: usize| levels[index]["els"]["mse"].as_f64().unwrap();
        assert!(floor(0) < 1e-3 && floor(9) > 0.05, "{schedule:?}: {} {}", floor(0), floor(9));
    }
}

#[test]
fn a_network_and_its_floors_are_not_taken_for_those_of_another_schedule() {
    let lab = Lab::new();
    let (run, _) = run(&lab, "edm");
    let refused = lab.mosaic(&["compare", &run.id(), "--set", "diffusion.schedule=cosine"]);
    assert!(
        stderr(&refused).contains("'diffusion.schedule' made the network"),
        "{}",
        stderr(&refused)
    );
    // Floors of another schedule are not taken for this one's.
    let floors = RunFloors::read(&run.floors_path()).unwrap();
    let text = fs::read_to_string(run.floors_path()).unwrap();
    assert!(text.contains(r#""schedule":"edm""#), "{}", &text[..200]);
    let settings = fs::read_to_string(run.run_toml_path()).unwrap();
    assert!(settings.contains("diffusion.schedule = \"edm\""), "{settings}");
    let other = settings.replace("diffusion.schedule = \"edm\"", "diffusion.schedule = \"cosine\"");
    fs::write(run.run_toml_path(), other).unwrap();
    printed(&lab, &["compare", &run.id(), "--seeds", "2"]);
    let report = fs::read_to_string(run.report_path().join("report.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    let now = report.pointer("/floors/levels/4/els/mse").unwrap().as_f64().unwrap();
    let errors = &floors.levels[4].errors["els"];
    let before = errors.iter().map(|&e| f64::from(e)).sum::<f64>() / errors.len() as f64;
    assert!((now - before).abs() > 1e-3, "floors at t = .5: {now}, of edm {before}");
}
