//! The attention probe: attention on noisy training images at a few noise levels, of the network while it trains and of
//! the machines that predict it.

use super::attention_entropy_by_noise_level::AttentionByLevel;
use super::samples::MachineSet;
use crate::diffusion::{DenoiseError, NoiseLevel, Schedule};
use crate::image::ImageBatch;
use crate::network::{NetworkDenoiser, network_config::NetworkConfig};
use crate::random::noise_seeds;
use crate::runs::event::AttentionMetrics;

/// Noise levels of the attention probe while training.
const PROBE_TIMES: [f64; 5] = [0.1, 0.3, 0.5, 0.7, 0.9];
/// Noise seed of the probe, far from the seeds that anything is sampled from.
const PROBE_SEED: u64 = 1 << 40;

/// The network's attention on noisy training images `[B, C, H, W]`, by noise level.
///
/// # Errors
///
/// If the network has no attention layer or denoising fails.
pub fn probe_attention(
    network: &NetworkDenoiser,
    images: &ImageBatch,
    noise_seed: u64,
) -> Result<AttentionMetrics, DenoiseError> {
    let mut sum = AttentionByLevel::new(network.network().config());
    for (x, level) in probe_states(images, network.network().config().schedule, noise_seed) {
        sum.add(level.t, &network.attention_statistics(&x, level)?);
    }
    Ok(sum.metrics())
}

/// The attention that machines without a network predict for [`probe_attention`], by name; `labels` are the images'
/// classes if the network is conditional.
///
/// # Errors
///
/// If a machine cannot denoise the images, for instance because they have another shape.
pub fn predict_attention(
    network: &NetworkConfig,
    machine_set: &MachineSet,
    images: &ImageBatch,
    labels: &[u32],
    noise_seed: u64,
) -> Result<Vec<(String, AttentionMetrics)>, DenoiseError> {
    let mut sums: Vec<(String, AttentionByLevel)> = Vec::new();
    for (x, level) in probe_states(images, network.schedule, noise_seed) {
        let found = machine_set.predicted_attention(&x, labels, level, network.grid())?;
        for (index, (machine, statistics)) in found.into_iter().enumerate() {
            if index == sums.len() {
                sums.push((machine, AttentionByLevel::new(network)));
            }
            sums[index].1.add(level.t, &statistics);
        }
    }
    Ok(sums.into_iter().map(|(machine, sum)| (machine, sum.metrics())).collect())
}

/// The probe's noisy images, the same at every training step.
fn probe_states(
    images: &ImageBatch,
    schedule: Schedule,
    noise_seed: u64,
) -> impl Iterator<Item = (ImageBatch, NoiseLevel)> {
    let noise = noise_seeds(noise_seed, PROBE_SEED, images.len(), images.shape());
    PROBE_TIMES.into_iter().map(move |t| {
        let level = schedule.level(t);
        let (signal, sigma) = (level.signal(), level.sigma());
        let noisy = images.values().iter().zip(noise.values());
        let noisy = noisy.map(|(phi, eps)| signal * phi + sigma * eps).collect();
        (ImageBatch::new(images.shape(), noisy), level)
    })
}
