//! Reports, calibration and benches against plain recomputation, with the real binary on tiny experiments.
//!
//! `plain` computes every statistic anew, from samples that the tests draw themselves; it shares no code with
//! `mosaic_lab::evaluation` and `mosaic_lab::analysis`.

mod bench;
mod calibration;
mod checkpoints;
#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "no run goes on beside these tests")]
mod common;
mod exports;
mod external;
mod floors;
mod interventions;
mod mosaics;
mod networks;
mod pages_and_logs;
mod paper_units;
mod plain;
mod reports;
mod schedules;
#[path = "../common/skip.rs"]
mod skip;
mod training_seeds;
mod undefined;

use common::{Lab, stderr, stdout};
use mosaic_lab::evaluation::network_and_machines_of_run::Trained;
use mosaic_lab::runs::run_dir::RunDir;
use serde_json::Value;

/// A trained network of 12 x 12 pixels with two attention heads, about a second's work.
fn train(lab: &Lab, machines: &str) -> RunDir {
    let machines = format!("theory.machines={machines}");
    let settings = [
        "dataset.n=8",
        "dataset.size=12",
        "dataset.glyph=3",
        "dataset.gap=3",
        "dataset.shapes=4",
        "network.width=64",
        "network.kernels=[3, 3, 1, 1]",
        "training.steps=30",
        "training.batch=16",
        "training.focus_share=0",
        "training.optimizer=adamw",
        "training.learning_rate=0.004",
        "preview.every=0",
        "compare.seeds=1",
        "calibrate.seeds=0",
        &machines,
    ];
    let output = lab.run("glyphs-attention", &settings, &["--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    RunDir::open(lab.runs().join(report["run"].as_str().unwrap()))
}

fn open(run: &RunDir, machines: &str) -> Trained {
    Trained::open(run, &[format!("theory.machines={machines}")]).unwrap()
}

/// What a command prints, which succeeds.
fn printed(lab: &Lab, arguments: &[&str]) -> String {
    let output = lab.mosaic(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    stdout(&output)
}

#[track_caller]
fn check_close(found: f64, expected: f64, tolerance: f64, what: &str) {
    let is_close = (found - expected).abs() <= tolerance * (1.0 + expected.abs());
    assert!(is_close, "{what}: {found}, expected {expected}");
}
