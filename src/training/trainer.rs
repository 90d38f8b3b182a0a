//! The training loop, one step at a time, in named phases: data, gradients, update, average.
//!
//! The caller decides how often to step, preview, save and stop; the trainer knows neither files'
//! places nor who listens. Every random draw is a function of seed and step, so a resumed run on the
//! CPU continues bit for bit. A step whose loss or gradient is not finite changes no weight: it is
//! reported as [`TrainingError::NonFinite`] and the next step sees other data.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Var};
use thiserror::Error;

use super::adamw::{AdamW, Update, clip_factor};
use super::checkpoint::{self, CheckpointError, Contents, Echo};
use super::config::TrainingConfig;
use super::ema::Ema;
use super::loss::{Draw, NoisyBatch, noise_loss, noisy_batch};
use super::retention;
use super::schedule::learning_rate;
use crate::dataset::{Batches, Dataset};
use crate::network::config::NetworkConfig;
use crate::network::ops::clock::{Work, timed};
use crate::network::parameters::Source;
use crate::network::{Mode, Network, NetworkDenoiser, NetworkError};

/// Why training could not start or a step was not taken.
#[derive(Debug, Error)]
pub enum TrainingError {
    #[error(
        "step {step}: the loss is '{loss}' and the gradient's norm '{gradient_norm}'; the weights were left alone"
    )]
    NonFinite { step: u64, loss: f64, gradient_norm: f64 },
    #[error("training cannot start: {problem}")]
    Setup { problem: String },
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error("a tensor operation failed")]
    Tensor(#[from] candle_core::Error),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Steps done, this one included.
    pub step: u64,
    /// Mean squared error of the predicted noise, unweighted, before the update.
    pub loss: f64,
    /// Global 2-norm of the gradient, before clipping.
    pub gradient_norm: f64,
    pub learning_rate: f64,
}

/// A network in training with everything that its next step depends on.
pub struct Trainer {
    config: TrainingConfig,
    dataset: Arc<Dataset>,
    order: Batches,
    network: Network,
    variables: Vec<(String, Var)>,
    optimizer: AdamW,
    ema: Ema,
    n_steps_done: u64,
}

impl Trainer {
    /// A fresh network from the configuration's seed.
    pub fn new(
        config: TrainingConfig,
        network: &NetworkConfig,
        dataset: Arc<Dataset>,
        device: &Device,
    ) -> Result<Self, TrainingError> {
        let network = Network::new(network, config.seed, device)?;
        Self::with_network(config, network, dataset)
    }

    /// Continues from what a checkpoint holds, exactly as if never interrupted.
    pub fn resume(
        config: TrainingConfig,
        network: &NetworkConfig,
        dataset: Arc<Dataset>,
        device: &Device,
        saved: Contents,
    ) -> Result<Self, TrainingError> {
        saved.expect(&echo(&config, network, &dataset))?;
        let source = Source::Stored(&saved.weights);
        let network = Network::build(network, source, DType::F32, device)?;
        let ema_decay = config.ema_decay;
        let mut trainer = Self::with_network(config, network, dataset)?;
        let mut moments = saved.optimizer;
        for tensor in moments.values_mut() {
            *tensor = tensor.to_device(device)?;
        }
        trainer.optimizer.restore(saved.n_updates, |name| moments.remove(name)).map_err(
            |name| {
                let problem = format!("the checkpoint's optimiser state has no fitting '{name}'");
                TrainingError::Setup { problem }
            },
        )?;
        // Through a network of this shape, which names anything that does not fit.
        let average = trainer.network.frozen_with(&saved.ema)?;
        trainer.ema = Ema::resume(ema_decay, average.parameters().iter().cloned().collect());
        trainer.n_steps_done = saved.step;
        Ok(trainer)
    }

