//! Times training steps, and the operations within them.
//!
//! The networks are those that other implementations are compared by: KG's ResNet (64
//! channels, six 3x3 layers) and UNet (32, 64, 128 channels) on 32x32 grey images in batches of 64, one
//! step being data, forward, backward, AdamW and average; the attention operation alone, forward and
//! backward, over 32x32 pixels of 64 channels in one head, in batches of 16; and the default experiment
//! (`glyphs-attention`) with its own network, data, batch and settings. Each has a peer: the same step in PyTorch on the CPU,
//! with the same optimiser, without making the data. A time with SOAP is that of as many steps as SOAP has from one
//! refresh of its eigenbases to the next, per step: the median of single steps would leave the refresh out.

use std::sync::Arc;

use anyhow::Result;
use candle_core::{Device, Var};
use serde::Serialize;
use strum::{EnumString, IntoStaticStr, VariantNames};

use super::pytorch_times::{Peer, PeerTiming, STEP};
use super::{Times, peak_memory_mb, reset_peak_memory};
use crate::config::{BUILT_IN, Experiment, lab_file};
use crate::dataset::Dataset;
use crate::diffusion::Schedule;
use crate::evaluation::load_networks_and_data::network_of;
use crate::image::ImageShape;
use crate::network::network_config::{Architecture, NetworkConfig, Output, Padding, Readout};
use crate::network::ops::operation_times;
use crate::network::ops::softmax_attention::attend;
use crate::random::{Purpose, fill_normal, stream};
use crate::training::Trainer;
use crate::training::checkpoint_settings::DecidingSettings;
use crate::training::soap::REFRESH_EVERY;
use crate::training::training_config::{
    ComputeType, LossWeighting, LrSchedule, OptimizerKind, TrainingConfig,
};

/// Side of the images.
const SIDE: usize = 32;
const BATCH: usize = 64;
const ATTENTION_BATCH: usize = 16;
const ATTENTION_CHANNELS: usize = 64;
/// Training images; their content does not matter.
const N_IMAGES: usize = 128;

/// A network to time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum Net {
    ResNet,
    UNet,
    /// The operation alone.
    Attention,
    /// The default experiment, `glyphs-attention` of the built-in lab file.
    Glyphs,
    /// [`Self::Glyphs`] with AdamW.
    #[strum(serialize = "glyphs-adamw")]
    GlyphsAdamW,
    /// [`Self::ResNet`] with factors of bfloat16.
    #[strum(serialize = "resnet-bf16")]
    ResNetBf16,
    /// [`Self::Glyphs`] with factors of bfloat16.
    #[strum(serialize = "glyphs-bf16")]
    GlyphsBf16,
}

impl Net {
    /// Those that every processor can train.
    pub const ALL: [Self; 4] = [Self::ResNet, Self::UNet, Self::Attention, Self::Glyphs];

    /// The same step in PyTorch, in single precision.
    ///
    /// # Errors
    /// If the network's data cannot be made.
    pub fn peer(self) -> Result<Peer> {
        let peer = match setup(self)? {
            Some(Setup { network, training, .. }) => {
                let weighting: &str = training.weighting.into();
                let optimizer = match training.optimizer {
                    OptimizerKind::AdamW => "adamw",
                    OptimizerKind::Soap => "soap",
                };
                Peer::training_step(&network, training.batch)
                    .with(&format!("--weighting {weighting} --optimizer {optimizer}"))
            }
            None => Peer::new(STEP, "--net attention").with(&format!(
                "--heads 1 --head-width {ATTENTION_CHANNELS} --size {SIDE} --batch {ATTENTION_BATCH}"
            )),
        };
        Ok(peer.with("--precision f32"))
    }
}

/// Everything that a training step depends on.
struct Setup {
    network: NetworkConfig,
    training: TrainingConfig,
    dataset: Dataset,
}

