//! A training step as GPU commands: inputs, gradients of one micro-batch (piece), update.
//!
//! Everything that decides an update is computed on the GPU - loss, clipping, whether all numbers are finite -
//! so that a step never waits for the host. The formulas are those of [`super::loss`], [`super::adamw`] and
//! [`super::ema`].

use crate::network::AttentionDetail;
use crate::network::gpu::command_plan::{Command, Launch, Place, Plan};
use crate::network::gpu::network_commands::{GpuNetwork, Inputs};
use crate::network::gpu::parameter_layout::Parameter;
use crate::network::network_config::{NetworkConfig, Output};

use super::loss::HostBatch;
use super::training_config::TrainingConfig;

const THREADS: usize = Launch::THREADS;
/// Number of partial sums for the squared gradient norm.
const PARTIAL_SUMS: usize = 256;
/// Number of values in the optimiser's state, as named in `kernels/training.cuh`.
const STATE_VALUES: usize = 8;

/// Buffers that persist from step to step.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    pub parameters: Place,
    pub gradients: Place,
    /// Moments of AdamW.
    pub mean: Place,
    pub square: Place,
    /// The moving average of the parameters.
    pub average: Place,
    /// The number of updates made, and the decision about the last one.
    pub state: Place,
    /// Each image's error, then the gradient's norm and the number of updates made.
    pub report: Place,
}

/// Inputs of a micro-batch besides its images.
#[derive(Clone, Copy, Debug)]
struct StepInputs {
    /// The noise in the images, `[B, C, H, W]`.
    eps: Place,
    /// For each image: sigma, signal and the loss weight, `[3, B]`.
    levels: Place,
    /// Index of the micro-batch in its batch.
    piece: Place,
    /// The learning rate.
    rate: Place,
}

/// A training step's commands.
pub struct GpuStep {
    pub plan: Plan,
    /// For one micro-batch: from inputs to gradients, which are accumulated.
    pub gradients: Vec<Command>,
    /// For the whole batch; resets the gradients to zero.
    pub update: Vec<Command>,
    pub parameters: Vec<Parameter>,
    /// Total number of parameter values.
    pub n_parameters: usize,
    pub inputs: Inputs,
    pub kept: Kept,
    /// Number of images in a micro-batch.
    pub piece: usize,
    step_inputs: StepInputs,
    pub network: NetworkConfig,
    config: TrainingConfig,
}

impl GpuStep {
    /// Records the commands for micro-batches of `piece` images.
    ///
    /// # Errors
    ///
    /// Explains what is not supported on the GPU.
    pub fn new(
        config: &TrainingConfig,
        network: &NetworkConfig,
        piece: usize,
    ) -> Result<Self, String> {
        let (image, batch) = (network.image, config.batch);
        let n_eps = piece * image.n_values();
        let keeps = (config.compute_type, AttentionDetail::Nothing);
        let made = GpuNetwork::new(network, piece, n_eps + 3 * piece + 2, keeps)?;
        let GpuNetwork { mut layers, inputs, output, .. } = made;
        let levels = inputs.rest.after(n_eps);
        let [number, rate] = [0, 1].map(|i| levels.after(3 * piece + i));
        let step_inputs = StepInputs { eps: inputs.rest, levels, piece: number, rate };
        let n_parameters = layers.parameters.n_values();
        let report = layers.plan.buffer(batch + 2);
        let dout = layers.gradient(output);
        let buffers = vec![
            layers.place(output),
            inputs.x,
            step_inputs.eps,
            step_inputs.levels,
            step_inputs.piece,
            dout,
            report,
        ];
        let channels = crate::network::gpu::parameter_layout::rounded(image.channels);
        let numbers = vec![image.n_pixels(), image.channels, channels];
        let (shared, reals) = (THREADS, vec![batch as f64]);
        let loss = Launch::new("noise_loss", [piece, 1], buffers, numbers);
        layers.commands.push(Command::Launch(Launch { shared, reals, ..loss }));
        layers.backward();
        let homes = layers.homes;
        let mut plan = layers.plan;
        let [mean, square, average] = [(); 3].map(|()| plan.buffer(n_parameters));
        let (state, partial) = (plan.buffer(STATE_VALUES), plan.buffer(PARTIAL_SUMS));
        let (parameters, gradients) = (homes.parameters, homes.gradients);
        let kept = Kept { parameters, gradients, mean, square, average, state, report };
        let sums = PARTIAL_SUMS.min(n_parameters.div_ceil(THREADS));
        let square_sums = Launch {
            shared: THREADS,
            ..Launch::new("square_sums", [sums, 1], vec![gradients, partial], vec![n_parameters])
        };
        let buffers = vec![partial, report, step_inputs.rate, state, report.after(batch)];
        let decide = Launch {
            shared: THREADS,
            reals: vec![config.clip_norm, config.ema_decay],
            ..Launch::new("decide", [1, 1], buffers, vec![sums, batch])
        };
        let buffers = vec![parameters, gradients, mean, square, average, state];
        let blocks = [n_parameters.div_ceil(THREADS), 1];
        let update = Launch {
            reals: vec![config.weight_decay],
            ..Launch::new("update", blocks, buffers, vec![n_parameters])
        };
        let update = [square_sums, decide, update].map(Command::Launch).to_vec();
        Ok(Self {
            plan,
            gradients: layers.commands,
            update,
            parameters: layers.parameters.all,
            n_parameters,
            inputs,
            kept,
            piece,
            step_inputs,
            network: network.clone(),
            config: config.clone(),
        })
    }

    /// Number of micro-batches in a batch.
    pub fn n_pieces(&self) -> usize {
        self.config.batch.div_ceil(self.piece)
    }

    /// Writes the inputs of micro-batch `number` of a batch to `out`, `[n_values]`.
    pub fn fill(&self, batch: &HostBatch, number: usize, rate: f64, out: &mut [f32]) {
        let schedule = self.network.schedule;
        let images = number * self.piece..(number + 1) * self.piece;
        let n = self.network.image.n_values();
        let values = images.start * n..images.end * n;
        let (x, t) = (&batch.x[values.clone()], &batch.t[images.clone()]);
        let labels = batch.labels.as_ref().map(|labels| &labels[images]);
        self.inputs.fill(&self.network, t, x, labels, out);
        let mut put = |place: Place, values: &mut dyn Iterator<Item = f32>| {
            out[place.first..].iter_mut().zip(values).for_each(|(out, value)| *out = value);
        };
        put(self.step_inputs.eps, &mut batch.eps[values].iter().copied());
        let levels: Vec<_> = t.iter().map(|&t| schedule.level(t)).collect();
        let is_velocity = self.network.output == Output::Velocity;
        let sigmas = levels.iter().map(|level| if is_velocity { level.sigma() } else { 0.0 });
        let signals = levels.iter().map(|level| if is_velocity { level.signal() } else { 1.0 });
        let factors = levels.iter().map(|level| self.config.loss_weight(level.abar));
        put(self.step_inputs.levels, &mut sigmas.chain(signals).chain(factors).map(|v| v as f32));
        put(self.step_inputs.piece, &mut std::iter::once(number as f32));
        put(self.step_inputs.rate, &mut std::iter::once(rate as f32));
    }
}
