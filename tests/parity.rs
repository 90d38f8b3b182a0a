//! The score machines compared with the reference implementation's outputs.
//!
//! Every case of `tests/golden` (or of the directory in `MOSAIC_GOLDEN`, in the same form) is run in both
//! precisions; nothing is skipped. Errors are relative to the case's largest score. To print the largest error
//! per machine: `cargo test --release --test parity -- --nocapture`.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use mosaic_lab::diffusion::{Ddim, Denoiser, Schedule};
use mosaic_lab::image::{ImageBatch, ImageShape};
use mosaic_lab::theory::machine_spec::{MachineKind, MachineSpec, PatchSize};
use mosaic_lab::theory::{Machine, Precision, TrainingImages};
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

/// Double precision: the reference and its authors' brute-force implementation agree to 1e-12.
const BOUND_F64: f64 = 1e-9;
/// Single precision: logits of thousands of nats (large patches at low noise) lose digits; the reference's own
/// single precision is off by up to 4.2e-4.
const BOUND_F32: f64 = 1e-3;

#[derive(Deserialize)]
struct Scores {
    cases: Vec<ScoreCase>,
}

#[derive(Deserialize)]
struct ScoreCase {
    file: String,
    module: String,
    data_file: String,
    #[serde(rename = "N")]
    n: usize,
    k: Option<usize>,
    t: f64,
    label: Option<i64>,
    score_max_abs: f64,
}

#[derive(Deserialize)]
struct Trajectory {
    file: String,
    module: String,
    data_file: String,
    #[serde(rename = "N")]
    n: usize,
    nsteps: usize,
    steps: Vec<Step>,
    fixed_k: Option<usize>,
    label: Option<i64>,
}

#[derive(Deserialize)]
struct Step {
    i: usize,
    k: Option<usize>,
}

fn directory() -> PathBuf {
    std::env::var_os("MOSAIC_GOLDEN").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden"),
        PathBuf::from,
    )
}

fn read(file: &str) -> Vec<u8> {
    let path = directory().join(file);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn values(file: &SafeTensors<'_>, name: &str) -> (Vec<usize>, Vec<f64>) {
    let tensor = file.tensor(name).unwrap();
    let data = tensor.data();
    let values = match tensor.dtype() {
        Dtype::F64 => data.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
        Dtype::F32 => data.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b).into()).collect(),
        Dtype::I64 => data.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b) as f64).collect(),
        other => panic!("{name} holds {other:?}"),
    };
    (tensor.shape().to_vec(), values)
}

fn batch(file: &SafeTensors<'_>, name: &str) -> ImageBatch {
    let (shape, values) = values(file, name);
    ImageBatch::new(ImageShape::new(shape[1], shape[2], shape[3]), values)
}

fn dictionary(data_file: &str, n: usize, label: Option<i64>) -> Arc<TrainingImages> {
    let bytes = read(data_file);
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = file.tensor("images").unwrap();
    let shape = ImageShape::new(tensor.shape()[1], tensor.shape()[2], tensor.shape()[3]);
    let images = match tensor.dtype() {
        Dtype::U8 => TrainingImages::from_bytes(shape, tensor.data().to_vec()),
        _ => TrainingImages::from_values(shape, values(&file, "images").1),
    };
    let labels = values(&file, "labels").1.into_iter().map(|label| label as i64).collect();
    let images = images.unwrap().with_labels(labels).unwrap();
    let first: Vec<usize> = (0..n).collect();
    let images = images.select(&first);
    Arc::new(label.map_or(images.select(&first), |label| images.only_label(label).unwrap()))
}

fn kind(module: &str) -> MachineKind {
    match module {
        "IS" => MachineKind::Ideal,
        "LS" => MachineKind::Local,
        "ELS" => MachineKind::EquivariantLocalInterior,
        "bbELS" => MachineKind::BoundaryBroken,
        other => panic!("no machine for '{other}'"),
    }
}

fn largest_difference(a: &ImageBatch, b: &ImageBatch) -> f64 {
    a.values().iter().zip(b.values()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// Runs every score case; returns the largest relative error per module.
fn score_errors(precision: Precision) -> BTreeMap<String, (f64, usize, String)> {
    let scores: Scores = serde_json::from_slice(&read("manifest_scores.json")).unwrap();
    let mut worst = BTreeMap::new();
    for case in &scores.cases {
        let images = dictionary(&case.data_file, case.n, case.label);
        let spec = MachineSpec::new(kind(&case.module), PatchSize::Fixed(case.k.unwrap_or(1)));
        let machine = Machine::new(spec, images, precision, None).unwrap();
        let bytes = read(&case.file);
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let x = batch(&file, "x");
        let level = Schedule::Cosine.level(case.t);
        let score = machine.denoise(&x, level).unwrap().score(&x, level);
        let error = largest_difference(&score, &batch(&file, "score")) / case.score_max_abs;
        assert!(error.is_finite(), "{} is not finite", case.file);
        let entry = worst.entry(case.module.clone()).or_insert((0.0, 0, String::new()));
        entry.1 += 1;
        if error >= entry.0 {
            (entry.0, entry.2) = (error, case.file.clone());
        }
    }
    worst
}

fn check_scores(precision: Precision, bound: f64) {
    let worst = score_errors(precision);
    let modules: Vec<&str> = worst.keys().map(String::as_str).collect();
    assert_eq!(modules, ["ELS", "IS", "LS", "bbELS"], "a machine has no case");
    for (module, (error, n_cases, file)) in worst {
        println!("{precision:?} {module:6} {n_cases:3} cases, largest error {error:.2e} in {file}");
        assert!(error < bound, "{module} is off by {error:e} in {file}");
    }
}

#[test]
fn double_precision_scores_equal_the_reference() {
    check_scores(Precision::F64, BOUND_F64);
}

#[test]
fn single_precision_scores_stay_within_the_stated_bound() {
    check_scores(Precision::F32, BOUND_F32);
}

#[test]
fn trajectories_equal_the_reference() {
    let cases: Vec<Trajectory> =
        serde_json::from_slice(&read("manifest_trajectories.json")).unwrap();
    assert!(!cases.is_empty());
    for case in &cases {
        // The reference starts at step n - 1 and has a separate patch side for each t = i / n.
        let mut scales = vec![1; case.nsteps];
        for step in &case.steps {
            scales[step.i - 1] = step.k.or(case.fixed_k).unwrap_or(1);
        }
        let spec = MachineSpec::new(kind(&case.module), PatchSize::PerStep(scales));
        let images = dictionary(&case.data_file, case.n, case.label);
        let machine = Machine::new(spec, images, Precision::F64, None).unwrap();
        let bytes = read(&case.file);
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let ddim = Ddim::new(Schedule::Cosine, case.nsteps);
        let seed = batch(&file, "seed");
        let found = ddim.sample_from(case.nsteps - 1, &machine, &seed, &mut |_| Ok(())).unwrap();
        let error = largest_difference(&found, &batch(&file, "final"));
        println!("trajectory {:6} largest error {error:.2e} in {}", case.module, case.file);
        assert!(error < BOUND_F64, "{} is off by {error:e}", case.file);
    }
}
