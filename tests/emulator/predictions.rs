//! Forward passes for sampling on an emulated GPU, compared with the networks on the CPU.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use mosaic_lab::image::ImageShape;
use mosaic_lab::network::gpu::sampling_commands::GpuForward;
use mosaic_lab::network::network_config::{
    Architecture, AttentionVariant, NetworkConfig, Output, Padding,
};
use mosaic_lab::network::ops::attention_statistics::N_FIGURES;
use mosaic_lab::network::{AttentionDetail, Network};
use mosaic_lab::random::noise_seeds;

use crate::steps::{Emulated, attention, network, program, resnet};

const T: f64 = 0.4;

fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_close(found: &[f32], expected: &[f64], label: &str) {
    assert_eq!(found.len(), expected.len(), "{label}");
    let scale = expected.iter().fold(1.0_f64, |m, v| m.max(v.abs()));
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((f64::from(*a) - b).abs() < 1e-5 * scale, "{label}, value {i}: {a} {b}");
    }
}

/// Runs three images in a pass sized for four.
fn check(config: &NetworkConfig, detail: AttentionDetail) {
    let Some(program) = program() else { return };
    let label = format!("{config:?}, {detail:?}");
    let network = Network::new(config, 7, &Device::Cpu).unwrap().frozen().unwrap();
    let forward = GpuForward::new(config, 4, detail).unwrap();
    let mut gpu = Emulated::new(program, &forward.plan, f32::NAN);
    forward.plan.check(&forward.commands).unwrap();
    let weights = &mut gpu.buffers[forward.weights.buffer];
    weights.fill(0.0);
    let named: BTreeMap<&str, &Tensor> =
        network.parameters().iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    for parameter in &forward.parameters {
        let values = named[parameter.name.as_str()].flatten_all().unwrap().to_vec1().unwrap();
        parameter.to_gpu(&values, weights);
    }
    let labels = config.n_classes.map(|_| vec![2, 0, 1]);
    // Twice, to check that nothing of the first images remains.
    for seed in [5, 0] {
        let x = noise_seeds(3, seed, 3, config.image);
        let expected = network.predict(T, x.values(), labels.as_deref(), detail).unwrap();
        let x: Vec<f32> = x.values().iter().map(|&x| x as f32).collect();
        let inputs = &mut gpu.buffers[forward.inputs.x.buffer];
        forward.fill(T, &x, labels.as_deref(), inputs);
        gpu.run(&forward.commands);
        let output = &gpu.buffers[forward.output.buffer][forward.output.first..];
        let eps = forward.eps(T, &x, &output[..forward.n_output]);
        let eps: Vec<f32> = eps.into_iter().map(|eps| eps as f32).collect();
        assert_close(&eps, &flat(&expected.eps), &label);
        let Some(watch) = &forward.watch else { continue };
        let n = config.image.n_pixels();
        let rows = 3 * config.attention.unwrap().heads * n;
        if let Some(maps) = watch.maps {
            let found = &gpu.buffers[maps.buffer][..rows * n];
            assert_close(found, &flat(&expected.record.maps.unwrap()), &label);
        }
        let detail = AttentionDetail::Statistics;
        let x: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        let expected = network.predict(T, &x, labels.as_deref(), detail).unwrap();
        let found = &gpu.buffers[watch.figures.buffer][..rows * N_FIGURES];
        assert_close(found, &flat(&expected.record.figures.unwrap()), &label);
    }
}

#[test]
fn convolutional_networks_predict_what_they_do_on_the_cpu() {
    let unet = || Architecture::UNet { widths: vec![8, 16, 24], embedding: 16 };
    for (body, image) in [(resnet(), ImageShape::new(3, 5, 6)), (unet(), ImageShape::new(1, 8, 4))]
    {
        for group_norm in [false, true] {
            let output = if group_norm { Output::Noise } else { Output::Velocity };
            let n_classes = group_norm.then_some(3);
            let own =
                NetworkConfig { image, group_norm, output, n_classes, ..network(body.clone()) };
            check(&own, AttentionDetail::Nothing);
        }
    }
}

#[test]
fn attention_is_seen_as_it_is_on_the_cpu() {
    for (padding, detail) in [
        (Padding::Circular, AttentionDetail::Statistics),
        (Padding::Circular, AttentionDetail::Maps),
        (Padding::Zeros, AttentionDetail::Statistics),
        (Padding::Zeros, AttentionDetail::Nothing),
    ] {
        let attention = attention(AttentionVariant::Softmax, true);
        let image = ImageShape::new(1, 5, 6);
        check(&NetworkConfig { attention, padding, image, ..network(resnet()) }, detail);
    }
    for variant in [AttentionVariant::Uniform, AttentionVariant::Identity] {
        let attention = attention(variant, false);
        check(&NetworkConfig { attention, ..network(resnet()) }, AttentionDetail::Statistics);
    }
}
