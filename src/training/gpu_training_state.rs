//! Training steps on a GPU, with batches prepared in advance by separate threads.
//!
//! For these networks a GPU processes a batch faster than one CPU core draws its noise. Every batch is a
//! function of seed and step alone, so several threads can draw future steps.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use candle_core::{Device, DeviceLocation, Tensor};

use super::checkpoint::Contents;
use super::error::TrainingError;
use super::gpu_commands::GpuStep;
use super::gpu_micro_batches::largest_pieces;
use super::learning_rate::learning_rate;
use super::loss::noisy_batch;
use super::tensor_training_state::missing;
use super::training_config::TrainingConfig;
use super::training_state::{Opened, Outcome, TrainingState};
use crate::dataset::{Batches, Dataset};
use crate::network::gpu::command_plan::{Command, Convolution, Pass, Place};
use crate::network::gpu::cuda_engine::{Engine, Segment};
use crate::network::gpu::error::EngineError;
use crate::network::network_config::NetworkConfig;
use crate::network::{Network, TensorMap};

/// Maximum number of threads that draw batches.
const THREADS: usize = 6;
/// Number of steps that each thread works ahead.
const AHEAD: usize = 2;

/// Training state on a GPU.
pub struct GpuTraining {
    step: Arc<GpuStep>,
    engine: Engine,
    gradients: Segment,
    update: Segment,
    drawn: Option<Drawn>,
    n_updates: u64,
    config: TrainingConfig,
    dataset: Arc<Dataset>,
}

/// Host-side inputs of a step's micro-batches, ready to be uploaded.
struct Ready {
    times: Vec<f64>,
    pieces: Vec<Vec<f32>>,
}

/// Threads that draw batches; of n threads, thread i draws every nth step.
struct Drawn {
    next: u64,
    first: u64,
    threads: Vec<Receiver<Ready>>,
}

impl GpuTraining {
    /// Sets up training on GPU `ordinal`. A batch that does not fit into memory is split into smaller
    /// micro-batches, and a note about that is returned. `Ok(Err)` explains which part of the network is not
    /// supported on the GPU.
    ///
    /// # Errors
    ///
    /// If the GPU cannot be opened, or has no room for a single image.
    pub fn open(
        ordinal: usize,
        config: &TrainingConfig,
        network: &NetworkConfig,
        dataset: Arc<Dataset>,
    ) -> Result<Result<(Self, Option<String>), String>, EngineError> {
        let open = |piece| {
            let step = match GpuStep::new(config, network, piece) {
                Ok(step) => Arc::new(step),
                Err(problem) => return Ok(Err(problem)),
            };
            let commands = [&step.gradients[..], &step.update[..]];
            #[expect(unsafe_code, reason = "the contract of `Engine::new`")]
            // SAFETY: the commands are those that `GpuStep::new` made over this very plan; their kernels stay
            // inside their buffers, as `tests/emulator/steps.rs` checks for every kind of network.
            let (engine, [gradients, update]) =
                unsafe { Engine::new(ordinal, step.plan.clone(), commands, config.compute_type) }?;
            let (config, dataset, drawn, n_updates) = (config.clone(), dataset.clone(), None, 0);
            Ok(Ok(Self { step, engine, gradients, update, drawn, n_updates, config, dataset }))
        };
        let (opened, note) = largest_pieces(config, open)?;
        Ok(opened.map(|gpu| (gpu, note)))
    }

    /// Floating-point operations of the matrix products and convolutions in a step.
    pub fn operations(&self) -> f64 {
        self.total(|command| command.operations())
    }

    /// Minimum number of bytes moved by a step's commands.
    pub fn n_bytes_moved(&self) -> f64 {
        self.total(|command| command.n_bytes(&self.step.plan))
    }

    fn total(&self, of: impl Fn(&Command) -> f64) -> f64 {
        let sum = |commands: &[Command]| commands.iter().map(&of).sum::<f64>();
        self.step.n_pieces() as f64 * sum(&self.step.gradients) + sum(&self.step.update)
    }

