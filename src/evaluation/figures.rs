//! From samples and maps to the figures of events and reports: the one place where the lab's wire
//! types meet what `analysis` computes.

use super::entropy::EntropySum;
use super::samples::{MachineSet, SampleSet};
use crate::analysis::agreement::agreement;
use crate::analysis::consistency::{Judge, Rate as Counted};
use crate::analysis::summary::Interval;
use crate::diffusion::{DenoiseError, NoiseLevel, Schedule};
use crate::image::ImageBatch;
use crate::network::NetworkDenoiser;
use crate::network::config::NetworkConfig;
use crate::random::noise_seeds;
use crate::runs::event::{AgreementFigure, AttentionMetrics, Rate, Rates};

/// Noise levels of the attention probe while training.
const PROBE_TIMES: [f64; 5] = [0.1, 0.3, 0.5, 0.7, 0.9];
/// The probe's noise: far from seeds that anything is sampled from.
const PROBE_SEED: u64 = 1 << 40;

/// Agreement of every machine with the network (the target), seed by seed.
pub fn agreement_figures(set: &SampleSet) -> Vec<AgreementFigure> {
    let figure = |(machine, samples): &(String, ImageBatch)| {
        let each = samples.iter().zip(set.network.iter()).map(|(m, n)| agreement(m, n));
        let (r, r_squared_cod) = each.map(|found| (found.r, found.cod)).unzip();
        AgreementFigure { machine: machine.clone(), r, r_squared_cod }
    };
    set.machines.iter().map(figure).collect()
}

/// Judged rates of some samples, as events carry them.
pub fn rates(judge: &Judge, samples: &ImageBatch) -> Rates {
    let judged = judge.rates(samples);
    let some = |counted: Counted| (counted.n > 0).then(|| rate(counted.interval));
    Rates {
        n_samples: judged.n,
        valid: rate(judged.valid.interval),
        consistent: rate(judged.consistent.interval),
        novel: rate(judged.novel.interval),
        creative: rate(judged.creative.interval),
        whole: some(judged.valid_components),
        hue_purity: judged.hue_purity.map(rate),
        consistent_of_valid: some(judged.consistent_of_valid),
        chance: judged.chance_level,
    }
}

fn rate(share: Interval) -> Rate {
    // The normal interval of a mean knows nothing of the ends of a share's range.
    Rate { value: share.estimate, low: share.low.max(0.0), high: share.high.min(1.0) }
}

/// Attention on noisy training images at a few levels.
pub fn probe_attention(
    network: &NetworkDenoiser,
    images: &ImageBatch,
    noise_seed: u64,
) -> Result<AttentionMetrics, DenoiseError> {
    let mut sum = EntropySum::new(network.network().config());
    for (x, level) in probe_states(images, noise_seed) {
        sum.add(level.t, &network.attention_statistics(&x, level)?);
    }
    Ok(sum.metrics())
}

/// What machines that need no network predict for the probe of [`probe_attention`], by name; `labels` are the images'
/// classes, if the network wants one.
pub fn predict_attention(
    network: &NetworkConfig,
    machine_set: &MachineSet,
    images: &ImageBatch,
    labels: &[u32],
    noise_seed: u64,
) -> Result<Vec<(String, AttentionMetrics)>, DenoiseError> {
    let mut sums: Vec<(String, EntropySum)> = Vec::new();
    for (x, level) in probe_states(images, noise_seed) {
        let found = machine_set.predicted_attention(&x, labels, level, network.grid())?;
        for (index, (machine, statistics)) in found.into_iter().enumerate() {
            if index == sums.len() {
                sums.push((machine, EntropySum::new(network)));
            }
            sums[index].1.add(level.t, &statistics);
        }
    }
    Ok(sums.into_iter().map(|(machine, sum)| (machine, sum.metrics())).collect())
}

/// The probe's noisy images, the same at every training step.
fn probe_states(
    images: &ImageBatch,
    noise_seed: u64,
) -> impl Iterator<Item = (ImageBatch, NoiseLevel)> {
    let noise = noise_seeds(noise_seed, PROBE_SEED, images.len(), images.shape());
    PROBE_TIMES.into_iter().map(move |t| {
        let level = Schedule::Cosine.level(t);
        let (signal, sigma) = (level.signal(), level.sigma());
        let noisy = images.values().iter().zip(noise.values());
        let noisy = noisy.map(|(phi, eps)| signal * phi + sigma * eps).collect();
        (ImageBatch::new(images.shape(), noisy), level)
    })
}
