//! `mosaic denoise`, tested with the real binary, from files to files.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

/// A folder with images (3 of 1x4x4, labels 0 1 1), an input of 2 and uniform attention.
struct Bench {
    folder: tempfile::TempDir,
}

fn floats(values: impl IntoIterator<Item = f64>) -> Vec<u8> {
    values.into_iter().flat_map(f64::to_le_bytes).collect()
}

fn save(path: &Path, tensors: &[(&str, Dtype, &[usize], Vec<u8>)]) {
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| {
            (*name, TensorView::new(*dtype, shape.to_vec(), bytes).unwrap())
        })
        .collect::<Vec<_>>();
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

fn read(path: &Path, name: &str) -> (Dtype, Vec<usize>, Vec<u8>) {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = file.tensor(name).unwrap();
    (tensor.dtype(), tensor.shape().to_vec(), tensor.data().to_vec())
}

fn doubles(path: &Path, name: &str) -> Vec<f64> {
    let (dtype, _, bytes) = read(path, name);
    assert_eq!(dtype, Dtype::F64);
    bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect()
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pixels: Vec<u8> = (0..48_u32).map(|i| (i * 37 % 256) as u8).collect();
        let labels = [0_i64, 1, 1].iter().flat_map(|label| label.to_le_bytes()).collect();
        let x = floats((0..32).map(|i| (f64::from(i) * 0.7).sin()));
        let maps = floats(vec![1.0 / 16.0; 256]);
        let bench = Self { folder };
        save(
            &bench.path("images"),
            &[("images", Dtype::U8, &[3, 1, 4, 4], pixels), ("labels", Dtype::I64, &[3], labels)],
        );
        save(&bench.path("x"), &[("x", Dtype::F64, &[2, 1, 4, 4], x)]);
        save(&bench.path("maps"), &[("attention", Dtype::F64, &[16, 16], maps)]);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.safetensors"))
    }

    fn run(&self, machine: &str, more: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mosaic"));
        command.current_dir(self.folder.path()).args(["denoise", "--machine", machine]);
        for (flag, value) in [
            ("--images", "images.safetensors"),
            ("--input", "x.safetensors"),
            ("--output", "out.safetensors"),
            ("--t", "0.5"),
            ("--k", "3"),
        ] {
            if !more.contains(&flag) {
                command.args([flag, value]);
            }
        }
        command.args(more).output().unwrap()
    }

    fn succeed(&self, machine: &str, more: &[&str]) {
        let output = self.run(machine, more);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn refuse(&self, machine: &str, more: &[&str], expected: &str) {
        let output = self.run(machine, more);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{machine} {more:?} was accepted");
        assert!(message.contains(expected), "'{message}' lacks '{expected}'");
        assert!(!self.path("out").exists(), "a refused run left an output");
    }
}

#[test]
fn every_machine_writes_consistent_tensors() {
    let bench = Bench::new();
    let sigma2 = 1.0 - (std::f64::consts::FRAC_PI_2 * 0.5 / 1.008).cos().powi(2);
    for machine in [
        "ideal",
        "nearest",
        "smoothed",
        "subset",
        "es",
        "ls",
        "els",
        "els-interior",
        "bbels",
        "ls-wiener",
        "pspc",
        "wiener",
        "wiener-circulant",
        "attention",
    ] {
        bench.succeed(machine, &[]);
        let out = bench.path("out");
        let (x, x0) = (doubles(&bench.path("x"), "x"), doubles(&out, "x0"));
        let (eps, score) = (doubles(&out, "eps"), doubles(&out, "score"));
        for at in 0..32 {
            let rebuilt = (1.0 - sigma2).sqrt() * x0[at] + sigma2.sqrt() * eps[at];
            assert!((rebuilt - x[at]).abs() < 1e-12, "{machine}");
            assert!((score[at] + eps[at] / sigma2.sqrt()).abs() < 1e-12, "{machine}");
        }
    }
}

#[test]
fn the_posterior_and_the_type_are_as_asked() {
    let bench = Bench::new();
    bench.succeed("els", &["--posterior", "--dtype", "f32", "--label", "1"]);
    let out = bench.path("out");
    assert_eq!(read(&out, "x0").0, Dtype::F32);
    let (dtype, shape, _) = read(&out, "entropy");
    assert_eq!((dtype, shape), (Dtype::F32, vec![2, 4, 4]));
    let (dtype, shape, bytes) = read(&out, "provenance");
    assert_eq!((dtype, shape), (Dtype::I64, vec![2, 4, 4, 3]));
    let places: Vec<i64> = bytes.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect();
    // Label 1 selects images 1 and 2, which keep their indices.
    assert!(places.chunks(3).all(|p| (1..3).contains(&p[0]) && p[1] < 4 && p[2] < 4));
}

