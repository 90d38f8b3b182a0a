//! The training loop, one step at a time, in named phases: data, gradients, update, average.
//!
//! The caller decides when to step, preview, save and stop; the trainer knows neither file locations nor
//! observers. Every random draw is a function of seed and step, so a resumed run on the CPU continues bit for
//! bit. A step whose loss or gradient is not finite changes no weight: it is reported as
//! [`TrainingError::NonFinite`], and the next step sees other data.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use candle_core::{DType, Device};

use super::checkpoint::{self, Contents};
use super::checkpoint_settings::{Current, DecidingSettings, SavedIdentity};
use super::checkpoints_to_keep;
use super::early_end_of_training::Progress;
use super::error::TrainingError;
use super::learning_rate::learning_rate;
use super::tensor_training_state::Tensors;
use super::training_config::{ComputeType, OptimizerKind, TrainingConfig};
use super::training_state::{Outcome, TrainingState};
use crate::dataset::Dataset;
use crate::network::{Network, NetworkDenoiser, network_config::NetworkConfig, parameters::Source};

/// Report of one step.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// Steps done, including this one.
    pub step: u64,
    /// Mean squared error of the predicted noise, unweighted, before the update.
    pub loss: f64,
    /// Global 2-norm of the gradient, before clipping.
    pub gradient_norm: f64,
    pub learning_rate: f64,
    /// Time and loss of each image.
    pub errors: Vec<(f64, f64)>,
}

/// A network in training and everything that its next step depends on.
pub struct Trainer {
    config: TrainingConfig,
    settings: DecidingSettings,
    dataset: Arc<Dataset>,
    network: Network,
    state: Box<dyn TrainingState>,
    /// Warning about a fallback compute path.
    warning: Option<String>,
    n_steps_done: u64,
    progress: Progress,
}

impl Trainer {
    /// Creates a network from the configuration's rng seed. `settings` are stored in checkpoints: training
    /// continues only with the same ones.
    ///
    /// # Errors
    ///
    /// If the dataset is empty, if dataset, batch settings and network do not fit together, or if the network
    /// or the training state cannot be created on the device.
    pub fn new(
        config: TrainingConfig,
        network: &NetworkConfig,
        dataset: Arc<Dataset>,
        settings: DecidingSettings,
        device: &Device,
    ) -> Result<Self, TrainingError> {
        let network = Network::new(network, config.seed, device)?;
        Self::with_network(config, network, dataset, settings)
    }

    /// Continues from a checkpoint's contents, exactly as if never interrupted.
    ///
    /// # Errors
    ///
    /// If the checkpoint has other settings or training images.
    pub fn resume(
        config: TrainingConfig,
        network: &NetworkConfig,
        dataset: Arc<Dataset>,
        settings: DecidingSettings,
        device: &Device,
        saved: Contents,
    ) -> Result<Self, TrainingError> {
        let current =
            Current { settings: &settings, training: &config, network, dataset: &dataset };
        current.check(&saved.identity)?;
        let source = Source::Stored(&saved.weights);
        let network = Network::build(network, source, DType::F32, device)?;
        let mut trainer = Self::with_network(config, network, dataset, settings)?;
        trainer.n_steps_done = saved.step;
        trainer.progress = saved.progress;
        trainer.state.restore(&trainer.network, saved)?;
        Ok(trainer)
    }

    /// Restores weights and optimiser from a checkpoint but keeps the current step number: every step draws its
    /// own data, so the failed steps are not repeated.
    ///
    /// # Errors
    ///
    /// If the checkpoint has other settings or training images.
    pub fn roll_back(&mut self, saved: Contents) -> Result<(), TrainingError> {
        self.current().check(&saved.identity)?;
        self.state.restore(&self.network, saved)
    }

