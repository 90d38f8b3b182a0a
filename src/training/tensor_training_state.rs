//! Training state as candle tensors: the reference implementation of a step, also used on the CPU.

use std::sync::Arc;

use candle_core::backprop::GradStore;
use candle_core::{DType, Var};

use super::adamw::AdamW;
use super::checkpoint::Contents;
use super::ema::Ema;
use super::error::TrainingError;
use super::gradient_clipping::{clip_factor, gradient_norm};
use super::learning_rate::learning_rate;
use super::loss::{NoisyBatch, noise_loss, noisy_batch};
use super::optimizer_interface::{Optimizer, Update};
use super::soap::Soap;
use super::training_config::{OptimizerKind, TrainingConfig};
use super::training_state::{Outcome, TrainingState};
use crate::dataset::{Batches, Dataset};
use crate::network::ops::operation_times::{Work, timed};
use crate::network::{Mode, Network, TensorMap};

/// A network's variables, their optimiser and average, and the data for the steps.
pub struct Tensors {
    config: TrainingConfig,
    dataset: Arc<Dataset>,
    order: Batches,
    variables: Vec<(String, Var)>,
    optimizer: Box<dyn Optimizer>,
    ema: Ema,
}

impl Tensors {
    pub fn new(
        config: &TrainingConfig,
        network: &Network,
        dataset: Arc<Dataset>,
    ) -> Result<Self, TrainingError> {
        let order = Batches::new(dataset.len(), config.batch, config.seed);
        let variables = network.variables()?;
        let parameters = variables.clone();
        let optimizer: Box<dyn Optimizer> = match config.optimizer {
            OptimizerKind::AdamW => Box::new(AdamW::new(parameters)?),
            OptimizerKind::Soap => Box::new(Soap::new(parameters)),
        };
        let ema = Ema::new(config.ema_decay, &variables)?;
        Ok(Self { config: config.clone(), dataset, order, variables, optimizer, ema })
    }

    /// [`TrainingState::step`].
    fn step_in_pool(&mut self, network: &Network, step: u64) -> Result<Outcome, TrainingError> {
        let schedule = network.config().schedule;
        let batch = noisy_batch(&self.dataset, &mut self.order, &self.config, schedule, step);
        let batch = batch.tensors(network.config().image, network.dtype(), network.device())?;
        let (errors, gradients) = self.gradients(network, &batch, step)?;
        let gradient_norm = gradient_norm(&self.variables, &gradients)?;
        if errors.iter().all(|error| error.is_finite()) && gradient_norm.is_finite() {
            let _timer = timed(Work::Optimiser);
            let rate = learning_rate(&self.config, step);
            let gradient_factor = clip_factor(gradient_norm, self.config.clip_norm);
            let weight_decay = self.config.weight_decay;
            self.optimizer.update(&gradients, Update { rate, weight_decay, gradient_factor })?;
            self.ema.update(&self.variables, self.optimizer.n_updates() - 1)?;
        }
        let errors = batch.times().iter().copied().zip(errors).collect();
        Ok(Outcome { errors, gradient_norm })
    }

    /// Each image's loss as a number (no graph outlives this call) and the gradients of the mean loss.
    fn gradients(
        &self,
        network: &Network,
        batch: &NoisyBatch,
        step: u64,
    ) -> Result<(Vec<f64>, GradStore), TrainingError> {
        let config = &self.config;
        let n_pieces = config.accumulate;
        if n_pieces == 1 {
            return gradients_of(config, network, batch, step, 1.0);
        }
        let mut errors = Vec::with_capacity(batch.times().len());
        let mut total: Option<GradStore> = None;
        for (i, piece) in batch.pieces(n_pieces)?.iter().enumerate() {
            // Each piece draws its own Gumbel noise.
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
            problem: "training.accumulate is 0; use at least 1".to_owned(),
        })?;
        Ok((errors, total))
    }
}

impl TrainingState for Tensors {
    fn step(&mut self, network: &Network, step: u64) -> Result<Outcome, TrainingError> {
        // On a thread of the pool: from outside, the start and end of each operation's parallel part would each wake a
        // sleeping thread.
        rayon::scope(|_| self.step_in_pool(network, step))
    }

    fn n_updates(&self) -> u64 {
        self.optimizer.n_updates()
    }

    fn weights(&self, network: &Network) -> Result<TensorMap, TrainingError> {
        Ok(network.parameters().iter().cloned().collect())
    }

    fn average(&self) -> Result<TensorMap, TrainingError> {
        Ok(self.ema.weights().clone())
    }

    fn moments(&self) -> Result<TensorMap, TrainingError> {
        Ok(self.optimizer.state()?.into_iter().collect())
    }

    fn restore(&mut self, network: &Network, saved: Contents) -> Result<(), TrainingError> {
        let device = network.device();
        for (name, variable) in &self.variables {
            let stored = saved.weights.get(name).filter(|stored| stored.dims() == variable.dims());
            // Copied, because the stored tensor may be this very variable's.
            let stored = stored.ok_or_else(|| missing("weights", name))?.copy()?;
            variable.set(&stored.to_device(device)?)?;
        }
        let mut moments = saved.optimizer;
        for tensor in moments.values_mut() {
            *tensor = tensor.to_device(device)?;
        }
        self.optimizer
            .restore(saved.n_updates, &mut |name| moments.remove(name))
            .map_err(|name| missing("optimiser state", &name))?;
        // Building a network of this shape reports any tensor that does not fit.
        let average = network.frozen_with(&saved.ema)?;
        let average = average.parameters().iter().cloned().collect();
        self.ema = Ema::resume(self.config.ema_decay, average);
        Ok(())
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
    let loss = noise_loss(network, batch, config, mode)?;
    let gradients = (loss.weighted * share)?.backward()?;
    Ok((loss.errors.to_dtype(DType::F64)?.to_vec1::<f64>()?, gradients))
}

/// Error for a tensor that a checkpoint lacks.
pub fn missing(what: &str, name: &str) -> TrainingError {
    let problem = format!("the checkpoint's {what} has no tensor '{name}' of the expected shape");
    TrainingError::Setup { problem }
}
