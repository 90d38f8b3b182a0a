//! Training steps with TensorFloat-32 kernels and bfloat16 hidden layers, compared with single precision.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;

use candle_core::{DType, Device, Tensor};
use mosaic_lab::dataset::Batches;
use mosaic_lab::diffusion::Schedule;
use mosaic_lab::image::ImageShape;
use mosaic_lab::network::TensorMap;
use mosaic_lab::network::gpu::command_plan::{Command, Launch, Plan};
use mosaic_lab::network::gpu::compute_type::{ComputeType, Storage};
use mosaic_lab::network::network_config::{
    Architecture, AttentionConfig, AttentionVariant, NetworkConfig, Padding,
};
use mosaic_lab::training::checkpoint_settings::DecidingSettings;
use mosaic_lab::training::gpu_commands::GpuStep;
use mosaic_lab::training::loss::noisy_batch;
use mosaic_lab::training::trainer::Trainer;
use mosaic_lab::training::training_config::TrainingConfig;
use rand::RngExt;

use crate::gpu::compiled;
use crate::random;
use crate::steps::{Emulated, attentions, images, network, program, resnet, training};

/// Results of a step, in the networks' layout.
struct Found {
    errors: Vec<f32>,
    gradients: BTreeMap<String, Vec<f32>>,
}