    fn current(&self) -> Current<'_> {
        Current {
            settings: &self.settings,
            training: &self.config,
            network: self.network.config(),
            dataset: &self.dataset,
        }
    }

    fn with_network(
        config: TrainingConfig,
        mut network: Network,
        dataset: Arc<Dataset>,
        settings: DecidingSettings,
    ) -> Result<Self, TrainingError> {
        check(&config, network.config(), &dataset)?;
        if network.device().is_cpu() && config.compute_type == ComputeType::Bf16 {
            network.multiply_in_bf16()?;
        }
        let (state, warning) = fresh_state(&config, &network, &dataset)?;
        Ok(Self {
            config,
            settings,
            dataset,
            network,
            state,
            warning,
            n_steps_done: 0,
            progress: Progress::default(),
        })
    }

    /// Returns the warning about a fallback compute path, once.
    pub fn take_warning(&mut self) -> Option<String> {
        self.warning.take()
    }

    /// Steps done, including skipped ones.
    pub fn n_steps_done(&self) -> u64 {
        self.n_steps_done
    }

    /// The reason why training should end before its last step, if there is one.
    pub fn early_end(&self) -> Option<String> {
        self.progress.end(&self.config)
    }

    pub fn network(&self) -> &Network {
        &self.network
    }

    pub fn config(&self) -> &TrainingConfig {
        &self.config
    }

    /// Takes one step.
    ///
    /// # Errors
    ///
    /// [`TrainingError::NonFinite`] if the loss or gradient is not finite; the weights are unchanged then.
    pub fn step(&mut self) -> Result<StepReport, TrainingError> {
        let started = Instant::now();
        let step = self.n_steps_done;
        // Counted before anything can fail, so that a step that cannot be taken is not retried forever.
        self.n_steps_done += 1;
        let Outcome { errors, gradient_norm } = self.state.step(&self.network, step)?;
        let loss = mean_error(&errors);
        if !loss.is_finite() || !gradient_norm.is_finite() {
            return Err(TrainingError::NonFinite { step: step + 1, loss, gradient_norm });
        }
        self.progress.add(&self.config, loss, started.elapsed());
        let learning_rate = learning_rate(&self.config, step);
        Ok(StepReport { step: step + 1, loss, gradient_norm, learning_rate, errors })
    }

    /// The contents of a checkpoint. Weights are shared, not copied: the next step changes them.
    ///
    /// # Errors
    ///
    /// If the training state cannot be read from its device.
    pub fn contents(&self) -> Result<Contents, TrainingError> {
        Ok(Contents {
            step: self.n_steps_done,
            n_updates: self.state.n_updates(),
            progress: self.progress,
            identity: SavedIdentity::V2(self.current().identity()),
            weights: self.state.weights(&self.network)?,
            ema: self.state.average()?,
            optimizer: self.state.moments()?,
        })
    }

    /// Writes a checkpoint, then deletes those that the configuration no longer keeps.
    ///
    /// # Errors
    ///
    /// [`TrainingError::Poisoned`] if the state contains NaN or infinity; other errors if the state cannot be
    /// read, the checkpoint cannot be written, or the older ones cannot be listed or deleted.
    pub fn save(&self, state_dir: &Path) -> Result<PathBuf, TrainingError> {
        let contents = self.contents()?;
        if let Some(name) = contents.not_finite()? {
            return Err(TrainingError::Poisoned { step: self.n_steps_done, name });
        }
        let saved = checkpoint::write(state_dir, &contents)?;
        let all = checkpoint::list(state_dir)?;
        let steps: Vec<u64> = all.iter().map(|checkpoint| checkpoint.step).collect();
        let doomed = checkpoints_to_keep::to_delete(
            &steps,
            self.config.keep_checkpoints,
            self.config.keep_every,
        );
        let is_doomed =
            |c: &&checkpoint::Checkpoint| doomed.contains(&c.step) && c.step != saved.step;
        for old in all.iter().filter(is_doomed) {
            checkpoint::delete(old)?;
        }
        Ok(saved.path)
    }

    /// A snapshot of the averaged weights that later steps do not change.
    ///
    /// # Errors
    ///
    /// If the averaged weights cannot be read or the network cannot be built from them.
    pub fn ema_denoiser(&self) -> Result<NetworkDenoiser, TrainingError> {
        let network = self.network.frozen_with(&self.state.average()?)?;
        Ok(NetworkDenoiser::new(Arc::new(network)))
    }
}

/// Training state of an untrained network on its device, with a warning if a fallback compute path is used.
fn fresh_state(
    config: &TrainingConfig,
    network: &Network,
    dataset: &Arc<Dataset>,
) -> Result<(Box<dyn TrainingState>, Option<String>), TrainingError> {
    let mut warning = None;
    if !network.device().is_cpu() {
        if config.optimizer == OptimizerKind::Soap {
            let problem = "training.optimizer 'soap' works on the CPU only; use training.optimizer=adamw, or --device cpu";
            return Err(TrainingError::Setup { problem: problem.to_owned() });
        }
        #[cfg(feature = "cudnn")]
        let problem = match super::gpu_training_state::fresh(config, network, dataset)? {
            Ok(found) => return Ok(found),
            Err(problem) => problem,
        };
        #[cfg(not(feature = "cudnn"))]
        let problem = "this build has no cuDNN (--features cudnn)";
        let path = "training uses the slower path, candle in single precision";
        warning = Some(format!("{path}: {problem}"));
    }
    Ok((Box::new(Tensors::new(config, network, dataset.clone())?), warning))
}

