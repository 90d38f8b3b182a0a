//! Training state as candle's tensors: the specification of a step, and how the CPU takes it.

use candle_core::backprop::GradStore;
use candle_core::{DType, Var};

use super::adamw::{AdamW, Update, clip_factor};
use super::config::TrainingConfig;
use super::ema::Ema;
use super::error::TrainingError;
use super::loss::{HostBatch, NoisyBatch, noise_loss};
use crate::network::ops::clock::{Work, timed};
use crate::network::{Mode, Network, TensorMap};

/// A network's variables, what moves them and their average.
pub struct Tensors {
    variables: Vec<(String, Var)>,
    optimizer: AdamW,
    ema: Ema,
}

impl Tensors {
    pub fn new(config: &TrainingConfig, network: &Network) -> Result<Self, TrainingError> {
        let variables = network.variables()?;
        let optimizer = AdamW::new(variables.clone())?;
        let ema = Ema::new(config.ema_decay, &variables)?;
        Ok(Self { variables, optimizer, ema })
    }

    pub fn n_updates(&self) -> u64 {
        self.optimizer.n_updates()
    }

    pub fn average(&self) -> &TensorMap {
        self.ema.weights()
    }

    pub fn moments(&self) -> Result<TensorMap, TrainingError> {
        Ok(self.optimizer.state()?.into_iter().collect())
    }

    /// Time and error of each image and the gradient's norm; no weight changes unless all are finite.
    pub fn step(
        &mut self,
        config: &TrainingConfig,
        network: &Network,
        batch: &HostBatch,
        step: u64,
        rate: f64,
    ) -> Result<(Vec<(f64, f64)>, f64), TrainingError> {
        let batch = batch.tensors(network.config().image, network.dtype(), network.device())?;
        let (errors, gradients) = self.gradients(config, network, &batch, step)?;
        let gradient_norm = self.optimizer.gradient_norm(&gradients)?;
        if errors.iter().all(|error| error.is_finite()) && gradient_norm.is_finite() {
            let _timer = timed(Work::Optimiser);
            let gradient_factor = clip_factor(gradient_norm, config.clip_norm);
            let weight_decay = config.weight_decay;
            self.optimizer.update(&gradients, Update { rate, weight_decay, gradient_factor })?;
            self.ema.update(&self.variables, self.optimizer.n_updates() - 1)?;
        }
        Ok((batch.times().iter().copied().zip(errors).collect(), gradient_norm))
    }

    /// Takes what a checkpoint holds.
    pub fn take(
        &mut self,
        config: &TrainingConfig,
        network: &Network,
        n_updates: u64,
        weights: &TensorMap,
        mut moments: TensorMap,
        average: &TensorMap,
    ) -> Result<(), TrainingError> {
        let device = network.device();
        for (name, variable) in &self.variables {
            let stored = weights.get(name).filter(|stored| stored.dims() == variable.dims());
            // A copy: what is stored may be this very variable's.
            let stored = stored.ok_or_else(|| missing("weights", name))?.copy()?;
            variable.set(&stored.to_device(device)?)?;
        }
        for tensor in moments.values_mut() {
            *tensor = tensor.to_device(device)?;
        }
        self.optimizer
            .restore(n_updates, |name| moments.remove(name))
            .map_err(|name| missing("optimiser state", &name))?;
        // Through a network of this shape, which names anything that does not fit.
        let average = network.frozen_with(average)?;
        let average = average.parameters().iter().cloned().collect();
        self.ema = Ema::resume(config.ema_decay, average);
        Ok(())
    }

    /// Each image's loss as a number - no graph outlives this call - and the gradients of their mean.
    fn gradients(
        &self,
        config: &TrainingConfig,
        network: &Network,
        batch: &NoisyBatch,
        step: u64,
    ) -> Result<(Vec<f64>, GradStore), TrainingError> {
        let n_pieces = config.accumulate;
        if n_pieces == 1 {
            return gradients_of(config, network, batch, step, 1.0);
        }
        let mut errors = Vec::with_capacity(batch.times().len());
        let mut total: Option<GradStore> = None;
        for (i, piece) in batch.pieces(n_pieces)?.iter().enumerate() {
            // Each piece draws Gumbel noise of its own.
            let draw = step * n_pieces as u64 + i as u64;
            let (some, gradients) =
                gradients_of(config, network, piece, draw, 1.0 / n_pieces as f64)?;
            errors.extend(some);
            total = Some(match total.take() {
                None => gradients,
                Some(mut total) => {
                    for (_, variable) in &self.variables {
                        if let (Some(a), Some(b)) = (total.get(variable), gradients.get(variable)) {
                            let sum = (a.detach() + b.detach())?;
                            total.insert(variable, sum);
                        }
                    }
                    total
                }
            });
        }
        let total = total.ok_or_else(|| TrainingError::Setup {
            problem: "'training.accumulate' is '0'; use at least 1".to_owned(),
        })?;
        Ok((errors, total))
    }
}

fn gradients_of(
    config: &TrainingConfig,
    network: &Network,
    batch: &NoisyBatch,
    step: u64,
    share: f64,
) -> Result<(Vec<f64>, GradStore), TrainingError> {
    let mode = Mode::Train { seed: config.seed, step };
    let loss = noise_loss(network, batch, config.weighting, mode)?;
    let gradients = (loss.weighted * share)?.backward()?;
    Ok((loss.errors.to_dtype(DType::F64)?.to_vec1::<f64>()?, gradients))
}

/// A checkpoint lacks what it should hold.
pub fn missing(what: &str, name: &str) -> TrainingError {
    let problem = format!("the checkpoint's {what} has no fitting '{name}'");
    TrainingError::Setup { problem }
}