/// One row of the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrainTiming {
    pub net: &'static str,
    /// Per step, all threads.
    pub cpu_ms: f64,
    pub wall_ms: f64,
    /// `None` where the system does not report it.
    pub peak_rss_mb: Option<f64>,
    pub samples_per_s: f64,
    pub threads: usize,
    /// Where the wall time goes: operations and their milliseconds per step, largest first.
    pub operations: Vec<(&'static str, f64)>,
    /// The same in PyTorch, on as many threads, where it was asked for.
    pub peer: Option<PeerTiming>,
}

/// Times `repeats` steps, or as many times ten with SOAP, after two warm-up steps, in the current thread pool.
///
/// # Errors
/// If a step fails.
pub fn time_training(net: Net, repeats: usize) -> Result<TrainTiming> {
    let (work, mut step) = step_of(net)?;
    reset_peak_memory();
    for _ in 0..2 {
        step()?;
    }
    let mut times = Times::default();
    let measurement = operation_times::start();
    for _ in 0..repeats.max(1) {
        times.take(|| (0..work.n_steps).try_for_each(|_| step()))?;
    }
    let n_steps = work.n_steps as f64;
    let per_step = 1e3 / (repeats.max(1) as f64 * n_steps);
    let mut operations: Vec<_> =
        measurement.stop().into_iter().map(|(name, seconds)| (name, seconds * per_step)).collect();
    operations.sort_by(|a, b| b.1.total_cmp(&a.1));
    let wall_s = times.median_wall_s() / n_steps;
    Ok(TrainTiming {
        net: net.into(),
        cpu_ms: times.median_cpu_s() * 1e3 / n_steps,
        wall_ms: wall_s * 1e3,
        peak_rss_mb: peak_memory_mb(),
        samples_per_s: work.batch as f64 / wall_s,
        threads: rayon::current_num_threads(),
        operations,
        peer: None,
    })
}

/// Takes one step.
type Step = Box<dyn FnMut() -> Result<()>>;

/// What is timed at once.
struct Repeat {
    /// Images of a step.
    batch: usize,
    n_steps: u64,
}

/// What is timed at once, and a function that takes one step.
fn step_of(net: Net) -> Result<(Repeat, Step)> {
    let Some(Setup { network, training, dataset }) = setup(net)? else {
        return Ok((Repeat { batch: ATTENTION_BATCH, n_steps: 1 }, attention_step()?));
    };
    let n_steps = match training.optimizer {
        OptimizerKind::AdamW => 1,
        OptimizerKind::Soap => REFRESH_EVERY,
    };
    let (repeat, settings) =
        (Repeat { batch: training.batch, n_steps }, DecidingSettings::default());
    let mut trainer = Trainer::new(training, &network, Arc::new(dataset), settings, &Device::Cpu)?;
    Ok((repeat, Box::new(move || Ok(trainer.step().map(drop)?))))
}

/// What is trained; `None` for the operation alone.
fn setup(net: Net) -> Result<Option<Setup>> {
    let architecture = match net {
        Net::ResNet | Net::ResNetBf16 => Architecture::ResNet { width: 64, kernels: vec![3; 6] },
        Net::UNet => Architecture::UNet { widths: vec![32, 64, 128], embedding: 64 },
        Net::Glyphs | Net::GlyphsAdamW | Net::GlyphsBf16 => {
            let experiment = default_experiment()?;
            let (network, dataset) = network_of(&experiment)?;
            let mut training = experiment.training;
            match net {
                Net::GlyphsAdamW => training.optimizer = OptimizerKind::AdamW,
                Net::GlyphsBf16 => training.compute_type = ComputeType::Bf16,
                _ => {}
            }
            return Ok(Some(Setup { network, training, dataset }));
        }
        Net::Attention => return Ok(None),
    };
    let image = ImageShape::new(1, SIDE, SIDE);
    let velocity = network(image, architecture, Padding::Zeros);
    let network = NetworkConfig { output: Output::Noise, time_scale: 1.0, ..velocity };
    let training = TrainingConfig {
        steps: 1000,
        batch: BATCH,
        learning_rate: 1e-4,
        compute_type: if net == Net::ResNetBf16 { ComputeType::Bf16 } else { ComputeType::F32 },
        warmup: 0,
        lr_schedule: LrSchedule::Constant,
        weighting: LossWeighting::Noise,
        ema_decay: 0.99,
        ..TrainingConfig::default()
    };
    let pixels: Vec<u8> = (0..N_IMAGES * image.n_values()).map(|i| (i * 37 % 251) as u8).collect();
    let dataset = Dataset::new("bench", image, pixels, None);
    Ok(Some(Setup { network, training, dataset }))
}