    /// Runs one step; `step` counts from 0.
    ///
    /// # Errors
    ///
    /// If the GPU fails.
    pub fn step(&mut self, step: u64) -> Result<Outcome, EngineError> {
        let ready = self.draw(step);
        let inputs = self.step.inputs;
        for piece in &ready.pieces {
            self.engine.send(inputs.x, inputs.n_values, |out| out.copy_from_slice(piece))?;
            self.engine.run(&mut self.gradients)?;
        }
        self.engine.run(&mut self.update)?;
        let batch = self.config.batch;
        let report = self.engine.read(self.step.kept.report, batch + 2)?;
        let errors = report[..batch].iter().map(|&error| f64::from(error));
        self.n_updates = report[batch + 1] as u64;
        Ok(Outcome {
            errors: ready.times.into_iter().zip(errors).collect(),
            gradient_norm: f64::from(report[batch]),
        })
    }

    fn draw(&mut self, step: u64) -> Ready {
        let is_next = self.drawn.as_ref().is_some_and(|drawn| drawn.next == step);
        if !is_next {
            self.drawn = Some(Drawn::start(&self.step, &self.config, &self.dataset, step));
        }
        let drawn = self.drawn.as_mut().and_then(Drawn::take);
        // A thread that is gone has panicked. Drawing its batch here repeats the panic on this thread.
        drawn.unwrap_or_else(|| {
            let mut order = Batches::new(self.dataset.len(), self.config.batch, self.config.seed);
            ready(&self.step, &self.config, &self.dataset, &mut order, step)
        })
    }

    /// Uploads weights, moments and the moving average of the weights, as stored in checkpoints.
    ///
    /// # Errors
    ///
    /// If a tensor is missing or has another shape, or the GPU fails.
    pub fn take(
        &mut self,
        n_updates: u64,
        weights: &TensorMap,
        moments: Option<&TensorMap>,
        average: &TensorMap,
    ) -> Result<(), TrainingError> {
        let kept = self.step.kept;
        let zeros = vec![0.0; self.step.n_parameters];
        let all = [(kept.parameters, Some(weights), ""), (kept.average, Some(average), "")];
        let moments = [(kept.mean, moments, "mean."), (kept.square, moments, "square.")];
        for (place, map, prefix) in all.into_iter().chain(moments) {
            let values = match map {
                Some(map) => self.joined(map, prefix)?,
                None => zeros.clone(),
            };
            self.engine.write(place, &values)?;
        }
        self.engine.write(kept.gradients, &zeros)?;
        self.engine.write(kept.state, &[n_updates as f32])?;
        self.n_updates = n_updates;
        Ok(())
    }

    fn joined(&self, map: &TensorMap, prefix: &str) -> Result<Vec<f32>, TrainingError> {
        let mut all = vec![0.0; self.step.n_parameters];
        for parameter in &self.step.parameters {
            let name = format!("{prefix}{}", parameter.name);
            let tensor = map.get(&name).filter(|tensor| tensor.dims() == parameter.dims);
            let tensor = tensor.ok_or_else(|| missing("state", &name))?;
            let values = tensor.flatten_all().and_then(|flat| flat.to_vec1::<f32>());
            parameter.to_gpu(&values.map_err(|_| missing("state", &name))?, &mut all);
        }
        Ok(all)
    }

    fn map(&self, place: Place, prefix: &str) -> Result<TensorMap, EngineError> {
        let all = self.engine.read(place, self.step.n_parameters)?;
        let mut map = BTreeMap::new();
        for parameter in &self.step.parameters {
            let values = parameter.to_network(&all);
            let tensor = Tensor::from_vec(values, parameter.dims.as_slice(), &Device::Cpu);
            let tensor = tensor.map_err(|error| EngineError::Failed {
                doing: "reading its values",
                problem: error.to_string(),
            })?;
            map.insert(format!("{prefix}{}", parameter.name), tensor);
        }
        Ok(map)
    }

    /// Median time in milliseconds of a step's commands over `repeats`, summed by kind of command.
    ///
    /// # Errors
    ///
    /// If the GPU fails.
    pub fn profile(&mut self, repeats: usize) -> Result<Vec<(String, f64)>, EngineError> {
        let mut totals: BTreeMap<String, f64> = BTreeMap::new();
        for segment in [&self.gradients, &self.update] {
            let times = self.engine.time(segment, repeats)?;
            for (command, ms) in segment.commands.iter().zip(times) {
                let name = match command {
                    Command::Launch(launch) => launch.kernel.to_owned(),
                    Command::Product(_) => "cublas".to_owned(),
                    Command::Convolution(Convolution { pass, sizes, .. }) => {
                        let pass = match pass {
                            Pass::Forward => "forward",
                            Pass::Input => "input gradient",
                            Pass::Weight => "weight gradient",
                        };
                        format!(
                            "cudnn {pass} {} to {} at {}x{}",
                            sizes.c_in, sizes.c_out, sizes.height, sizes.width
                        )
                    }
                };
                *totals.entry(name).or_default() += ms;
            }
        }
        let mut totals: Vec<(String, f64)> = totals.into_iter().collect();
        totals.sort_by(|a, b| f64::total_cmp(&b.1, &a.1));
        Ok(totals)
    }
}