    fn with_network(
        config: TrainingConfig,
        network: Network,
        dataset: Arc<Dataset>,
    ) -> Result<Self, TrainingError> {
        check(&config, network.config(), &dataset)?;
        let variables = network.variables()?;
        let optimizer = AdamW::new(variables.clone())?;
        let ema = Ema::new(config.ema_decay, &variables)?;
        let order = Batches::new(dataset.len(), config.batch, config.seed);
        Ok(Self { config, dataset, order, network, variables, optimizer, ema, n_steps_done: 0 })
    }

    /// Steps done, skipped ones included.
    pub fn n_steps_done(&self) -> u64 {
        self.n_steps_done
    }

    pub fn network(&self) -> &Network {
        &self.network
    }

    pub fn config(&self) -> &TrainingConfig {
        &self.config
    }

    /// One step.
    pub fn step(&mut self) -> Result<StepReport, TrainingError> {
        let step = self.n_steps_done;
        // Counted before anything can fail: a step that cannot be taken is not tried for ever.
        self.n_steps_done += 1;
        let batch = self.draw_batch(step)?;
        let (loss, gradients) = self.gradients(&batch, step)?;
        let gradient_norm = self.optimizer.gradient_norm(&gradients)?;
        if !loss.is_finite() || !gradient_norm.is_finite() {
            return Err(TrainingError::NonFinite { step: step + 1, loss, gradient_norm });
        }
        let _timer = timed(Work::Optimiser);
        let rate = learning_rate(&self.config, step);
        let gradient_factor = clip_factor(gradient_norm, self.config.clip_norm);
        let weight_decay = self.config.weight_decay;
        self.optimizer.update(&gradients, Update { rate, weight_decay, gradient_factor })?;
        self.ema.update(&self.variables, self.optimizer.n_updates() - 1)?;
        Ok(StepReport { step: step + 1, loss, gradient_norm, learning_rate: rate })
    }

    fn draw_batch(&mut self, step: u64) -> Result<NoisyBatch, TrainingError> {
        let (seed, batch) = (self.config.seed, self.config.batch);
        let (schedule, dtype) = (self.network.schedule(), self.network.dtype());
        let draw = Draw { seed, batch, step, schedule, dtype };
        Ok(noisy_batch(&self.dataset, &mut self.order, draw, self.network.device())?)
    }

    /// The loss as a number - no graph outlives this call - and its gradients.
    fn gradients(&self, batch: &NoisyBatch, step: u64) -> Result<(f64, GradStore), TrainingError> {
        let mode = Mode::Train { seed: self.config.seed, step };
        let loss = noise_loss(&self.network, batch, self.config.weighting, mode)?;
        let gradients = loss.weighted.backward()?;
        Ok((loss.plain.to_dtype(DType::F64)?.to_scalar::<f64>()?, gradients))
    }

    /// Everything that a checkpoint holds. Weights are shared, not copied: the next step changes them.
    pub fn contents(&self) -> Result<Contents, TrainingError> {
        let weights = self.network.parameters().iter();
        Ok(Contents {
            step: self.n_steps_done,
            n_updates: self.optimizer.n_updates(),
            echo: echo(&self.config, self.network.config(), &self.dataset),
            weights: weights.cloned().collect(),
            ema: self.ema.weights().clone(),
            optimizer: self.optimizer.state()?.into_iter().collect(),
        })
    }

    /// Writes a checkpoint, then deletes those that the configuration no longer keeps.
    pub fn save(&self, state_dir: &Path) -> Result<PathBuf, TrainingError> {
        let saved = checkpoint::write(state_dir, &self.contents()?)?;
        let all = checkpoint::list(state_dir)?;
        let steps: Vec<u64> = all.iter().map(|checkpoint| checkpoint.step).collect();
        let doomed = retention::to_delete(&steps, self.config.keep_checkpoints);
        let is_doomed =
            |c: &&checkpoint::Checkpoint| doomed.contains(&c.step) && c.step != saved.step;
        for old in all.iter().filter(is_doomed) {
            checkpoint::delete(old)?;
        }
        Ok(saved.path)
    }