/// `glyphs-attention` of the built-in lab file.
fn default_experiment() -> Result<Experiment> {
    let lab = lab_file::read(BUILT_IN, "lab.toml".as_ref(), ".".as_ref(), None)?;
    Ok(lab.experiment("glyphs-attention")?.clone())
}

/// A network that predicts velocities, without attention, classes or normalisation.
pub(super) fn network(
    image: ImageShape,
    architecture: Architecture,
    padding: Padding,
) -> NetworkConfig {
    NetworkConfig {
        schedule: Schedule::default(),
        image,
        architecture,
        padding,
        group_norm: false,
        last_kernel: 3,
        readout: Readout::Linear,
        n_classes: None,
        attention: None,
        output: Output::Velocity,
        time_scale: 1000.0,
        clamp: false,
    }
}

fn attention_step() -> Result<Step> {
    let shape = (ATTENTION_BATCH, 3, 1, ATTENTION_CHANNELS, SIDE * SIDE);
    let mut values = vec![0.0_f32; ATTENTION_BATCH * 3 * ATTENTION_CHANNELS * SIDE * SIDE];
    fill_normal(&mut stream(0, Purpose::Weights, 0), &mut values);
    let qkv = Var::from_vec(values, shape, &Device::Cpu)?;
    Ok(Box::new(move || {
        attend(qkv.as_tensor())?.sqr()?.mean_all()?.backward()?;
        Ok(())
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glyphs_is_the_experiment_of_the_built_in_lab() {
        let Setup { training, dataset, .. } = setup(Net::Glyphs).unwrap().unwrap();
        assert_eq!((dataset.len(), training.batch), (16, 8));
        assert_eq!(training.optimizer, OptimizerKind::Soap);
        let adamw = setup(Net::GlyphsAdamW).unwrap().unwrap().training;
        assert_eq!(adamw, TrainingConfig { optimizer: OptimizerKind::AdamW, ..training });
    }

    #[test]
    fn peers_have_the_shapes_of_ours() {
        let glyphs = |optimizer: &str| {
            Peer::new(STEP, "--net resnet --width 128 --kernels 3 1 1 1 1 --batch 8 --channels 3")
                .with("--size 14 --padding circular --output velocity --last-kernel 1 --heads 2")
                .with("--head-width 16 --weighting velocity --optimizer")
                .with(optimizer)
                .with("--precision f32")
        };
        assert_eq!(Net::Glyphs.peer().unwrap(), glyphs("soap"));
        assert_eq!(Net::GlyphsAdamW.peer().unwrap(), glyphs("adamw"));
        assert_eq!(Net::GlyphsBf16.peer().unwrap(), glyphs("soap"));
        let unet = Peer::new(STEP, "--net unet --widths 32 64 128 --embedding 64 --batch 64")
            .with("--channels 1 --size 32 --padding zeros --output noise --last-kernel 3")
            .with("--weighting noise --optimizer adamw --precision f32");
        assert_eq!(Net::UNet.peer().unwrap(), unet);
        let attention = Peer::new(STEP, "--net attention --heads 1 --head-width 64 --size 32")
            .with("--batch 16 --precision f32");
        assert_eq!(Net::Attention.peer().unwrap(), attention);
    }
}
