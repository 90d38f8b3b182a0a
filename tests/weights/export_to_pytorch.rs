//! What `mosaic export --weights` writes gives the same samples in the PyTorch module of examples/pytorch.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Device;
use mosaic_lab::config::Experiment;
use mosaic_lab::image::ImageShape;
use mosaic_lab::network::{Network, TensorMap};
use mosaic_lab::weights::exported_weights::{ExportedHeader, to_bytes};

use super::common::Lab;
use super::{drawn_set, has_pytorch, python, refusal, relative_error, succeed, tensors};

/// Networks that together have every layer and every way of computing it.
const NETWORKS: [(&str, &[&str]); 6] = [
    ("softmax", &["network.kernels=3,1", "network.readout=relu"]),
    (
        "top1",
        &[
            "network.attention=top1",
            "network.padding=zeros",
            "network.normalise=false",
            "diffusion.schedule=edm",
        ],
    ),
    (
        "uniform",
        &["network.attention=uniform", "network.group_norm=true", "network.conditional=true"],
    ),
    (
        "identity",
        &[
            "network.attention=identity",
            "network.output=noise",
            "network.last_kernel=3",
            "network.time_scale=1",
        ],
    ),
    (
        "unet",
        &[
            "network.architecture=unet",
            "network.widths=8,16",
            "network.embedding=16",
            "network.conditional=true",
            "network.group_norm=true",
        ],
    ),
    (
        "unet-plain",
        &[
            "network.architecture=unet",
            "network.widths=4,6,8",
            "network.embedding=8",
            "network.attention=none",
            "network.padding=zeros",
            "network.clamp=false",
            "diffusion.schedule=ddpm-linear",
        ],
    ),
];

fn experiment(changes: &[&str]) -> Experiment {
    let mut experiment = Experiment::default();
    for pair in ["network.width=16", "network.head_width=3", "diffusion.sampling_steps=4"] {
        experiment.set_pair(pair).unwrap();
    }
    changes.iter().for_each(|pair| experiment.set_pair(pair).unwrap());
    experiment
}

/// A file of weights as mosaic exports them, of a network that was not trained.
fn untrained(changes: &[&str], seed: u64) -> (ExportedHeader, TensorMap) {
    let experiment = experiment(changes);
    let classes = experiment.network.conditional.then_some(3);
    let config = experiment.network_config(ImageShape::new(1, 8, 8), Some(3)).unwrap();
    let network = Network::new(&config, seed, &Device::Cpu).unwrap();
    let weights = network.parameters().iter().map(|(name, t)| (name.clone(), t.detach()));
    let settings: BTreeMap<String, serde_json::Value> = experiment
        .entries()
        .into_iter()
        .filter(|entry| {
            entry.key.starts_with("network.")
                || ["diffusion.sampling_steps", "diffusion.schedule"].contains(&entry.key)
        })
        .map(|entry| (entry.key.to_owned(), entry.value.into()))
        .collect();
    (ExportedHeader::new("a-run", 7, "averaged", [1, 8, 8], classes, settings), weights.collect())
}

/// Imports such a file and returns the run's name.
fn import(lab: &Lab, name: &str, file: &[u8]) -> String {
    let path = lab.place.path().join(format!("{name}.in.safetensors"));
    std::fs::write(&path, file).unwrap();
    let data = drawn_set(lab, 8);
    let data: Vec<&str> = data.iter().map(String::as_str).collect();
    succeed(lab, &[&["import", path.to_str().unwrap()], &data[..]].concat()).0
}