    /// A snapshot of the averaged weights, which later steps do not change.
    pub fn ema_denoiser(&self) -> Result<NetworkDenoiser, NetworkError> {
        Ok(NetworkDenoiser::new(Arc::new(self.network.frozen_with(self.ema.weights())?)))
    }

    /// A snapshot of the weights themselves.
    pub fn raw_denoiser(&self) -> Result<NetworkDenoiser, NetworkError> {
        Ok(NetworkDenoiser::new(Arc::new(self.network.frozen()?)))
    }
}

fn echo(config: &TrainingConfig, network: &NetworkConfig, dataset: &Dataset) -> Echo {
    // How often to save does not change the result, so it may differ.
    let result = TrainingConfig { checkpoint_every: 0, keep_checkpoints: 0, ..config.clone() };
    let pixels = crc32fast::hash(dataset.pixels());
    Echo {
        network: format!("{network:?}"),
        training: format!("{result:?}"),
        dataset: format!("{} images of {}, checksum {pixels:08x}", dataset.len(), dataset.shape()),
    }
}

fn check(
    config: &TrainingConfig,
    network: &NetworkConfig,
    dataset: &Dataset,
) -> Result<(), TrainingError> {
    let problem = if dataset.is_empty() {
        format!("dataset '{}' holds no images", dataset.name)
    } else if dataset.shape() != network.image {
        let (found, expected) = (dataset.shape(), network.image);
        format!(
            "dataset '{}' holds {found} images but the network works on {expected}",
            dataset.name
        )
    } else if config.batch == 0 {
        "a batch of '0' images; use at least 1".to_owned()
    } else if network.n_classes.is_some() && dataset.labels().is_none() {
        format!("the network is told classes but dataset '{}' has no labels", dataset.name)
    } else {
        return Ok(());
    };
    Err(TrainingError::Setup { problem })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::ImageShape;
    use crate::network::config::{AttentionConfig, AttentionVariant, Body, Output, Padding};
    use crate::training::config::{LossWeighting, example};

    fn stripes() -> Arc<Dataset> {
        let shape = ImageShape::new(1, 6, 6);
        let pixel = |image: usize, at: usize| if (at + image).is_multiple_of(3) { 255 } else { 0 };
        let pixels = (0..12 * 36).map(|i| pixel(i / 36, i % 36)).collect();
        Arc::new(Dataset::new("stripes", shape, pixels, None))
    }

    fn network(variant: Option<AttentionVariant>) -> NetworkConfig {
        NetworkConfig {
            image: ImageShape::new(1, 6, 6),
            body: Body::ResNet { width: 16, kernels: vec![3, 1] },
            padding: Padding::Circular,
            group_norm: false,
            last_kernel: 1,
            n_classes: None,
            attention: variant.map(|variant| AttentionConfig {
                variant,
                heads: 2,
                head_width: 4,
                normalise: true,
            }),
            output: Output::Velocity,
            time_scale: 1.0,
            clamp: true,
        }
    }

    fn trainer(config: TrainingConfig) -> Trainer {
        let network = network(Some(AttentionVariant::Softmax));
        Trainer::new(config, &network, stripes(), &Device::Cpu).unwrap()
    }

    fn bits(trainer: &Trainer) -> Vec<u32> {
        let contents = trainer.contents().unwrap();
        let maps = [contents.weights, contents.ema, contents.optimizer];
        let values = |t: &candle_core::Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        maps.iter().flat_map(|map| map.values().flat_map(values)).map(f32::to_bits).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_bits_on_any_number_of_threads() {
        let run = |threads, seed| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut trainer = trainer(TrainingConfig { seed, ..example() });
                (0..5).for_each(|_| assert!(trainer.step().is_ok()));
                bits(&trainer)
            })
        };
        assert_eq!(run(1, 3), run(3, 3));
        assert_ne!(run(1, 3), run(1, 4));
    }

    #[test]
    fn save_and_resume_equals_an_uninterrupted_run_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let mut whole = trainer(example());
        let mut first = trainer(example());
        (0..12).for_each(|_| assert!(whole.step().is_ok()));
        (0..7).for_each(|_| assert!(first.step().is_ok()));
        first.save(folder.path()).unwrap();
        let latest = checkpoint::latest_valid(folder.path()).unwrap();
        assert!(latest.refused.is_empty());
        let network = network(Some(AttentionVariant::Softmax));
        let saved = latest.found.unwrap().1;
        let mut resumed =
            Trainer::resume(example(), &network, stripes(), &Device::Cpu, saved).unwrap();
        assert_eq!(resumed.n_steps_done(), 7);
        (0..5).for_each(|_| assert!(resumed.step().is_ok()));
        assert_eq!(bits(&resumed), bits(&whole));
    }

    #[test]
    fn resuming_with_another_network_is_refused() {
        let saved = trainer(example()).contents().unwrap();
        let other = network(None);
        let result = Trainer::resume(example(), &other, stripes(), &Device::Cpu, saved);
        let error = result.err().unwrap().to_string();
        assert!(error.contains("the checkpoint's network is"), "{error}");
    }

    #[test]
    fn only_the_newest_checkpoints_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut trainer = trainer(example());
        for _ in 0..4 {
            trainer.step().unwrap();
            trainer.save(folder.path()).unwrap();
        }
        let steps: Vec<u64> =
            checkpoint::list(folder.path()).unwrap().iter().map(|c| c.step).collect();
        assert_eq!(steps, [4, 3]);
    }

    #[test]
    fn every_attention_variant_learns_a_toy_set() {
        use AttentionVariant::{Identity, Softmax, Top1, Uniform};
        for variant in [None, Some(Softmax), Some(Top1), Some(Uniform), Some(Identity)] {
            let weighting = LossWeighting::Velocity { limit: 10.0 };
            let config =
                TrainingConfig { steps: 150, batch: 16, rate: 1e-2, weighting, ..example() };
            let mut trainer =
                Trainer::new(config, &network(variant), stripes(), &Device::Cpu).unwrap();
            let losses: Vec<f64> = (0..150).map(|_| trainer.step().unwrap().loss).collect();
            let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
            let (early, late) = (mean(&losses[..10]), mean(&losses[140..]));
            assert!(late < 0.6 * early, "{variant:?}: {early} to {late}");
        }
    }

    #[test]
    fn a_step_that_is_not_finite_is_reported_and_changes_nothing() {
        let mut trainer = trainer(example());
        trainer.step().unwrap();
        let (_, last) = &trainer.variables[trainer.variables.len() - 1];
        let good = last.as_tensor().copy().unwrap();
        last.set(&(&good * f64::NAN).unwrap()).unwrap();
        let poisoned = bits(&trainer);
        let error = trainer.step().unwrap_err();
        assert!(matches!(error, TrainingError::NonFinite { step: 2, .. }), "{error}");
        assert_eq!(bits(&trainer), poisoned);
        trainer.variables[trainer.variables.len() - 1].1.set(&good).unwrap();
        assert_eq!(trainer.step().unwrap().step, 3);
    }

    #[test]
    fn a_snapshot_is_not_changed_by_later_steps() {
        use crate::diffusion::{Denoiser, Schedule};
        let mut trainer = trainer(example());
        trainer.step().unwrap();
        let denoiser = trainer.ema_denoiser().unwrap().with_attention(true);
        let x = crate::random::noise_seeds(1, 0, 3, ImageShape::new(1, 6, 6));
        let run = || denoiser.denoise(&x, Schedule::Cosine.level(0.5)).unwrap();
        let before = run();
        trainer.step().unwrap();
        assert_eq!(run().x0, before.x0);
        let maps = before.attention.unwrap();
        assert_eq!((maps.len(), maps.n_heads(), maps.n_pixels()), (3, 2, 36));
        for row in maps.weights().chunks(36) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        }
    }
}