/// Numbers of an i64 tensor.
fn integers(path: &Path, name: &str) -> Vec<i64> {
    let (dtype, _, bytes) = read(path, name);
    assert_eq!(dtype, Dtype::I64);
    bytes.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect()
}

#[test]
fn mirrored_copies_are_compared_with_and_named() {
    let bench = Bench::new();
    // The input is a mirrored training image and the image itself, nearly without noise.
    let pixels: Vec<u8> = (0..48_u32).map(|i| (i * 37 % 256) as u8).collect();
    let value = |p: usize| f64::from(pixels[32 + p]) / 127.5 - 1.0;
    let mirrored = (0..16).map(|p| value(p / 4 * 4 + 3 - p % 4));
    let x = floats(mirrored.chain((0..16).map(value)));
    save(&bench.path("x"), &[("x", Dtype::F64, &[2, 1, 4, 4], x)]);
    bench.succeed("els", &["--t", "0.01", "--augment", "flip", "--posterior"]);
    let out = bench.path("out");
    assert_eq!(read(&out, "symmetry").1, [2, 4, 4]);
    let symmetries = integers(&out, "symmetry");
    assert_eq!(symmetries, [[1; 16], [0; 16]].concat());
    let expected = (0..16).flat_map(|p| [2, p / 4, 3 - p % 4]);
    let expected: Vec<i64> = expected.chain((0..16).flat_map(|p| [2, p / 4, p % 4])).collect();
    assert_eq!(integers(&out, "provenance"), expected);
    bench.succeed("els", &["--posterior"]);
    let bytes = std::fs::read(&out).unwrap();
    assert!(SafeTensors::deserialize(&bytes).unwrap().tensor("symmetry").is_err());
}

#[test]
fn a_gaussian_window_changes_patch_machines_alone() {
    let bench = Bench::new();
    let estimate = |machine, more: &[&str]| {
        bench.succeed(machine, more);
        doubles(&bench.path("out"), "x0")
    };
    let square = estimate("els", &[]);
    assert_eq!(estimate("els", &["--window", "square"]), square);
    assert_ne!(estimate("els", &["--window", "gaussian"]), square);
    let wide = estimate("els", &["--window", "gaussian", "--window-width", "1e6"]);
    assert!(wide.iter().zip(&square).all(|(a, b)| (a - b).abs() < 1e-9));
    std::fs::remove_file(bench.path("out")).unwrap();
    bench.refuse("ideal", &["--window", "gaussian"], "not for 'ideal'");
    bench.refuse("els", &["--window-width", "2"], "--window gaussian");
    bench.refuse("els", &["--window", "gaussian", "--window-width", "0"], "above 0");
    bench.refuse("els", &["--window", "round"], "square, gaussian");
    bench.refuse("els", &["--augment", "turn"], "none, flip, dihedral");
}

#[test]
fn given_uniform_maps_equal_the_uniform_source() {
    let bench = Bench::new();
    let settings = ["--lambda", "2", "--gamma", "0.3"];
    bench.succeed("attention", &[&settings[..], &["--attention", "maps.safetensors"]].concat());
    let given = doubles(&bench.path("out"), "x0");
    bench.succeed("attention", &[&settings[..], &["--attention-source", "uniform"]].concat());
    for (a, b) in given.iter().zip(doubles(&bench.path("out"), "x0")) {
        assert!((a - b).abs() < 1e-12);
    }
}

#[test]
fn bad_arguments_are_refused_in_words() {
    let bench = Bench::new();
    bench.refuse("elss", &[], "did you mean 'els'?");
    bench.refuse("els", &["--k", "4"], "k = '4'");
    bench.refuse("els-interior", &["--k", "5"], "use k up to 3");
    bench.refuse("els", &["--t", "0"], "--t '0' is out of range");
    bench.refuse("els", &["--t", "1.5"], "--t '1.5' is out of range");
    bench.refuse("els", &["--label", "7"], "labels present are 0, 1");
    bench.refuse("els", &["--lambda", "1"], "--lambda is for the machine 'attention'");
    bench.refuse("attention", &["--gamma", "2"], "gamma is '2'");
    bench.refuse("attention", &["--tau", "0"], "tau is '0'");
    bench.refuse("attention", &["--attention-source", "measured"], "--attention");
    bench.refuse("attention", &["--attention-source", "simlarity"], "did you mean 'similarity'?");
    bench.refuse("ideal", &["--smoothing", "1"], "--smoothing is for the machine 'smoothed'");
    bench.refuse("smoothed", &["--subset", "0.5"], "--subset is for the machine 'subset'");
    bench.refuse("smoothed", &["--smoothing-samples", "0"], "must be at least 1");
    bench.refuse("smoothed", &["--posterior"], "no posterior over patches");
    bench.refuse("wiener", &["--posterior"], "no posterior over patches");
    bench.refuse("wiener-circulant", &["--posterior"], "no posterior over patches");
    bench.refuse("els", &["--output", "absent/out.safetensors"], "cannot write the output");
}

