//! The networks compared with the reference implementation's outputs, gradients and samples.
//!
//! `MOSAIC_GOLDEN_NETS=DIR` checks every case of a larger collection instead of the committed ones.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use mosaic_lab::diffusion::{Ddim, Schedule};
use mosaic_lab::image::{ImageBatch, ImageShape};
use mosaic_lab::network::network_config::{Architecture, NetworkConfig, Output, Padding, Readout};
use mosaic_lab::network::parameters::Source;
use mosaic_lab::network::{AttentionDetail, Mode, Network, NetworkDenoiser, TensorMap};

struct Case {
    name: String,
    tensors: HashMap<String, Tensor>,
    config: NetworkConfig,
}

fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/nets")
}

/// The cases, with the configuration that each name stands for.
fn cases() -> Vec<Case> {
    let folder = std::env::var_os("MOSAIC_GOLDEN_NETS").map_or_else(committed, PathBuf::from);
    let resnet = |n: usize| Architecture::ResNet { width: 16, kernels: vec![3; n] };
    let known: [(&str, Architecture, Padding, usize); 6] = [
        ("0_resnet_zeros", resnet(3), Padding::Zeros, 3),
        ("1_resnet_circular", resnet(2), Padding::Circular, 1),
        ("2_resnet_zeros_cond", resnet(2), Padding::Zeros, 3),
        ("3_resnet_zeros_gn", resnet(2), Padding::Zeros, 3),
        (
            "4_unet_zeros",
            Architecture::UNet { widths: vec![8, 16, 32], embedding: 32 },
            Padding::Zeros,
            3,
        ),
        (
            "5_unet_circular_cond",
            Architecture::UNet { widths: vec![8, 16], embedding: 16 },
            Padding::Circular,
            1,
        ),
    ];
    let mut cases = Vec::new();
    for (name, architecture, padding, last_kernel) in known {
        let path = folder.join(format!("{name}.safetensors"));
        let Ok(tensors) = candle_core::safetensors::load(&path, &Device::Cpu) else { continue };
        let (_, channels, height, width) = tensors["x"].dims4().unwrap();
        let config = NetworkConfig {
            schedule: Schedule::default(),
            image: ImageShape::new(channels, height, width),
            architecture,
            padding,
            group_norm: name.ends_with("_gn"),
            last_kernel,
            readout: Readout::Linear,
            n_classes: name.ends_with("_cond").then_some(10),
            attention: None,
            output: Output::Noise,
            time_scale: 1.0,
            clamp: false,
        };
        cases.push(Case { name: name.to_owned(), tensors, config });
    }
    assert!(cases.len() >= 4, "golden networks are missing from {}", folder.display());
    cases
}

impl Case {
    fn weights(&self) -> TensorMap {
        let weights = self.tensors.iter().filter_map(|(name, tensor)| {
            Some((name.strip_prefix("p.")?.to_owned(), tensor.clone()))
        });
        weights.collect::<BTreeMap<_, _>>()
    }

    fn network(&self, dtype: DType) -> Network {
        let weights = self.weights();
        Network::build(&self.config, Source::Stored(&weights), dtype, &Device::Cpu).unwrap()
    }

    fn values(&self, name: &str) -> Vec<f64> {
        values(&self.tensors[name])
    }

    fn labels(&self) -> Option<Vec<u32>> {
        let labels = self.tensors.get("labels")?.to_vec1::<i64>().unwrap();
        Some(labels.into_iter().map(|label| label as u32).collect())
    }

    /// Mean squared error relative to the case's target.
    fn loss(&self, network: &Network) -> Tensor {
        let target = self.tensors["target"].to_dtype(network.dtype()).unwrap();
        (self.eps(network) - target).unwrap().sqr().unwrap().mean_all().unwrap()
    }

    /// The derivative of the loss with respect to one entry of a parameter, by central differences in double
    /// precision.
    fn slope(&self, name: &str, entry: usize) -> f64 {
        let step = 1e-4;
        let moved = |by: f64| {
            let mut weights = self.weights();
            let shape = weights[name].shape().clone();
            let mut flat = values(&weights[name]);
            flat[entry] += by;
            weights.insert(name.to_owned(), Tensor::from_vec(flat, shape, &Device::Cpu).unwrap());
            let source = Source::Stored(&weights);
            let network = Network::build(&self.config, source, DType::F64, &Device::Cpu).unwrap();
            values(&self.loss(&network))[0]
        };
        (moved(step) - moved(-step)) / (2.0 * step)
    }

