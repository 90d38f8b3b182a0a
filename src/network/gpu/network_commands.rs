//! A network as commands for a GPU: the layers of [`crate::network::Network`] in the same order, with the same names of
//! parameters.

use super::attention_commands::Watch;
use super::command_plan::Place;
use super::compute_type::{ComputeType, Storage};
use super::layer_buffers::{Columns, Conv2d, Layers, Value};
use super::parameter_layout::rounded;
use super::supported_networks::check_supported;
use crate::network::attention_layer::AttentionDetail;
use crate::network::network_config::{
    Architecture, AttentionConfig, AttentionVariant, NetworkConfig, Padding, READOUT, Readout,
};
use crate::network::ops::attention_statistics::N_FIGURES;
use crate::network::ops::convolution::Form;
use crate::network::time_and_class_embedding::waves;

/// Number of groups in the networks of Kamb & Ganguli (arXiv 2412.20292).
const N_GROUPS: usize = 8;

/// The inputs of a batch, in one buffer.
#[derive(Clone, Copy, Debug)]
pub struct Inputs {
    /// Noisy images [B, C, H, W].
    pub x: Place,
    /// Sines and cosines of the times, `[B, width']`.
    pub waves: Place,
    /// Classes as numbers, `[B]`.
    pub labels: Place,
    /// Further inputs of the caller.
    pub rest: Place,
    /// Number of values of all inputs.
    pub n_values: usize,
}

impl Inputs {
    fn new(layers: &mut Layers, config: &NetworkConfig, batch: usize, n_rest: usize) -> Self {
        let row = rounded(config.embedding_width());
        let lengths = [batch * config.image.n_values(), batch * row, batch];
        // Waves are read four at a time.
        let [waves, labels, rest] = [1, 2, 3]
            .map(|n| lengths[..n].iter().fold(0, |end, length| (end + length).next_multiple_of(4)));
        let n_values = rest + n_rest;
        let x = layers.plan.buffer(n_values);
        let [waves, labels, rest] = [waves, labels, rest].map(|first| x.after(first));
        Self { x, waves, labels, rest, n_values }
    }

    /// Writes noisy images `x` [B, C, H, W] at times `t` among all inputs `[n_values]`.
    pub fn fill(
        &self,
        config: &NetworkConfig,
        t: &[f64],
        x: &[f32],
        labels: Option<&[u32]>,
        out: &mut [f32],
    ) {
        out[self.x.first..][..x.len()].copy_from_slice(x);
        let width = config.embedding_width();
        let rows = out[self.waves.first..].chunks_mut(rounded(width));
        for (to, from) in rows.zip(waves(t, width, config.time_scale).chunks_exact(width)) {
            to.iter_mut().zip(from).for_each(|(to, &from)| *to = from as f32);
        }
        let to = out[self.labels.first..].iter_mut();
        to.zip(labels.unwrap_or(&[])).for_each(|(to, &label)| *to = label as f32);
    }
}

/// Commands that turn a batch of inputs into a network's output, [B, P, C'].
pub struct GpuNetwork {
    pub layers: Layers,
    pub inputs: Inputs,
    pub output: Value,
    /// Where softmax attention is recorded, if it is.
    pub watch: Option<Watch>,
}

impl GpuNetwork {
    /// Commands for `batch` images at a time, with `n_rest` further inputs. Attention is recorded in full single
    /// precision only.
    ///
    /// # Errors
    ///
    /// Names the part of the network that is not supported on GPUs.
    pub fn new(
        config: &NetworkConfig,
        batch: usize,
        n_rest: usize,
        (compute_type, detail): (ComputeType, AttentionDetail),
    ) -> Result<Self, String> {
        check_supported(config)?;
        let mut layers = Layers::new(batch, compute_type);
        let (width, sides) = (config.embedding_width(), [config.image.height, config.image.width]);
        let inputs = Inputs::new(&mut layers, config, batch, n_rest);
        let watch = watch(&mut layers, config, detail);
        let name = "embedding.class_embeddings.weight";
        let embedding = match config.n_classes {
            Some(n) => layers.classes(inputs.waves, inputs.labels, name, n, width),
            None => layers.value_at(inputs.waves, [1, 1], width, false),
        };
        let x = layers.enter(inputs.x, sides, config.image.channels);
        let mut walk = Walk { layers, config, circular: config.padding == Padding::Circular };
        let (mut features, mut addend) = match &config.architecture {
            Architecture::ResNet { width, kernels } => walk.resnet(x, embedding, *width, kernels),
            Architecture::UNet { widths, .. } => walk.unet(x, embedding, widths),
        };
        // The last convolution can add the time to its input; attention and normalisation cannot.
        let last_norm =
            config.group_norm && matches!(config.architecture, Architecture::ResNet { .. });
        if (config.attention.is_some() || last_norm)
            && let Some(columns) = addend.take()
        {
            features = walk.layers.add_per_channel(features, columns);
        }
        if let Some(attention) = &config.attention {
            features = walk.attention(features, attention, watch.as_ref());
        }
        if config.readout == Readout::Relu {
            let width = walk.layers.known[features.0].n_true;
            let readout = walk.conv(READOUT, width, 1);
            features = walk.layers.convolve(features, addend.take(), readout, Form::Relu);
        }
        let name = match &config.architecture {
            Architecture::ResNet { .. } if config.group_norm => {
                let names = ["down_projection.0".to_owned()];
                features = walk.layers.group_norm(features, &names, N_GROUPS, false);
                "down_projection.1"
            }
            Architecture::ResNet { .. } => "down_projection",
            Architecture::UNet { .. } => "output_conv",
        };
        // Images are in single precision.
        let last = walk.conv(name, config.image.channels, config.last_kernel);
        let last = Conv2d { inner: Storage::F32, ..last };
        let output = walk.layers.convolve(features, addend, last, Form::Plain);
        let mut layers = walk.layers;
        layers.complete();
        Ok(Self { layers, inputs, output, watch })
    }
}