fn found(
    network: &NetworkConfig,
    config: &TrainingConfig,
    (piece, rounds): (usize, bool),
    weights: &TensorMap,
) -> Found {
    let mut step = GpuStep::new(config, network, piece).unwrap();
    step.plan.check(&step.gradients).unwrap();
    assert_eq!(step.plan.has_bf16(), config.compute_type == ComputeType::Bf16);
    if !rounds {
        step.plan.buffers.iter_mut().for_each(|buffer| buffer.storage = Storage::F32);
    }
    let program = if rounds { program() } else { unrounded() }.unwrap();
    let mut gpu = Emulated::new(program, &step.plan, f32::NAN);
    for kept in [step.kept.gradients, step.kept.parameters] {
        gpu.buffers[kept.buffer].fill(0.0);
    }
    let mut random = random(5);
    for parameter in &step.parameters {
        let values = weights[&parameter.name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
        // Networks are initialised with some zeros, which would hide everything behind them.
        let values: Vec<f32> =
            values.into_iter().map(|value| value + random.random_range(-0.1..0.1_f32)).collect();
        parameter.to_gpu(&values, &mut gpu.buffers[step.kept.parameters.buffer]);
    }
    let dataset = images(network.image);
    let mut order = Batches::new(dataset.len(), config.batch, config.seed);
    let drawn = noisy_batch(&dataset, &mut order, config, Schedule::default(), 0);
    for number in 0..step.n_pieces() {
        step.fill(&drawn, number, config.learning_rate, &mut gpu.buffers[step.inputs.x.buffer]);
        gpu.run(&step.gradients);
    }
    let all = &gpu.buffers[step.kept.gradients.buffer];
    let gradients = step.parameters.iter().map(|of| (of.name.clone(), of.to_network(all)));
    let errors = gpu.buffers[step.kept.report.buffer][..config.batch].to_vec();
    Found { errors, gradients: gradients.collect() }
}

fn length(values: impl Iterator<Item = f32>) -> f64 {
    values.map(|value| f64::from(value).powi(2)).sum::<f64>().sqrt()
}

/// The kernels without rounding of factors.
fn unrounded() -> Option<PathBuf> {
    static DONE: OnceLock<Option<PathBuf>> = OnceLock::new();
    DONE.get_or_init(|| compiled("layers.c", "unrounded", &["-DUNROUNDED".to_owned()])).clone()
}

fn check(network: &NetworkConfig, config: &TrainingConfig, piece: usize) {
    if program().is_none() {
        return;
    }
    let dataset = images(network.image);
    let trainer =
        Trainer::new(config.clone(), network, dataset, DecidingSettings::default(), &Device::Cpu)
            .unwrap();
    let weights = trainer.contents().unwrap().weights;
    let run = |compute_type, rounds| {
        let config = TrainingConfig { compute_type, ..config.clone() };
        found(network, &config, (piece, rounds), &weights)
    };
    let exact = run(ComputeType::F32, false);
    // The same commands without rounding, which must make no difference, and then with it.
    let label = format!("{network:?}");
    compare(&exact, &run(ComputeType::Bf16, false), 1e-4, &label);
    let worst = compare(&exact, &run(ComputeType::Bf16, true), 0.3, &label);
    assert!(worst > 1e-4, "{label}: nothing was rounded");
    compare(&exact, &run(ComputeType::Tf32, false), 1e-4, &label);
    compare(&exact, &run(ComputeType::Tf32, true), 1e-2, &label);
}

/// Returns the largest relative distance between a parameter's gradients. Asserts that errors and gradients
/// differ by at most `limit`, with some slack for parameters of negligible gradient.
fn compare(exact: &Found, rounded: &Found, limit: f64, label: &str) -> f64 {
    for (a, b) in exact.errors.iter().zip(&rounded.errors) {
        let apart = f64::from((a / b - 1.0).abs());
        assert!(apart < limit.min(1e-2), "{label}: an error of {b}, not {a}");
    }
    let norm = length(exact.gradients.values().flatten().copied());
    let (mut worst, mut total) = (0.0_f64, 0.0);
    for (name, exact) in &exact.gradients {
        let differences = exact.iter().zip(&rounded.gradients[name]).map(|(a, b)| a - b);
        let (apart, long) = (length(differences), length(exact.iter().copied()));
        // Some gradients are only the rounding errors of sums that cancel.
        let is_near = apart < limit * (long + 1e-3 * norm) + 1e-6 * norm;
        assert!(is_near, "{label}: {name} differs by {apart:e} of {long:e}");
        if long > 1e-6 * norm {
            worst = worst.max(apart / long);
        }
        total += apart.powi(2);
    }
    assert!(total.sqrt() < limit / 3.0 * norm, "{label}: {total:e} of {norm:e}");
    worst
}

#[test]
fn convolutions_keep_their_gradients() {
    for padding in [Padding::Circular, Padding::Zeros] {
        for group_norm in [false, true] {
            check(&NetworkConfig { padding, group_norm, ..network(resnet()) }, &training(4), 2);
        }
    }
    for (image, group_norm) in
        [(ImageShape::new(3, 8, 16), false), (ImageShape::new(1, 16, 8), true)]
    {
        let architecture = Architecture::UNet { widths: vec![16, 32, 64], embedding: 16 };
        check(&NetworkConfig { image, group_norm, ..network(architecture) }, &training(3), 3);
    }
}

#[test]
fn attention_keeps_its_gradients() {
    for network in attentions() {
        check(&network, &training(4), 4);
    }
}

#[test]
fn heads_of_every_width_over_several_tiles_keep_their_gradients() {
    let image = ImageShape::new(1, 9, 15);
    for (heads, head_width) in [(2, 8), (2, 12), (1, 24), (1, 40), (2, 64)] {
        let attention = AttentionConfig {
            variant: AttentionVariant::Softmax,
            heads,
            head_width,
            normalise: true,
        };
        let attention = Some(attention);
        let network = NetworkConfig { attention, image, last_kernel: 1, ..network(resnet()) };
        let step = GpuStep::new(
            &TrainingConfig { compute_type: ComputeType::Tf32, ..training(2) },
            &network,
            1,
        );
        let is_fused = |command: &Command| matches!(command, Command::Launch(launch) if launch.kernel.starts_with("attend_"));
        assert_eq!(step.unwrap().gradients.iter().filter(|command| is_fused(command)).count(), 3);
        check(&network, &training(2), 1);
    }
}

#[test]
fn values_are_rounded_to_the_nearest_bfloat16() {
    let Some(program) = program() else { return };
    // Half the spacing of bfloat16 numbers just above 1.
    let half = f32::powi(2.0, -8);
    let mut values: Vec<f32> = vec![
        0.0,
        -0.0,
        1.0,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        f32::MAX,
        f32::MIN_POSITIVE,
        // Half way between two numbers: rounds to even; slightly above: rounds up.
        1.0 + half,
        1.0 + 3.0 * half,
        1.0 + half + 1e-7,
        -1.0 - half,
    ];
    let mut random = random(6);
    values.extend((0..244).map(|_| f32::from_bits(random.random())));
    let (n, mut plan) = (values.len(), Plan::default());
    let places = [
        plan.buffer(n),
        plan.buffer_of(n, Storage::Bf16),
        plan.buffer_of(n, Storage::Bf16),
        plan.buffer(n),
        plan.buffer(n),
    ];
    let launch = |kernel, buffers, numbers| {
        let (blocks, shared, reals) = ([1, 1], 0, vec![]);
        Command::Launch(Launch { kernel, blocks, threads: 64, shared, buffers, numbers, reals })
    };
    let copy = |from: usize, to: usize| {
        launch("columns", vec![places[from], places[to]], vec![1, n, n, 0, n, 0, 0])
    };
    // Four at a time, without an addend.
    let pad = |from: usize, to: usize| {
        launch("pad", vec![places[from], places[0], places[to]], vec![1, n / 8, 8, 0, 0, 0])
    };
    let commands = [copy(0, 1), pad(0, 2), copy(1, 3), pad(2, 4)];
    plan.check(&commands).unwrap();
    let mut gpu = Emulated::new(program, &plan, 0.0);
    gpu.buffers[0].clone_from(&values);
    gpu.run(&commands);
    let expected = Tensor::new(values, &Device::Cpu).unwrap().to_dtype(DType::BF16).unwrap();
    let expected = expected.to_dtype(DType::F32).unwrap().to_vec1::<f32>().unwrap();
    for found in &gpu.buffers[3..] {
        for (a, b) in expected.iter().zip(found) {
            assert!(a == b || (a.is_nan() && b.is_nan()), "{a} {b}");
        }
    }
}