/// Training state of an untrained network, on the network's GPU; `Ok(Err)` explains why the GPU cannot train
/// it.
///
/// # Errors
///
/// If the GPU cannot be opened, or has no room for a single image.
pub fn fresh(
    config: &TrainingConfig,
    network: &Network,
    dataset: &Arc<Dataset>,
) -> Result<Opened, TrainingError> {
    let DeviceLocation::Cuda { gpu_id } = network.device().location() else {
        return Ok(Err("the device is not an NVIDIA GPU".to_owned()));
    };
    let opened = GpuTraining::open(gpu_id, config, network.config(), dataset.clone())?;
    let (mut gpu, warning) = match opened {
        Ok(opened) => opened,
        Err(problem) => return Ok(Err(problem)),
    };
    let weights: TensorMap = network.parameters().iter().cloned().collect();
    gpu.take(0, &weights, None, &weights)?;
    Ok(Ok((Box::new(gpu), warning)))
}

impl TrainingState for GpuTraining {
    fn step(&mut self, _network: &Network, step: u64) -> Result<Outcome, TrainingError> {
        Ok(GpuTraining::step(self, step)?)
    }

    fn n_updates(&self) -> u64 {
        self.n_updates
    }

    fn weights(&self, _network: &Network) -> Result<TensorMap, TrainingError> {
        Ok(self.map(self.step.kept.parameters, "")?)
    }

    fn average(&self) -> Result<TensorMap, TrainingError> {
        Ok(self.map(self.step.kept.average, "")?)
    }

    /// The moments as `mean.NAME` and `square.NAME`.
    fn moments(&self) -> Result<TensorMap, TrainingError> {
        let mut all = self.map(self.step.kept.mean, "mean.")?;
        all.extend(self.map(self.step.kept.square, "square.")?);
        Ok(all)
    }

    fn restore(&mut self, _network: &Network, saved: Contents) -> Result<(), TrainingError> {
        let Contents { n_updates, weights, optimizer, ema, .. } = saved;
        self.take(n_updates, &weights, Some(&optimizer), &ema)
    }
}

fn ready(
    step: &GpuStep,
    config: &TrainingConfig,
    dataset: &Dataset,
    order: &mut Batches,
    number: u64,
) -> Ready {
    let drawn = noisy_batch(dataset, order, config, step.network.schedule, number);
    let rate = learning_rate(config, number);
    let piece = |which| {
        let mut values = vec![0.0; step.inputs.n_values];
        step.fill(&drawn, which, rate, &mut values);
        values
    };
    Ready { pieces: (0..step.n_pieces()).map(piece).collect(), times: drawn.t }
}

impl Drawn {
    fn start(
        step: &Arc<GpuStep>,
        config: &TrainingConfig,
        dataset: &Arc<Dataset>,
        first: u64,
    ) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let n = (cores / 2).clamp(1, THREADS);
        let thread = |which: usize| {
            let (sender, receiver) = sync_channel(AHEAD);
            let (step, config, dataset) = (step.clone(), config.clone(), dataset.clone());
            std::thread::spawn(move || {
                let mut order = Batches::new(dataset.len(), config.batch, config.seed);
                for number in (first + which as u64..).step_by(n) {
                    // The receiver is dropped once the run ends.
                    if sender.send(ready(&step, &config, &dataset, &mut order, number)).is_err() {
                        return;
                    }
                }
            });
            receiver
        };
        Self { next: first, first, threads: (0..n).map(thread).collect() }
    }

    fn take(&mut self) -> Option<Ready> {
        let which = (self.next - self.first) % self.threads.len() as u64;
        self.next += 1;
        self.threads[which as usize].recv().ok()
    }
}