#[test]
fn exported_weights_are_those_that_were_imported() {
    let lab = Lab::new();
    for (number, (name, changes)) in NETWORKS.into_iter().enumerate() {
        let (header, weights) = untrained(changes, number as u64);
        let run = import(&lab, name, &to_bytes(&weights, &header).unwrap());
        let out = lab.place.path().join("out.safetensors");
        let (_, told) = succeed(&lab, &["export", &run, "--weights", out.to_str().unwrap()]);
        assert!(told.contains("averaged weights of step 0"), "{told}");
        let found = tensors(&out);
        let values = |t: &candle_core::Tensor| -> Vec<f64> {
            let flat: Vec<f32> = t.flatten_all().unwrap().to_vec1().unwrap();
            flat.into_iter().map(f64::from).collect()
        };
        let expected = weights.iter().map(|(name, t)| (name.clone(), values(t))).collect();
        assert_eq!(found, expected, "{name}");
        // Again, from the file with its metadata in JSON's own types.
        let again = import(&lab, &format!("{name}-again"), &std::fs::read(&out).unwrap());
        let settings = |run: &str| {
            let path = lab.runs().join(run).join("run.toml");
            let text = std::fs::read_to_string(path).unwrap();
            text.lines()
                .filter(|line| line.starts_with("network."))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(settings(&run), settings(&again), "{name}");
    }
}

/// The files that belong to one network of [`NETWORKS`].
fn path(lab: &Lab, name: &str, what: &str) -> String {
    lab.place.path().join(format!("{name}.{what}.safetensors")).to_str().unwrap().to_owned()
}

#[test]
fn pytorch_gives_the_samples_and_estimates_that_mosaic_gives() {
    if !has_pytorch("exported weights in PyTorch") {
        return;
    }
    let lab = Lab::new();
    let mut calls = Vec::new();
    for (number, (name, changes)) in NETWORKS.into_iter().enumerate() {
        let (header, weights) = untrained(changes, number as u64);
        let run = import(&lab, name, &to_bytes(&weights, &header).unwrap());
        let file = |what: &str| path(&lab, name, what);
        succeed(&lab, &["export", &run, "--weights", &file("weights")]);
        succeed(&lab, &["sample", &run, "--seeds", "1..4", "--out", &file("samples")]);
        let x = [("x", safetensors::Dtype::F64, vec![2, 1, 8, 8])].map(|(name, dtype, shape)| {
            let bytes: Vec<u8> =
                (0..128).flat_map(|i| (f64::from(i) * 0.7).sin().to_le_bytes()).collect();
            (name.to_owned(), dtype, shape, bytes)
        });
        let x = mosaic_lab::arrays::safetensors_file::to_bytes(&x, None).unwrap();
        std::fs::write(file("x"), x).unwrap();
        let label: &[&str] = if header.n_classes.is_some() { &["--label", "2"] } else { &[] };
        let (input, output) = (file("x"), file("estimates"));
        let question =
            ["denoise", "--run", &run, "--t", "0.6", "--input", &input, "--output", &output];
        succeed(&lab, &[&question[..], label].concat());
        calls.push(vec![file("weights"), file("samples"), file("samples-there")]);
        let label = label.iter().map(|&word| word.to_owned());
        let more = ["--t".to_owned(), "0.6".to_owned()].into_iter().chain(label);
        calls.push(
            [file("weights"), input, file("estimates-there")].into_iter().chain(more).collect(),
        );
    }
    // One interpreter for all, because PyTorch takes seconds to import.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/pytorch");
    let script = format!(
        "import sys\nsys.path.insert(0, {folder:?})\nimport load_mosaic_weights\nfor call in {calls:?}:\n    sys.argv = \
         ['load_mosaic_weights.py'] + call\n    load_mosaic_weights.main()\n"
    );
    python(&["-c", &script]);
    for (name, changes) in NETWORKS {
        let read = |what: &str| tensors(Path::new(&path(&lab, name, what)));
        let error = relative_error(&read("samples-there")["samples"], &read("samples")["samples"]);
        // Samples are computed in single precision. Predicted noise is divided by sqrt(abar(1)) = .0125, which makes its
        // rounding errors 80 times as large.
        let tolerance = if changes.contains(&"network.output=noise") { 1e-3 } else { 1e-5 };
        assert!(error < tolerance, "samples of {name}: {error:e}");
        let (theirs, ours) = (read("estimates-there"), read("estimates"));
        for tensor in ["x0", "eps"] {
            let error = relative_error(&theirs[tensor], &ours[tensor]);
            assert!(error < 1e-9, "{tensor} of {name}: {error:e}");
        }
    }
}

#[test]
fn what_cannot_be_exported_or_does_not_fit_is_told() {
    let lab = Lab::new();
    let (header, mut weights) = untrained(NETWORKS[0].1, 0);
    let whole = to_bytes(&weights, &header).unwrap();
    let run = import(&lab, "whole", &whole);
    let error = refusal(&lab, &["export", &run, "--weights", "w.safetensors", "--step", "9"]);
    assert!(error.contains("no checkpoint of step 9; it has those of 0"), "{error}");
    assert!(refusal(&lab, &["export", &run]).contains("--weights"));
    // All that is wrong is listed.
    let bias = weights.remove("attention.q.bias").unwrap();
    weights.insert("attention.extra".to_owned(), bias.clone());
    weights.insert("readout.bias".to_owned(), bias.narrow(0, 0, 2).unwrap());
    let path = lab.place.path().join("odd.safetensors");
    std::fs::write(&path, to_bytes(&weights, &header).unwrap()).unwrap();
    let data = drawn_set(&lab, 8);
    let data: Vec<&str> = data.iter().map(String::as_str).collect();
    let error = refusal(&lab, &[&["import", path.to_str().unwrap()], &data[..]].concat());
    for expected in [
        "'attention.q.bias' [6] is missing",
        "'attention.extra' [6] belongs to nothing in this network",
        "'readout.bias' has shape [2], not [16]",
    ] {
        assert!(error.contains(expected), "{error}");
    }
    // Without metadata, an attention layer's heads are unknown.
    let (_, weights) = untrained(NETWORKS[0].1, 0);
    std::fs::write(&path, safetensors::serialize(weights.iter(), None).unwrap()).unwrap();
    let bare = ["import", path.to_str().unwrap(), "--set", "network.padding=circular"];
    let error = refusal(&lab, &[&bare[..], &data[..]].concat());
    assert!(
        error.contains("do not tell network.attention, network.heads, network.normalise"),
        "{error}"
    );
    let heads = ["attention=softmax", "heads=2", "normalise=true"].map(|s| format!("network.{s}"));
    let heads: Vec<&str> = heads.iter().flat_map(|pair| ["--set", pair.as_str()]).collect();
    succeed(&lab, &[&bare[..], &data[..], &heads[..]].concat());
}
