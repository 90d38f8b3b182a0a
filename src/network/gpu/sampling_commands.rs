//! The forward pass of a network as commands for a GPU, for any weights; used by sampling.

use super::attention_commands::Watch;
use super::command_plan::{Command, Place, Plan};
use super::compute_type::ComputeType;
use super::network_commands::{GpuNetwork, Inputs};
use super::parameter_layout::{Parameter, rounded};
use crate::network::attention_layer::AttentionDetail;
use crate::network::network_config::{NetworkConfig, Output};

/// A forward pass over `batch` images.
pub struct GpuForward {
    pub plan: Plan,
    pub commands: Vec<Command>,
    pub parameters: Vec<Parameter>,
    /// Number of values of all parameters.
    pub n_parameters: usize,
    pub weights: Place,
    pub inputs: Inputs,
    /// Output of the last convolution, `[B, P, C']`.
    pub output: Place,
    pub n_output: usize,
    pub watch: Option<Watch>,
    pub batch: usize,
    pub network: NetworkConfig,
}

impl GpuForward {
    /// Commands for `batch` images at a time.
    ///
    /// # Errors
    ///
    /// As [`GpuNetwork::new`].
    pub fn new(
        config: &NetworkConfig,
        batch: usize,
        detail: AttentionDetail,
    ) -> Result<Self, String> {
        // As precise as the CPU: predictions are compared with theory.
        let made = GpuNetwork::new(config, batch, 0, (ComputeType::F32, detail))?;
        let GpuNetwork { layers, inputs, output, watch } = made;
        let (homes, output) = (layers.homes, layers.place(output));
        let n_parameters = layers.parameters.n_values();
        let (mut plan, mut commands) = (layers.plan, layers.commands);
        let detail = watch.iter().flat_map(|watch| [Some(watch.figures), watch.maps]);
        let kept = [homes.parameters, inputs.x, output].map(Some).into_iter().chain(detail);
        let kept: Vec<usize> = kept.flatten().map(|place| place.buffer).collect();
        plan.share(&mut commands, &kept);
        Ok(Self {
            plan,
            commands,
            parameters: layers.parameters.all,
            n_parameters,
            weights: homes.parameters,
            inputs,
            output,
            n_output: batch * config.image.n_pixels() * rounded(config.image.channels),
            watch,
            batch,
            network: config.clone(),
        })
    }

    /// Writes up to `batch` noisy images `x`, `[B, C, H, W]`, at one time `t` to the inputs `out`, `[n_values]`; missing
    /// images are zero.
    pub fn fill(&self, t: f64, x: &[f32], labels: Option<&[u32]>, out: &mut [f32]) {
        out.fill(0.0);
        self.inputs.fill(&self.network, &vec![t; self.batch], x, labels, out);
    }

    /// `eps_hat`, `[B, C, H, W]`, of the images `x` at time `t` from the output of the GPU.
    pub fn eps(&self, t: f64, x: &[f32], output: &[f32]) -> Vec<f64> {
        let shape = self.network.image;
        let (n_pixels, row) = (shape.n_pixels(), rounded(shape.channels));
        let (sigma, signal) = match self.network.output {
            Output::Noise => (0.0, 1.0),
            Output::Velocity => {
                let level = self.network.schedule.level(t);
                (level.sigma(), level.signal())
            }
        };
        let eps = |(i, &x): (usize, &f32)| {
            let (plane, pixel) = (i / n_pixels, i % n_pixels);
            let (image, channel) = (plane / shape.channels, plane % shape.channels);
            let out = output[(image * n_pixels + pixel) * row + channel];
            sigma * f64::from(x) + signal * f64::from(out)
        };
        x.iter().enumerate().map(eps).collect()
    }
}
