//! Attention statistics by noise level, accumulated over images, for reports and charts of attention entropy.

use std::collections::BTreeMap;

use crate::diffusion::{AttentionStatistics, Grid};
use crate::network::network_config::NetworkConfig;
use crate::runs::event::{AttentionAtLevel, AttentionMetrics};

/// Times are kept as whole millionths, so that they can be keys.
const TIME_UNIT: f64 = 1e6;

/// Running means of attention statistics by noise level.
#[derive(Clone, Debug)]
pub struct AttentionByLevel {
    grid: Grid,
    levels: BTreeMap<u64, AttentionStatistics>,
}

impl AttentionByLevel {
    pub fn new(network: &NetworkConfig) -> Self {
        Self { grid: network.grid(), levels: BTreeMap::new() }
    }

    /// `None` for networks without attention.
    pub fn for_network(network: &NetworkConfig) -> Option<Self> {
        network.attention.is_some().then(|| Self::new(network))
    }

    /// Adds the attention of some images at time `t`.
    pub fn add(&mut self, t: f64, found: &AttentionStatistics) {
        self.levels.entry((t * TIME_UNIT).round() as u64).or_default().merge(found);
    }

    /// Means over images per level, in increasing t.
    pub fn metrics(&self) -> AttentionMetrics {
        let level = |(time, found): (&u64, &AttentionStatistics)| AttentionAtLevel {
            t: *time as f64 / TIME_UNIT,
            entropy_nats: found.entropy_nats.clone(),
            distance_pixels: found.distance_pixels.clone(),
            largest_logit: found.largest_logit.clone(),
            sink: found.sink.clone(),
        };
        AttentionMetrics {
            n_pixels: self.grid.n_pixels(),
            levels: self.levels.iter().map(level).collect(),
        }
    }

    /// Mean entropy over levels and heads, in nats; `None` without any level.
    pub fn mean_nats(&self) -> Option<f64> {
        let levels = self.metrics().levels;
        let all: Vec<f64> = levels.iter().flat_map(|level| level.entropy_nats.clone()).collect();
        (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)
    }
}
