//! Run directories from the version before settings were renamed must still open, resume and report.
//!
//! Each run was stopped midway by that version. The files next to it are the results of that version after
//! resuming a copy: averaged weights, and the agreement on held-out seeds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use candle_core::{Device, Tensor, safetensors};

use super::common::{self, Lab, stderr, stdout};

fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/old_runs").join(name)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

fn succeeded(output: Output) -> String {
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output)
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn is_close(found: f64, expected: f64, tolerance: f64) -> bool {
    (found - expected).abs() <= tolerance
}

/// Resumes the run and compares its final results.
fn check(name: &str) {
    let lab = Lab::new();
    let run = lab.runs().join(name);
    copy(&kept(name), &run);
    let listed = succeeded(lab.mosaic(&["ls"]));
    assert!(listed.contains("stopped by SIGTERM"), "{listed}");
    succeeded(lab.mosaic(&["resume", name]));
    common::wait_for("the run to finish", || run.join("report/report.json").exists());
    let logs = succeeded(lab.mosaic(&["logs", name]));
    assert!(logs.contains("from the checkpoint of step"), "{logs}");

    let expected =
        safetensors::load(kept(&format!("{name}.resumed-ema.safetensors")), &Device::Cpu);
    let found = safetensors::load(run.join("state/step-000600/ema.safetensors"), &Device::Cpu);
    let (expected, found) = (expected.unwrap(), found.unwrap());
    assert_eq!(found.len(), expected.len());
    for (name, expected) in &expected {
        let pairs = values(&found[name]).into_iter().zip(values(expected));
        for (found, expected) in pairs {
            // The order of sums depends on the processor's vector width, which differs between computers.
            assert!((found - expected).abs() < 1e-3, "{name}: {found}, not {expected}");
        }
    }
    let expected = fs::read_to_string(kept(&format!("{name}.agreement.csv"))).unwrap();
    let found = fs::read_to_string(run.join("report/agreement.csv")).unwrap();
    assert_eq!(found.lines().count(), expected.lines().count(), "{found}");
    for (found, expected) in found.lines().zip(expected.lines()).skip(1) {
        let cells = |line: &str| line.split(',').map(str::to_owned).collect::<Vec<_>>();
        let (found, expected) = (cells(found), cells(expected));
        assert_eq!(found[..2], expected[..2]);
        for (found, expected) in found[2..].iter().zip(&expected[2..]) {
            let (found, expected) = (found.parse().unwrap(), expected.parse().unwrap());
            assert!(is_close(found, expected, 0.02), "{found}, not {expected}");
        }
    }
    let report = succeeded(lab.mosaic(&["report", name]));
    assert!(report.starts_with(&format!("# {name}")), "{report}");
}

#[test]
fn a_resnet_with_renamed_settings_and_exponential_decay_goes_on() {
    check("old-resnet");
}

#[test]
fn a_unet_goes_on() {
    check("old-unet");
}

#[test]
fn a_checkpoint_is_not_continued_with_another_setting() {
    let lab = Lab::new();
    let run = lab.runs().join("old-resnet");
    copy(&kept("old-resnet"), &run);
    let text = fs::read_to_string(run.join("run.toml")).unwrap();
    assert!(text.contains("training.rate = 0.002"));
    fs::write(run.join("run.toml"), text.replace("training.rate = 0.002", "training.rate = 0.004"))
        .unwrap();
    succeeded(lab.mosaic(&["resume", "old-resnet"]));
    common::wait_for("the worker to fail", || succeeded(lab.mosaic(&["ls"])).contains("failed"));
    // The status may be written before the last line of the log.
    common::wait_for("the reason in the log", || {
        let logs = succeeded(lab.mosaic(&["logs", "old-resnet"]));
        logs.contains("rate 0.002") && logs.contains("rate 0.004")
    });
}