fn watch(layers: &mut Layers, config: &NetworkConfig, detail: AttentionDetail) -> Option<Watch> {
    let attention = config.attention.as_ref()?;
    if detail == AttentionDetail::Nothing || attention.variant != AttentionVariant::Softmax {
        return None;
    }
    let (n_pixels, n_heads) = (config.image.n_pixels(), layers.batch * attention.heads);
    let figures = layers.plan.buffer(n_heads * N_FIGURES * n_pixels);
    let maps = (detail == AttentionDetail::Maps)
        .then(|| layers.plan.buffer(n_heads * n_pixels * n_pixels));
    Some(Watch { figures, maps, circular: config.padding == Padding::Circular })
}

struct Walk<'a> {
    layers: Layers,
    config: &'a NetworkConfig,
    circular: bool,
}

impl Walk<'_> {
    fn conv<'b>(&self, name: &'b str, c_out: usize, kernel: usize) -> Conv2d<'b> {
        Conv2d { name, c_out, kernel, is_circular: self.circular, inner: self.layers.hidden }
    }

    fn resnet(
        &mut self,
        x: Value,
        embedding: Value,
        width: usize,
        kernels: &[usize],
    ) -> (Value, Option<Columns>) {
        // The times of all layers at once.
        let n = kernels.len() + 1;
        let maps: Vec<(String, usize)> = (0..n).map(|i| (format!("embs.{i}.0"), width)).collect();
        let times = self.layers.linear(embedding, &maps);
        let norms: Vec<String> = (0..n).map(|i| format!("embs.{i}.1")).collect();
        let times = self.layers.group_norm(times, &norms, N_GROUPS, true);
        let time = |i: usize| Some(Columns { of: times, first: i * width });
        let first = self.conv("up_projection", width, 3);
        let mut state = self.layers.convolve(x, None, first, Form::Plain);
        for (i, &kernel) in kernels.iter().enumerate() {
            let name = format!("convs.{i}.0");
            let conv = self.conv(&name, width, kernel);
            state = if self.config.group_norm {
                let change = self.layers.convolve(state, time(i), conv, Form::Plain);
                let norm = [format!("convs.{i}.1")];
                let change = self.layers.group_norm(change, &norm, N_GROUPS, true);
                self.layers.add(state, change)
            } else {
                self.layers.convolve(state, time(i), conv, Form::Residual)
            };
        }
        (state, time(kernels.len()))
    }

    fn unet(&mut self, x: Value, embedding: Value, widths: &[usize]) -> (Value, Option<Columns>) {
        let deepest = widths.len() - 1;
        let c_in = self.config.image.channels;
        // Each block's name and channels in and out, in the order of the walk.
        let mut blocks = Vec::new();
        for (i, &width) in widths.iter().enumerate() {
            let n_in = if i == 0 { c_in } else { widths[i - 1] };
            let name =
                if i == deepest { "bottleneck".into() } else { format!("feature_blocks.{i}") };
            blocks.push((name, n_in, width));
        }
        for (i, &width) in widths[..deepest].iter().rev().enumerate() {
            blocks.push((format!("output_blocks.{i}"), 2 * width, width));
        }
        let raised = self.layers.relu(embedding);
        let mut maps: Vec<(String, usize)> =
            blocks.iter().map(|(name, n_in, _)| (format!("{name}.emb.1"), *n_in)).collect();
        maps.push(("last_emb.1".into(), widths[0]));
        let times = self.layers.linear(raised, &maps);
        let firsts: Vec<usize> = maps
            .iter()
            .scan(0, |next, (_, width)| {
                *next += rounded(*width);
                Some(*next - rounded(*width))
            })
            .collect();
        let time = |i: usize| Some(Columns { of: times, first: firsts[i] });

        let mut state = x;
        let mut kept = Vec::new();
        for (i, (name, _, width)) in blocks.iter().enumerate() {
            if i > deepest {
                let skip: Value = kept.pop().unwrap_or(state);
                let name = format!("upsamples.{}", i - deepest - 1);
                let larger = self.layers.upsample(state, &name, *width);
                state = self.layers.join(skip, larger);
            }
            state = self.block(state, time(i), name, *width);
            if i < deepest {
                kept.push(state);
                state = self.layers.max_pool(state);
            }
        }
        (state, time(blocks.len()))
    }

    fn block(&mut self, x: Value, time: Option<Columns>, name: &str, width: usize) -> Value {
        let stride = if self.config.group_norm { 3 } else { 2 };
        let mut state = x;
        for i in 0..2 {
            let addend = if i == 0 { time } else { None };
            let name_of_conv = format!("{name}.model.{}", i * stride);
            let conv = self.conv(&name_of_conv, width, 3);
            let form = if self.config.group_norm { Form::Plain } else { Form::Relu };
            state = self.layers.convolve(state, addend, conv, form);
            if self.config.group_norm {
                let norm = [format!("{name}.model.{}", i * stride + 1)];
                state = self.layers.group_norm(state, &norm, N_GROUPS, true);
            }
        }
        state
    }

    fn attention(
        &mut self,
        features: Value,
        config: &AttentionConfig,
        watch: Option<&Watch>,
    ) -> Value {
        let inner = config.heads * config.head_width;
        let n_features = self.layers.known[features.0].n_true;
        let [v, o] = [("attention.v", inner), ("attention.o", n_features)]
            .map(|(name, c_out)| self.conv(name, c_out, 1));
        let layers = &mut self.layers;
        let looks = config.variant == AttentionVariant::Softmax;
        let looking = looks.then(|| {
            let record = if config.normalise { layers.pixel_norm(features) } else { features };
            layers.pointwise_pair(record, ["attention.q", "attention.k"], inner)
        });
        let values = layers.convolve(features, None, v, Form::Plain);
        let mixed = match (looking, config.variant) {
            (Some(looking), _) => {
                layers.attend(looking, values, config.heads, config.head_width, watch)
            }
            (None, AttentionVariant::Uniform) => layers.mean(values),
            (None, _) => values,
        };
        let out = layers.convolve(mixed, None, o, Form::Plain);
        layers.add(features, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::Schedule;
    use crate::image::ImageShape;
    use crate::network::Network;
    use crate::network::network_config::Output;
    use candle_core::Device;

    const NOTHING: (ComputeType, AttentionDetail) = (ComputeType::F32, AttentionDetail::Nothing);

    fn config(
        architecture: Architecture,
        group_norm: bool,
        variant: Option<AttentionVariant>,
    ) -> NetworkConfig {
        NetworkConfig {
            schedule: Schedule::default(),
            image: ImageShape::new(3, 8, 8),
            architecture,
            padding: Padding::Circular,
            group_norm,
            last_kernel: 3,
            readout: Readout::Linear,
            n_classes: Some(4),
            attention: variant.map(|variant| AttentionConfig {
                variant,
                heads: 2,
                head_width: 8,
                normalise: true,
            }),
            output: Output::Velocity,
            time_scale: 1.0,
            clamp: true,
        }
    }

    #[test]
    fn a_gpu_has_a_networks_parameters_by_name_and_shape() {
        use AttentionVariant::{Identity, Softmax, Uniform};
        let bodies = [
            Architecture::ResNet { width: 16, kernels: vec![3, 1, 5] },
            Architecture::UNet { widths: vec![8, 16, 24], embedding: 16 },
        ];
        for body in bodies {
            for group_norm in [false, true] {
                for (variant, readout) in [
                    (None, Readout::Linear),
                    (None, Readout::Relu),
                    (Some(Softmax), Readout::Relu),
                    (Some(Uniform), Readout::Linear),
                    (Some(Identity), Readout::Linear),
                ] {
                    let config = config(body.clone(), group_norm, variant);
                    let config = NetworkConfig { readout, ..config };
                    let network = Network::new(&config, 1, &Device::Cpu).unwrap();
                    let mut expected: Vec<(String, Vec<usize>)> = network
                        .parameters()
                        .iter()
                        .map(|(name, tensor)| (name.clone(), tensor.dims().to_vec()))
                        .collect();
                    expected.sort();
                    let gpu = GpuNetwork::new(&config, 2, 0, NOTHING).unwrap();
                    let mut found: Vec<(String, Vec<usize>)> = gpu
                        .layers
                        .parameters
                        .all
                        .iter()
                        .map(|parameter| (parameter.name.clone(), parameter.dims.clone()))
                        .collect();
                    found.sort();
                    assert_eq!(found, expected);
                }
            }
        }
    }

    #[test]
    fn what_a_gpu_cannot_train_is_named() {
        let narrow = Architecture::ResNet { width: 20, kernels: vec![3] };
        let problem = GpuNetwork::new(&config(narrow, false, None), 2, 0, NOTHING).err().unwrap();
        assert!(problem.contains("multiples of 8") && problem.contains("'20'"), "{problem}");
        let architecture = Architecture::ResNet { width: 16, kernels: vec![3] };
        let top1 = config(architecture, false, Some(AttentionVariant::Top1));
        assert!(GpuNetwork::new(&top1, 2, 0, NOTHING).err().unwrap().contains("'top1'"));
    }
}
