//! Forward passes for sampling on a GPU.

use anyhow::Result;
use candle_core::{DType, Device, Tensor};

use super::differences_from_cpu::{PREDICTION, difference_by_largest_value};
use super::networks;
use super::result_types::{Check, Row};
use crate::bench::Times;
use crate::bench::pytorch_times::Peer;
use crate::network::gpu::sampling_commands::GpuForward;
use crate::network::network_config::NetworkConfig;
use crate::network::parameters::Source;
use crate::network::{AttentionDetail, Network, Prediction};
use crate::random::noise_seeds;

/// Seeds of the checks; no power of two, so a pass has places that stay empty.
const N_CHECKED: usize = 5;
/// Images of a timed pass.
const BATCH: usize = 64;

fn frozen(network: &NetworkConfig, device: &Device) -> Result<Network> {
    let drawn = Network::new(network, 7, &Device::Cpu)?;
    let mut weights = crate::network::parameters::TensorMap::default();
    for (name, tensor) in drawn.parameters() {
        weights.insert(name.clone(), tensor.to_device(device)?);
    }
    Ok(Network::build(network, Source::Frozen(&weights), DType::F32, device)?)
}

/// Predictions, figures of attention and maps on the GPU and on the CPU.
///
/// # Errors
///
/// If the GPU fails, or there is no room on it.
pub fn check(device: &Device, quick: bool) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    for (name, config) in networks::small(quick) {
        let (host, gpu) = (frozen(&config, &Device::Cpu)?, frozen(&config, device)?);
        let x = noise_seeds(3, 0, N_CHECKED, config.image);
        let labels = config.n_classes.map(|n| (0..N_CHECKED).map(|i| (i % n) as u32).collect());
        let labels: Option<Vec<u32>> = labels;
        let mut worst = 0.0_f64;
        for detail in [AttentionDetail::Nothing, AttentionDetail::Statistics, AttentionDetail::Maps]
        {
            for t in [0.1, 0.5, 0.9] {
                let predict =
                    |network: &Network| network.predict(t, x.values(), labels.as_deref(), detail);
                worst = worst.max(apart(&predict(&gpu)?, &predict(&host)?)?);
            }
        }
        let own = if gpu.images_on_gpu(AttentionDetail::Nothing).is_some() {
            "our passes"
        } else {
            "candle"
        };
        checks.push(Check {
            name: format!("sampling, {name}, f32"),
            passed: worst < PREDICTION,
            detail: format!("{own}: worst of t = 0.1, 0.5, 0.9 {worst:.1e} (< {PREDICTION:.0e})"),
        });
    }
    Ok(checks)
}

/// The largest difference of anything, by the largest value there; infinite where only one says something.
fn apart(found: &Prediction, expected: &Prediction) -> Result<f64> {
    let pairs = [
        (Some(&found.eps), Some(&expected.eps)),
        (found.record.maps.as_ref(), expected.record.maps.as_ref()),
        (found.record.figures.as_ref(), expected.record.figures.as_ref()),
    ];
    let mut worst = 0.0_f64;
    for pair in pairs {
        worst = worst.max(match pair {
            (None, None) => 0.0,
            (Some(found), Some(expected)) => {
                difference_by_largest_value(&flat(found)?, &flat(expected)?)
            }
            _ => f64::INFINITY,
        });
    }
    Ok(worst)
}

fn flat(tensor: &Tensor) -> Result<Vec<f64>> {
    Ok(tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
}

/// Milliseconds a pass over 64 images, from images in memory to `eps_hat` in memory.
///
/// # Errors
///
/// If the GPU fails, or there is no room on it.
pub fn time(device: &Device, quick: bool) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (name, config) in networks::timed() {
        let network = frozen(&config, device)?;
        let x = noise_seeds(3, 0, BATCH, config.image);
        let mut times = Times::default();
        for repeat in 0..if quick { 30 } else { 110 } {
            let predict =
                || flat(&network.predict(0.5, x.values(), None, AttentionDetail::Nothing)?.eps);
            if repeat < 10 { predict() } else { times.take(predict) }?;
        }
        let median_ms = times.median_wall_s() * 1e3;
        let forward = GpuForward::new(&config, BATCH, AttentionDetail::Nothing);
        let forward = forward.map_err(anyhow::Error::msg)?;
        let (channels, padding): (_, &str) = (config.image.channels, config.padding.into());
        rows.push(Row {
            what: format!("sample {name} batch {BATCH} channels {channels} {padding} f32"),
            median_ms,
            rate: format!("{:.0} images/s", BATCH as f64 / median_ms * 1e3),
            operations: forward.commands.iter().map(|command| command.operations()).sum(),
            operations_each: 2.0,
            bytes: forward.commands.iter().map(|command| command.n_bytes(&forward.plan)).sum(),
            peer: Some(Peer::training_step(&config, BATCH).with("--precision f32 --sample")),
            ..Row::default()
        });
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_agrees_with_itself() {
        let checks = check(&Device::Cpu, false).unwrap();
        assert!(checks.iter().all(|check| check.passed && check.detail.contains("0.0e0")));
    }
}