fn mean_error(errors: &[(f64, f64)]) -> f64 {
    errors.iter().map(|(_, error)| error).sum::<f64>() / errors.len() as f64
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
    } else if !config.augment.fits(dataset.shape()) {
        format!(
            "images of dataset '{}' are of {} and cannot be turned by a quarter (training.augment)",
            dataset.name,
            dataset.shape()
        )
    } else if config.batch == 0 {
        "a batch of '0' images; use at least 1".to_owned()
    } else if config.accumulate == 0 || !config.batch.is_multiple_of(config.accumulate) {
        let (batch, pieces) = (config.batch, config.accumulate);
        format!(
            "a batch of {batch} images cannot be computed in '{pieces}' equal pieces (training.accumulate)"
        )
    } else if network.n_classes.is_some() && dataset.labels().is_none() {
        format!("the network is conditional, but dataset '{}' has no labels", dataset.name)
    } else {
        return Ok(());
    };
    Err(TrainingError::Setup { problem })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::dataset::{CraftedKind, CraftedSet, Glyphs};
    use crate::diffusion::Schedule;
    use crate::image::ImageShape;
    use crate::network::network_config::{
        Architecture, AttentionConfig, AttentionVariant, Output, Padding, Readout,
    };
    use crate::simd::bf16::Bf16Instructions;
    use crate::training::training_config::{LossWeighting, example};

    fn stripes() -> Arc<Dataset> {
        let shape = ImageShape::new(1, 6, 6);
        let pixel = |image: usize, at: usize| if (at + image).is_multiple_of(3) { 255 } else { 0 };
        let pixels: Vec<u8> = (0..12 * 36).map(|i| pixel(i / 36, i % 36)).collect();
        Arc::new(Dataset::new("stripes", shape, pixels, None))
    }

    fn network(variant: Option<AttentionVariant>) -> NetworkConfig {
        NetworkConfig {
            schedule: Schedule::default(),
            image: ImageShape::new(1, 6, 6),
            architecture: Architecture::ResNet { width: 16, kernels: vec![3, 1] },
            padding: Padding::Circular,
            group_norm: false,
            last_kernel: 1,
            readout: Readout::Linear,
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
        Trainer::new(config, &network, stripes(), settings("7"), &Device::Cpu).unwrap()
    }

    const OPTIMIZERS: [OptimizerKind; 2] = [OptimizerKind::AdamW, OptimizerKind::Soap];

    fn settings(seed: &str) -> DecidingSettings {
        let values = [("training.seed".to_owned(), seed.to_owned())].into();
        DecidingSettings { values, ..DecidingSettings::default() }
    }

    fn bits(trainer: &Trainer) -> Vec<u32> {
        let contents = trainer.contents().unwrap();
        let maps = [contents.weights, contents.ema, contents.optimizer];
        let values = |t: &candle_core::Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        maps.iter().flat_map(|map| map.values().flat_map(values)).map(f32::to_bits).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_bits_on_any_number_of_threads() {
        let run = |optimizer, threads, seed| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut trainer = trainer(TrainingConfig { optimizer, seed, ..example() });
                (0..12).for_each(|_| assert!(trainer.step().is_ok()));
                bits(&trainer)
            })
        };
        for optimizer in OPTIMIZERS {
            assert_eq!(run(optimizer, 1, 3), run(optimizer, 3, 3), "{optimizer:?}");
            assert_ne!(run(optimizer, 1, 3), run(optimizer, 1, 4), "{optimizer:?}");
        }
    }

    fn resume(config: &TrainingConfig, saved: Contents) -> Result<Trainer, TrainingError> {
        let network = network(Some(AttentionVariant::Softmax));
        Trainer::resume(config.clone(), &network, stripes(), settings("7"), &Device::Cpu, saved)
    }

    /// Single losses differ more: rounding sends the runs along different ways through the same landscape.
    #[test]
    fn bfloat16_factors_train_as_single_precision_within_a_twentieth() {
        if let Err(reason) = Bf16Instructions::detect() {
            let _ = writeln!(std::io::stderr(), "SKIPPED training in bfloat16: {reason}");
            return;
        }
        // Mean losses of 20 steps each.
        let run = |compute_type| {
            let mut trainer = trainer(TrainingConfig { compute_type, ..example() });
            let losses: Vec<f64> = (0..100).map(|_| trainer.step().unwrap().loss).collect();
            losses.chunks(20).map(|some| some.iter().sum::<f64>() / 20.0).collect::<Vec<f64>>()
        };
        let (exact, rounded) = (run(ComputeType::F32), run(ComputeType::Bf16));
        assert_ne!(exact, rounded);
        for (a, b) in exact.iter().zip(&rounded) {
            assert!((a - b).abs() < 0.05 * a, "{exact:?} {rounded:?}");
        }
        assert_eq!(run(ComputeType::Tf32), exact);
    }

    #[test]
    fn bfloat16_factors_are_refused_where_nothing_would_use_them() {
        let training = TrainingConfig { compute_type: ComputeType::Bf16, ..example() };
        let normalised = NetworkConfig { group_norm: true, ..network(None) };
        let made = Trainer::new(training, &normalised, stripes(), settings("7"), &Device::Cpu);
        let problem = made.err().unwrap().to_string();
        assert!(problem.contains("only a ResNet without group_norm"), "{problem}");
    }

    #[test]
    fn save_and_resume_equals_an_uninterrupted_run_bit_for_bit() {
        for optimizer in OPTIMIZERS {
            let folder = tempfile::tempdir().unwrap();
            let config = TrainingConfig { optimizer, ..example() };
            let [mut whole, mut first] = [(); 2].map(|()| trainer(config.clone()));
            (0..12).for_each(|_| assert!(whole.step().is_ok()));
            (0..7).for_each(|_| assert!(first.step().is_ok()));
            first.save(folder.path()).unwrap();
            let latest = checkpoint::latest_valid(folder.path()).unwrap();
            assert!(latest.refused.is_empty());
            let mut resumed = resume(&config, latest.found.unwrap().1).unwrap();
            assert_eq!(resumed.n_steps_done(), 7);
            (0..5).for_each(|_| assert!(resumed.step().is_ok()));
            assert_eq!(bits(&resumed), bits(&whole), "{optimizer:?}");
        }
    }

    #[test]
    fn every_part_of_the_optimiser_state_is_needed() {
        for optimizer in OPTIMIZERS {
            let config = TrainingConfig { optimizer, ..example() };
            let whole = trainer(config.clone()).contents().unwrap();
            for name in whole.optimizer.keys() {
                let without = |replacement: Option<candle_core::Tensor>| {
                    let mut damaged = whole.clone();
                    damaged.optimizer.remove(name);
                    damaged.optimizer.extend(replacement.map(|tensor| (name.clone(), tensor)));
                    resume(&config, damaged).err().unwrap().to_string()
                };
                let other = candle_core::Tensor::zeros((3, 5, 7), DType::F32, &Device::Cpu);
                for error in [without(None), without(Some(other.unwrap()))] {
                    assert!(error.contains(&format!("'{name}'")), "{error}");
                }
            }
        }
    }

    #[test]
    fn soap_reaches_a_lower_loss_than_adamw_in_as_many_steps() {
        let glyphs = Glyphs { size: 10, gap: 2, ..Glyphs::default() };
        let set = CraftedSet { kind: CraftedKind::Glyphs(glyphs), n: 16, seed: 0 };
        let dataset = Arc::new(set.generate("glyphs").unwrap());
        let network = NetworkConfig { image: dataset.shape(), ..network(None) };
        let loss = |optimizer| {
            let (steps, warmup, learning_rate) = (300, 20, 1e-2);
            let defaults = TrainingConfig::default();
            let config = TrainingConfig { optimizer, steps, warmup, learning_rate, ..defaults };
            let dataset = dataset.clone();
            let trainer = Trainer::new(config, &network, dataset, settings("7"), &Device::Cpu);
            let mut trainer = trainer.unwrap();
            let losses: Vec<f64> = (0..steps).map(|_| trainer.step().unwrap().loss).collect();
            losses[steps - 50..].iter().sum::<f64>() / 50.0
        };
        let [adamw, soap] = OPTIMIZERS.map(loss);
        assert!(soap < 0.95 * adamw, "SOAP {soap}, AdamW {adamw}");
    }

    #[test]
    fn resuming_with_other_settings_or_images_is_refused() {
        let resume = |settings, dataset| {
            let saved = trainer(example()).contents().unwrap();
            let network = network(Some(AttentionVariant::Softmax));
            let result =
                Trainer::resume(example(), &network, dataset, settings, &Device::Cpu, saved);
            result.err().map(|error| error.to_string())
        };
        assert_eq!(resume(settings("7"), stripes()), None);
        let error = resume(settings("8"), stripes()).unwrap();
        assert!(error.contains("training.seed is '7' but this run's is '8'"), "{error}");
        let plain = Dataset::new("plain", stripes().shape(), stripes().pixels().repeat(2), None);
        let error = resume(settings("7"), Arc::new(plain)).unwrap();
        assert!(error.contains("the checkpoint's dataset is"), "{error}");
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
            let weighting = LossWeighting::Velocity;
            let config = TrainingConfig {
                steps: 150,
                batch: 16,
                learning_rate: 1e-2,
                weighting,
                ..example()
            };
            let mut trainer =
                Trainer::new(config, &network(variant), stripes(), settings("7"), &Device::Cpu)
                    .unwrap();
            let losses: Vec<f64> = (0..150).map(|_| trainer.step().unwrap().loss).collect();
            let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
            let (early, late) = (mean(&losses[..10]), mean(&losses[140..]));
            assert!(late < 0.6 * early, "{variant:?}: {early} to {late}");
        }
    }

    fn last_variable(trainer: &Trainer) -> candle_core::Var {
        trainer.network().variables().unwrap().pop().unwrap().1
    }

    #[test]
    fn a_step_that_is_not_finite_is_reported_and_changes_nothing() {
        let mut trainer = trainer(example());
        trainer.step().unwrap();
        let last = last_variable(&trainer);
        let good = last.as_tensor().copy().unwrap();
        last.set(&(&good * f64::NAN).unwrap()).unwrap();
        let poisoned = bits(&trainer);
        let error = trainer.step().unwrap_err();
        assert!(matches!(error, TrainingError::NonFinite { step: 2, .. }), "{error}");
        assert_eq!(bits(&trainer), poisoned);
        last.set(&good).unwrap();
        assert_eq!(trainer.step().unwrap().step, 3);
    }

    #[test]
    fn a_batch_in_pieces_makes_the_same_update() {
        let weights = |accumulate| {
            let mut trainer = trainer(TrainingConfig { accumulate, ..example() });
            let report = trainer.step().unwrap();
            let contents = trainer.contents().unwrap();
            let values = |t: &candle_core::Tensor| t.flatten_all().unwrap().to_vec1().unwrap();
            (report, contents.weights.values().flat_map(values).collect::<Vec<f32>>())
        };
        let (whole, pieces) = (weights(1), weights(4));
        assert!((whole.0.loss - pieces.0.loss).abs() < 1e-6);
        assert_eq!(pieces.0.errors.len(), 8);
        assert!((whole.0.gradient_norm / pieces.0.gradient_norm - 1.0).abs() < 1e-4);
        // Adam's first update is rate * sign(gradient): all gradients but those near zero agree.
        let differ = whole.1.iter().zip(&pieces.1).filter(|(a, b)| (*a - *b).abs() > 1e-5).count();
        assert!(differ * 100 < whole.1.len(), "{differ} of {}", whole.1.len());
        let config = TrainingConfig { accumulate: 3, ..example() };
        let refused = Trainer::new(config, &network(None), stripes(), settings("7"), &Device::Cpu);
        assert!(refused.err().unwrap().to_string().contains("training.accumulate"));
    }

    #[test]
    fn rolling_back_restores_the_weights_but_not_the_data() {
        let folder = tempfile::tempdir().unwrap();
        let mut trainer = trainer(example());
        (0..3).for_each(|_| assert!(trainer.step().is_ok()));
        trainer.save(folder.path()).unwrap();
        let before = bits(&trainer);
        let last = last_variable(&trainer);
        last.set(&(last.as_tensor().copy().unwrap() * f64::NAN).unwrap()).unwrap();
        let refused = trainer.save(folder.path()).unwrap_err();
        assert!(matches!(refused, TrainingError::Poisoned { step: 3, .. }), "{refused}");
        assert!(trainer.step().is_err());
        let saved = checkpoint::latest_valid(folder.path()).unwrap().found.unwrap().1;
        trainer.roll_back(saved).unwrap();
        assert_eq!((bits(&trainer), trainer.n_steps_done()), (before, 4));
        assert_eq!(trainer.step().unwrap().step, 5);
    }

    #[test]
    fn a_snapshot_is_not_changed_by_later_steps() {
        use crate::diffusion::{Denoiser, Schedule};
        let mut trainer = trainer(example());
        trainer.step().unwrap();
        let denoiser =
            trainer.ema_denoiser().unwrap().recording(crate::network::AttentionDetail::Maps);
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
