//! Weights in and out: files of PyTorch's and safetensors imported as runs, exported ones loaded by PyTorch, and files that
//! want to run something refused.

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "nothing is trained here")]
mod common;
mod answers_of_pytorch;
mod export_to_pytorch;
mod import_from_pytorch;
mod other_networks;
mod refused_pickles;
#[path = "../common/skip.rs"]
mod skip;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Lab, stderr, stdout};
use safetensors::SafeTensors;

/// The folder of this test.
fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/weights")
}

fn fixtures() -> PathBuf {
    here().join("fixtures")
}

/// The settings of an IDX data set of twelve images of one channel and this side, in three classes, made in the lab.
fn drawn_set(lab: &Lab, side: u32) -> Vec<String> {
    let n = 12_u32;
    let mut images = vec![0, 0, 8, 3];
    [n, side, side].iter().for_each(|size| images.extend(size.to_be_bytes()));
    images.extend((0..n * side * side).map(|i| ((i * 37 + i * i / 7) % 256) as u8));
    let mut labels = vec![0, 0, 8, 1];
    labels.extend(n.to_be_bytes());
    labels.extend((0..n as u8).map(|i| i % 3));
    std::fs::write(lab.place.path().join("images"), images).unwrap();
    std::fs::write(lab.place.path().join("labels"), labels).unwrap();
    ["kind=idx", "path=images", "labels=labels", "size=0"]
        .iter()
        .flat_map(|setting| ["--set".to_owned(), format!("dataset.{setting}")])
        .collect()
}

/// Runs a command that succeeds; returns what it prints to stdout and to stderr.
fn succeed(lab: &Lab, arguments: &[&str]) -> (String, String) {
    let output = lab.mosaic(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    (stdout(&output).trim().to_owned(), stderr(&output))
}

/// The error of a command that fails.
fn refusal(lab: &Lab, arguments: &[&str]) -> String {
    let output = lab.mosaic(arguments);
    assert!(!output.status.success(), "{arguments:?} should be refused");
    stderr(&output)
}

/// The tensors of single or double precision in a file.
fn tensors(path: &Path) -> BTreeMap<String, Vec<f64>> {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let values = |data: &[u8], width: usize| -> Vec<f64> {
        let value = |bytes: &[u8]| match width {
            4 => f64::from(f32::from_le_bytes(bytes.try_into().unwrap())),
            _ => f64::from_le_bytes(bytes.try_into().unwrap()),
        };
        data.chunks_exact(width).map(value).collect()
    };
    let all = file.tensors().into_iter();
    all.map(|(name, view)| (name, values(view.data(), view.dtype().bitsize() / 8))).collect()
}

/// Largest difference relative to the largest expected value.
fn relative_error(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    assert!(largest > 0.0, "nothing is compared");
    found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / largest
}

/// Whether python3 has PyTorch; if it does not, `test` is reported as skipped.
fn has_pytorch(test: &str) -> bool {
    let asked = Command::new("python3").args(["-c", "import torch, numpy"]).output();
    let problem = match asked {
        Ok(output) if output.status.success() => return true,
        Ok(_) => "python3 has no torch with numpy".to_owned(),
        Err(error) => format!("python3 cannot be started ({error})"),
    };
    skip::skip(test, &problem);
    false
}

/// Runs a Python script that succeeds.
fn python(arguments: &[&str]) {
    let output = Command::new("python3").args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
}
