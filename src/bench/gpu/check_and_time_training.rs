//! Training steps on a GPU.

use anyhow::{Context, Result};
use candle_core::{DType, Device, DeviceLocation, Tensor};

use super::differences_from_cpu::{TRAINING, TrainingTolerance, relative_difference};
use super::networks;
use super::result_types::{Check, Row};
use crate::bench::Times;
use crate::bench::pytorch_times::Peer;
use crate::training::Trainer;
use crate::training::checkpoint_settings::DecidingSettings;
use crate::training::gpu_training_state::GpuTraining;
use crate::training::training_config::{ComputeType, LossWeighting, TrainingConfig};

fn config(batch: usize, compute_type: ComputeType) -> TrainingConfig {
    TrainingConfig {
        steps: 1000,
        batch,
        seed: 1,
        learning_rate: 1e-3,
        compute_type,
        warmup: 10,
        weighting: LossWeighting::Noise,
        weight_decay: 0.01,
        ema_decay: 0.99,
        ..TrainingConfig::default()
    }
}

/// Losses of 100 steps on the GPU and on the CPU from the same seed.
///
/// # Errors
///
/// If the GPU fails, or there is no room on it.
pub fn check(device: &Device, quick: bool) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    for (name, network) in networks::small(quick) {
        let dataset = networks::stripes(network.image, 64);
        let losses = |compute_type, device: &Device| -> Result<Vec<(f64, f64)>> {
            let config = config(32, compute_type);
            let mut trainer = Trainer::new(
                config,
                &network,
                dataset.clone(),
                DecidingSettings::default(),
                device,
            )?;
            let mut step = || -> Result<(f64, f64)> {
                let report = trainer.step()?;
                Ok((report.loss, report.gradient_norm))
            };
            (0..100).map(|_| step()).collect()
        };
        let expected = losses(ComputeType::F32, &Device::Cpu)?;
        for (compute_type, most) in TRAINING {
            let TrainingTolerance { first_loss, first_gradient_norm, mean_loss } = most;
            let words = compute_type.name();
            let found = losses(compute_type, device)?;
            let first = relative_difference(found[0].0, expected[0].0);
            let norm = relative_difference(found[0].1, expected[0].1);
            let all: Vec<f64> =
                found.iter().zip(&expected).map(|(a, b)| relative_difference(a.0, b.0)).collect();
            let mean = all.iter().sum::<f64>() / all.len() as f64;
            let worst = all.iter().copied().fold(0.0, f64::max);
            checks.push(Check {
                name: format!("{name}, {words}"),
                passed: first < first_loss && norm < first_gradient_norm && mean < mean_loss,
                detail: format!(
                    "step 1: loss {first:.1e} (< {first_loss:.0e}), gradient norm {norm:.1e}; 100 steps: mean {mean:.1e} \
                     (< {mean_loss:.0e}), worst {worst:.1e}; last loss {:.4} and {:.4}",
                    found[99].0, expected[99].0
                ),
            });
        }
    }
    Ok(checks)
}

/// Operations a second of a large matrix product of values of a type; of single precision, in TensorFloat-32.
fn products_per_s(device: &Device, dtype: DType) -> Result<f64> {
    const SIDE: usize = 8192;
    let before = candle_core::cuda::gemm_reduced_precision_f32();
    candle_core::cuda::set_gemm_reduced_precision_f32(true);
    let run = || -> Result<f64> {
        let [a, b] = [(); 2].map(|()| Tensor::rand(-1.0_f32, 1.0, (SIDE, SIDE), device));
        let (a, b) = (a?.to_dtype(dtype)?, b?.to_dtype(dtype)?);
        let mut times = Times::default();
        a.matmul(&b)?;
        for _ in 0..5 {
            device.synchronize()?;
            times.take(|| {
                let product = a.matmul(&b)?;
                device.synchronize()?;
                Ok(product)
            })?;
        }
        Ok(2.0 * (SIDE as f64).powi(3) / times.median_wall_s())
    };
    let found = run();
    candle_core::cuda::set_gemm_reduced_precision_f32(before);
    found
}

const BATCH: usize = 128;

/// Milliseconds a step of the networks that others are compared by, data and report included.
///
/// # Errors
///
/// If the GPU fails, or there is no room on it.
pub fn time(device: &Device, quick: bool) -> Result<Vec<Row>> {
    let mut cases = Vec::new();
    for compute_type in [ComputeType::Tf32, ComputeType::Bf16] {
        let timed = networks::timed().into_iter();
        cases.extend(timed.map(|(name, network)| (name, network, compute_type)));
    }
    if !quick {
        let (name, network, _) = cases[0].clone();
        cases.push((name, network, ComputeType::F32));
    }
    let DeviceLocation::Cuda { gpu_id } = device.location() else { return Ok(Vec::new()) };
    let tf32 = products_per_s(device, DType::F32)?;
    let bf16 = products_per_s(device, DType::BF16)?;
    let mut rows = Vec::new();
    for (name, network, compute_type) in cases {
        let dataset = networks::stripes(network.image, 1024);
        let config = config(BATCH, compute_type);
        let opened = GpuTraining::open(gpu_id, &config, &network, dataset.clone())?;
        let (mut gpu, _) = opened.map_err(anyhow::Error::msg).context("opening the GPU")?;
        let weights = crate::network::Network::new(&network, 1, &Device::Cpu)?;
        let weights = weights.parameters().iter().cloned().collect();
        gpu.take(0, &weights, None, &weights)?;
        let mut times = Times::default();
        let repeats = if quick { 60 } else { 200 };
        for step in 0..repeats + 20 {
            if step < 20 {
                gpu.step(step)?;
            } else {
                times.take(|| Ok(gpu.step(step)?))?;
            }
        }
        let median_ms = times.median_wall_s() * 1e3;
        let parts = gpu.profile(11)?;
        let words = compute_type.name();
        let padding: &str = network.padding.into();
        rows.push(Row {
            what: format!(
                "{name} batch {BATCH} channels {} {padding} {words}",
                network.image.channels
            ),
            median_ms,
            rate: format!("{:.0} images/s", BATCH as f64 / median_ms * 1e3),
            operations: gpu.operations(),
            operations_each: 2.0,
            operations_per_s_max: match compute_type {
                ComputeType::F32 => None,
                ComputeType::Tf32 => Some(tf32),
                ComputeType::Bf16 => Some(bf16),
            },
            bytes: gpu.n_bytes_moved(),
            peer: Some(Peer::training_step(&network, BATCH).with(&format!("--precision {words}"))),
            peer_ms: None,
            parts,
        });
    }
    Ok(rows)
}