    fn eps(&self, network: &Network) -> Tensor {
        let x = self.tensors["x"].to_dtype(network.dtype()).unwrap();
        let (t, labels) = (self.values("t"), self.labels());
        network
            .forward(&t, &x, labels.as_deref(), Mode::Evaluate(AttentionDetail::Nothing))
            .unwrap()
            .eps
    }
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Largest difference relative to the largest expected value.
fn relative_error(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    let difference = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    difference / largest
}

#[test]
fn outputs_equal_the_reference_in_double_precision() {
    for case in cases() {
        let error =
            relative_error(&values(&case.eps(&case.network(DType::F64))), &case.values("eps"));
        println!("{}: eps, f64: {error:.1e}", case.name);
        assert!(error < 1e-12, "{}: {error:e}", case.name);
    }
}

#[test]
fn outputs_in_single_precision_are_within_rounding() {
    for case in cases() {
        let error =
            relative_error(&values(&case.eps(&case.network(DType::F32))), &case.values("eps"));
        println!("{}: eps, f32: {error:.1e}", case.name);
        assert!(error < 2e-6, "{}: {error:e}", case.name);
    }
}

#[test]
fn gradients_equal_the_reference() {
    // In single precision, gradients in front of a normalisation nearly cancel, which loses up to 1e-4.
    for (dtype, tolerance) in [(DType::F64, 1e-11), (DType::F32, 1e-3)] {
        for case in cases() {
            let network = case.network(dtype);
            let gradients = case.loss(&network).backward().unwrap();
            let mut worst = 0.0_f64;
            let mut n_compared = 0;
            for (name, parameter) in network.parameters() {
                let gradient = gradients.get(parameter).expect("every parameter has a gradient");
                let Some(expected) = case.tensors.get(&format!("g.{name}")) else { continue };
                worst = worst.max(relative_error(&values(gradient), &values(expected)));
                n_compared += 1;
            }
            let n_stored = case.tensors.keys().filter(|name| name.starts_with("g.")).count();
            assert_eq!(n_compared, n_stored, "{}: a stored gradient is of no parameter", case.name);
            println!("{}: {n_compared} gradients, {dtype:?}: {worst:.1e}", case.name);
            assert!(worst < tolerance, "{}: {worst:e}", case.name);
        }
    }
}

/// The reference files omit some gradients of large parameters.
#[test]
fn gradients_without_a_reference_are_slopes_of_the_loss() {
    let mut n_checked = 0;
    for case in cases() {
        let network = case.network(DType::F64);
        let gradients = case.loss(&network).backward().unwrap();
        for (name, parameter) in network.parameters() {
            if case.tensors.contains_key(&format!("g.{name}")) {
                continue;
            }
            let gradient =
                values(gradients.get(parameter).expect("every parameter has a gradient"));
            let largest = gradient.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
            assert!(largest > 0.0, "{}: {name} has no gradient", case.name);
            // The entry with the largest gradient, and a few others.
            let steepest = gradient.iter().position(|v| v.abs() == largest).unwrap();
            for entry in [steepest, 0, gradient.len() / 3, gradient.len() - 1] {
                let error = (case.slope(name, entry) - gradient[entry]).abs() / largest;
                assert!(error < 1e-5, "{}: {name} at {entry}: {error:e}", case.name);
            }
            n_checked += 1;
        }
    }
    println!("{n_checked} gradients against differences");
}

#[test]
fn ten_sampling_steps_equal_the_reference() {
    for (dtype, tolerance) in [(DType::F64, 1e-10), (DType::F32, 1e-3)] {
        for case in cases() {
            let Some(expected) = case.tensors.get("ddim10") else { continue };
            let mut denoiser =
                NetworkDenoiser::new(Arc::new(case.network(dtype).frozen().unwrap()));
            if let Some(labels) = case.labels() {
                denoiser = denoiser.with_labels(labels);
            }
            let seeds = ImageBatch::new(case.config.image, case.values("x"));
            let ddim = Ddim::new(Schedule::Cosine, 10);
            let samples = ddim.sample(&denoiser, &seeds, &mut |_| Ok(())).unwrap();
            let error = relative_error(samples.values(), &values(expected));
            println!("{}: ten steps, {dtype:?}: {error:.1e}", case.name);
            assert!(error < tolerance, "{}: {error:e}", case.name);
        }
    }
}
