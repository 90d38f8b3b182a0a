//! `mosaic theory`: samples without a network, interruptions, other settings, wrong use.

mod common;

use std::path::Path;
use std::process::{Command, Output};

use common::{Lab, stderr, stdout, wait_for};
use safetensors::SafeTensors;
use serde_json::Value;

/// The shipped handwritten digits.
const DIGITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/datasets/digits/images-idx3-ubyte.gz");
const LABELS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/datasets/digits/labels-idx1-ubyte.gz");

/// Large enough to be interrupted.
const SLOW: &[&str] = &["--machine", "bbels", "--k", "3", "--seeds", "0..2", "--steps", "30"];
const SLOW_SET: &[&str] = &["--set", "dataset.n=200", "--set", "dataset.size=24"];

fn theory(lab: &Lab, out: &Path, arguments: &[&str]) -> Output {
    let out = ["--out", out.to_str().unwrap()];
    lab.mosaic(&[&["theory", DIGITS][..], &out, arguments].concat())
}

#[test]
fn a_killed_process_is_gone_on_with_to_the_same_samples() {
    let lab = Lab::new();
    let (whole, parts) = (lab.place.path().join("whole"), lab.place.path().join("parts"));
    let arguments = [SLOW, SLOW_SET].concat();
    let output = theory(&lab, &whole, &arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    let mut child = Command::new(env!("CARGO_BIN_EXE_mosaic"))
        .args(["theory", DIGITS, "--out", parts.to_str().unwrap()])
        .args(&arguments)
        .current_dir(lab.place.path())
        .spawn()
        .unwrap();
    let partial = parts.join("bbels.partial.safetensors");
    wait_for("the first steps", || partial.is_file());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!parts.join("bbels.safetensors").is_file(), "killed too late to test anything");
    let output = theory(&lab, &parts, &arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    // Not whole files: a header's entries come in any order.
    let samples = |folder: &Path| {
        let bytes = std::fs::read(folder.join("bbels.safetensors")).unwrap();
        SafeTensors::deserialize(&bytes).unwrap().tensor("samples").unwrap().data().to_vec()
    };
    assert!(samples(&whole) == samples(&parts), "samples differ");
    assert!(!partial.exists() && parts.join("samples.png").is_file());
}

#[test]
fn samples_of_other_settings_are_refused_and_labels_restrict() {
    let lab = Lab::new();
    let out = lab.place.path().join("out");
    let arguments = ["--machine", "ideal", "wiener", "--seeds", "0..3", "--steps", "4", "--json"];
    let output = theory(&lab, &out, &arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    let found: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(found["machines"]["ideal"]["settings"]["images"], "1797 of 1x8x8");
    assert!(out.join("ideal.safetensors").is_file() && out.join("wiener.safetensors").is_file());
    let labels = format!("dataset.labels={LABELS}");
    let label = [&arguments[..], &["--set", &labels, "--label", "3"]].concat();
    let output = theory(&lab, &out, &label);
    assert!(stderr(&output).contains("label is 'any' there and '3' here"), "{}", stderr(&output));
    let output = theory(&lab, &lab.place.path().join("threes"), &label);
    let found: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(found["machines"]["ideal"]["settings"]["images"], "183 of 1x8x8");
}

#[test]
fn wrong_use_is_answered_in_words() {
    let lab = Lab::new();
    let out = lab.place.path().join("out");
    for (arguments, expected) in [
        (&["--machine", "elss"][..], "did you mean 'els'"),
        (&["--machine", "attention-trajectory"], "there is none here"),
        (&["--machine", "els", "--k", "4"], "4"),
        (&["--label", "3"], "no labels"),
    ] {
        let output = theory(&lab, &out, arguments);
        assert!(!output.status.success());
        assert!(stderr(&output).contains(expected), "{arguments:?}: {}", stderr(&output));
    }
    let output = lab.mosaic(&["theory", "no-such-thing"]);
    assert!(stderr(&output).contains("neither a file nor an experiment"), "{}", stderr(&output));
}