#[test]
fn bad_files_are_refused_in_words() {
    let bench = Bench::new();
    let with = |flag, name: &str, expected: &str| {
        let file = format!("{name}.safetensors");
        bench.refuse("attention", &[flag, file.as_str()], expected);
    };
    with("--images", "absent", "cannot use 'absent.safetensors' as training images");
    std::fs::write(bench.path("junk"), b"not tensors").unwrap();
    with("--input", "junk", "cannot use 'junk.safetensors' as input");
    with("--input", "images", "no tensor 'x'");
    save(&bench.path("flat"), &[("x", Dtype::F64, &[16], floats(vec![0.0; 16]))]);
    with("--input", "flat", "[count,channels,height,width]");
    save(&bench.path("whole"), &[("x", Dtype::I64, &[1, 1, 4, 4], vec![0; 128])]);
    with("--input", "whole", "give it as F32 or F64");
    save(&bench.path("wide"), &[("x", Dtype::F64, &[1, 1, 4, 5], floats(vec![0.0; 20]))]);
    with("--input", "wide", "1x4x5");
    save(&bench.path("nan"), &[("x", Dtype::F64, &[1, 1, 4, 4], floats(vec![f64::NAN; 16]))]);
    with("--input", "nan", "'NaN', which is not a finite number");
    save(&bench.path("none"), &[("images", Dtype::U8, &[0, 1, 4, 4], vec![])]);
    with("--images", "none", "holds no training image");
    save(&bench.path("rows"), &[("attention", Dtype::F64, &[16, 16], floats(vec![0.1; 256]))]);
    with("--attention", "rows", "row 0 of the attention maps sums to");
    save(&bench.path("small"), &[("attention", Dtype::F64, &[4, 4], floats(vec![0.25; 16]))]);
    with("--attention", "small", "[16,16]");
}

#[test]
fn files_that_are_no_safetensors_are_called_by_their_names() {
    let bench = Bench::new();
    let whole = std::fs::read(bench.path("images")).unwrap();
    for (bytes, expected) in [
        (&b""[..], "an empty file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git-lfs pointer"),
        (b"PK\x03\x04\0\0\x08\x08\0\0archive/data.pkl", "PyTorch"),
        (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M", "Python pickle"),
        (b"\x93NUMPY\x01\0v\0", "NumPy"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"<!DOCTYPE html>", "HTML page"),
        (&whole[..whole.len() - 4], "truncated or damaged"),
        (&whole[..40], "truncated or damaged"),
    ] {
        std::fs::write(bench.path("wrong"), bytes).unwrap();
        for flag in ["--images", "--input", "--attention"] {
            bench.refuse("attention", &[flag, "wrong.safetensors"], expected);
        }
    }
    save(&bench.path("none"), &[]);
    bench.refuse("ideal", &["--images", "none.safetensors"], "holds no tensors");
    save(&bench.path("half"), &[("images", Dtype::BF16, &[3, 1, 4, 4], vec![0; 96])]);
    bench.refuse("ideal", &["--images", "half.safetensors"], "holds 'BF16'");
    save(
        &bench.path("infinite"),
        &[("x", Dtype::F64, &[1, 1, 4, 4], floats(vec![f64::INFINITY; 16]))],
    );
    bench.refuse("ideal", &["--input", "infinite.safetensors"], "finite");
    let labels = vec![0; 3];
    save(
        &bench.path("column"),
        &[
            ("images", Dtype::U8, &[3, 1, 4, 4], vec![5; 48]),
            ("labels", Dtype::U8, &[3, 1], labels),
        ],
    );
    bench.refuse("ideal", &["--images", "column.safetensors"], "[count] is needed");
}

#[test]
fn values_in_another_range_than_the_documented_one_are_warned_about() {
    let bench = Bench::new();
    let warned = |values: Vec<f64>| {
        save(&bench.path("range"), &[("images", Dtype::F64, &[3, 1, 4, 4], floats(values))]);
        let output = bench.run("ideal", &["--images", "range.safetensors"]);
        assert!(output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let ramp = |low: f64, high: f64| (0..48).map(move |i| low + (high - low) * f64::from(i) / 47.0);
    assert!(warned(ramp(0.0, 255.0).collect()).contains("[0, 255], but in [-1, 1] is expected"));
    assert!(warned(ramp(0.0, 1.0).collect()).contains("2 v - 1"));
    assert!(warned(ramp(-2.0, 2.5).collect()).contains("mean and variance"));
    assert_eq!(warned(ramp(-1.000_000_1, 1.004).collect()), "");
}
