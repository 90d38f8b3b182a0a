//! Old checkpoints, of format 1: the network and the training that they were written with, as texts.
//!
//! Versions that wrote this format stored no settings by key. Training continues from such a checkpoint only if the
//! texts of the present run are the same, so what this file writes must never change. The files of weights are those of
//! format 2 ([`super::checkpoint`]).

use serde::{Deserialize, Serialize};

use super::training_config::{LossWeighting, LrSchedule, OptimizerKind, TrainingConfig};
use crate::diffusion::Schedule;
use crate::network::network_config::NetworkConfig;

/// The identity in checkpoints of format 1: Rust's debug output of the network configuration, and a text
/// description of the training configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityV1 {
    pub network: String,
    pub training: String,
    pub dataset: String,
}

impl IdentityV1 {
    /// The identity that this run would have in format 1; `dataset` is the text of its training images.
    pub fn new(network: &NetworkConfig, training: &TrainingConfig, dataset: String) -> Self {
        Self { network: network_in_words(network), training: training_in_words(training), dataset }
    }

    /// What differs from `now`, with the saved and the present text, if anything does; `schedule` is the present noise
    /// schedule, which format 1 does not record.
    pub fn difference(
        &self,
        now: &Self,
        schedule: Schedule,
    ) -> Option<(&'static str, String, String)> {
        // The only schedule of the versions that wrote this format.
        let cosine = <&str>::from(Schedule::Cosine).to_owned();
        let pairs = [
            ("noise schedule", &cosine, &<&str>::from(schedule).to_owned()),
            ("network", &self.network, &now.network),
            ("dataset", &self.dataset, &now.dataset),
            ("training", &self.training, &now.training),
        ];
        let (what, saved, now) = pairs.into_iter().find(|(_, saved, now)| saved != now)?;
        Some((what, saved.clone(), now.clone()))
    }
}

/// The network configuration as written in format 1, by the names that types, fields and values have in
/// `network::network_config` (a test keeps them); must never change.
fn network_in_words(config: &NetworkConfig) -> String {
    let NetworkConfig { image, architecture, padding, group_norm, last_kernel, .. } = config;
    let NetworkConfig { n_classes, attention, output, time_scale, clamp, .. } = config;
    format!(
        "NetworkConfig {{ image: {image:?}, body: {architecture:?}, padding: {padding:?}, group_norm: {group_norm}, \
         last_kernel: {last_kernel}, n_classes: {n_classes:?}, attention: {attention:?}, output: {output:?}, \
         time_scale: {time_scale:?}, clamp: {clamp} }}"
    )
}

/// The training configuration as written in format 1; must never change.
fn training_in_words(config: &TrainingConfig) -> String {
    let TrainingConfig { steps, batch, seed, learning_rate, warmup, .. } = config;
    let TrainingConfig { weight_decay, clip_norm, ema_decay, .. } = config;
    let decay = match config.lr_schedule {
        LrSchedule::Exponential => {
            format!("Exponential {{ final_factor: {:?} }}", config.final_factor)
        }
        schedule @ (LrSchedule::Constant | LrSchedule::Cosine) => format!("{schedule:?}"),
    };
    let weighting = match config.weighting {
        LossWeighting::Noise => "Noise".to_owned(),
        LossWeighting::Velocity => format!("Velocity {{ limit: {:?} }}", config.weighting_limit),
    };
    let mut words = format!(
        "steps {steps}, batch {batch}, seed {seed}, rate {learning_rate}, warmup {warmup}, decay {decay}, \
         weighting {weighting}, weight_decay {weight_decay}, clip_norm {clip_norm}, ema_decay {ema_decay}"
    );
    for (name, value, default) in
        [("accumulate", config.accumulate, 1), ("hold", config.lr_hold_steps, 0)]
    {
        if value != default {
            words.push_str(&format!(", {name} {value}"));
        }
    }
    // The versions that wrote this format had AdamW only.
    if config.optimizer != OptimizerKind::AdamW {
        words.push_str(&format!(", optimizer {:?}", config.optimizer));
    }
    words
}

/// A small network for tests.
#[cfg(test)]
pub fn example_network() -> NetworkConfig {
    use crate::image::ImageShape;
    use crate::network::network_config::{Architecture, Output, Padding, Readout};

    NetworkConfig {
        schedule: Schedule::default(),
        image: ImageShape::new(1, 2, 2),
        architecture: Architecture::ResNet { width: 16, kernels: vec![3] },
        padding: Padding::Circular,
        group_norm: false,
        last_kernel: 1,
        readout: Readout::Linear,
        n_classes: None,
        attention: None,
        output: Output::Velocity,
        time_scale: 1000.0,
        clamp: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::network_config::{
        Architecture, AttentionConfig, AttentionVariant, Output, Padding,
    };

    #[test]
    fn format_1_is_what_version_0_1_printed() {
        let expected = "NetworkConfig { image: ImageShape { channels: 1, height: 2, width: 2 }, body: ResNet { \
                        width: 16, kernels: [3] }, padding: Circular, group_norm: false, last_kernel: 1, n_classes: \
                        None, attention: None, output: Velocity, time_scale: 1000.0, clamp: true }";
        assert_eq!(network_in_words(&example_network()), expected);
        let unet = Architecture::UNet { widths: vec![4, 8], embedding: 8 };
        let words = network_in_words(&NetworkConfig {
            architecture: unet,
            n_classes: Some(3),
            ..example_network()
        });
        assert!(words.contains("body: UNet { widths: [4, 8], embedding: 8 }"), "{words}");
        assert!(words.contains("n_classes: Some(3)"), "{words}");
        let variants = [
            (AttentionVariant::Softmax, "Softmax"),
            (AttentionVariant::Top1, "Top1"),
            (AttentionVariant::Uniform, "Uniform"),
            (AttentionVariant::Identity, "Identity"),
        ];
        for (variant, name) in variants {
            let attention = AttentionConfig { variant, heads: 2, head_width: 8, normalise: true };
            let (padding, output) = (Padding::Zeros, Output::Noise);
            let network =
                NetworkConfig { attention: Some(attention), padding, output, ..example_network() };
            let expected = format!(
                "attention: Some(AttentionConfig {{ variant: {name}, heads: 2, head_width: 8, normalise: true }}), \
                 output: Noise,"
            );
            let words = network_in_words(&network);
            assert!(words.contains(&expected) && words.contains("padding: Zeros,"), "{words}");
        }
        let words = |lr_schedule| {
            training_in_words(&TrainingConfig { lr_schedule, ..TrainingConfig::default() })
        };
        assert!(words(LrSchedule::Constant).contains("decay Constant,"));
        assert!(words(LrSchedule::Cosine).contains("decay Cosine,"));
    }
}
