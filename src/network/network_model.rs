//! One network: body, final attention layer, last convolution. Maps noisy images and times to `eps_hat`.

use candle_core::{DType, Device, Tensor, Var};

use super::attention_layer::{AttentionDetail, AttentionLayer, AttentionRecord, Mode, Prediction};
use super::basic_layers::{Conv, Norm};
#[cfg(feature = "cudnn")]
use super::gpu::predictor_of_network::BoundPredictor;
use super::network_config::{
    Architecture, FIRST_KERNEL_RESNET, NetworkConfig, Output, READOUT, Readout,
};
use super::ops::convolution::Form;
use super::ops::rows_bf16::Factors;
use super::parameters::{Builder, NetworkError, Source, TensorMap};
use super::resnet::{BodySizes, ResNet};
use super::time_and_class_embedding::Embedding;
use super::unet::UNet;
use crate::image::ImageShape;
use crate::simd::bf16::Bf16Instructions;

/// A network with its parameters on one device.
pub struct Network {
    config: NetworkConfig,
    dtype: DType,
    device: Device,
    embedding: Embedding,
    architecture: ArchitectureLayers,
    attention: Option<AttentionLayer>,
    readout: Option<Conv>,
    last_norm: Option<Norm>,
    last: Conv,
    parameters: Vec<(String, Tensor)>,
    factors: Factors,
    /// Predicts on a GPU in place of tensor operations, where it can.
    #[cfg(feature = "cudnn")]
    on_gpu: BoundPredictor,
}

enum ArchitectureLayers {
    ResNet(ResNet),
    UNet(UNet),
}

impl Network {
    /// A new trainable network in single precision; its weights depend on the rng seed only.
    ///
    /// # Errors
    ///
    /// If the configuration is invalid.
    pub fn new(config: &NetworkConfig, seed: u64, device: &Device) -> Result<Self, NetworkError> {
        Self::build(config, Source::Seed(seed), DType::F32, device)
    }

    /// A network with parameters from `source`; double precision is for parity tests.
    ///
    /// # Errors
    ///
    /// If the configuration is invalid or stored weights do not fit.
    pub fn build(
        config: &NetworkConfig,
        source: Source<'_>,
        dtype: DType,
        device: &Device,
    ) -> Result<Self, NetworkError> {
        check(config)?;
        let mut builder = Builder::new(source, dtype, device);
        let (features, width) = (config.n_features(), config.embedding_width());
        let place = (dtype, device);
        let embedding =
            Embedding::new(&mut builder, width, config.time_scale, config.n_classes, place)?;
        let architecture = match &config.architecture {
            Architecture::ResNet { width, kernels } => {
                let sizes = BodySizes {
                    channels: config.image.channels,
                    width: *width,
                    first_kernel: FIRST_KERNEL_RESNET,
                    kernels,
                    padding: config.padding,
                    group_norm: config.group_norm,
                };
                ArchitectureLayers::ResNet(ResNet::new(&mut builder, sizes)?)
            }
            Architecture::UNet { widths, embedding } => {
                ArchitectureLayers::UNet(UNet::new(&mut builder, config, widths, *embedding)?)
            }
        };
        let attention = config.attention.map(|attention| {
            AttentionLayer::new(&mut builder, attention, features, config.padding)
        });
        let attention = attention.transpose()?;
        let readout = || Conv::new(&mut builder, READOUT, (features, features), 1, config.padding);
        let readout = (config.readout == Readout::Relu).then(readout).transpose()?;
        let (last_norm, last) = last_layers(&mut builder, config, features)?;
        Ok(Self {
            config: config.clone(),
            dtype,
            device: device.clone(),
            embedding,
            architecture,
            attention,
            readout,
            last_norm,
            last,
            parameters: builder.finish()?,
            factors: Factors::Full,
            #[cfg(feature = "cudnn")]
            on_gpu: BoundPredictor::new(config, dtype, device),
        })
    }

    /// Names and shapes of the parameters of a network with this configuration, in their order.
    ///
    /// # Errors
    ///
    /// If the configuration is invalid.
    pub fn outline(config: &NetworkConfig) -> Result<Vec<(String, Vec<usize>)>, NetworkError> {
        let network = Self::build(config, Source::Outline, DType::F32, &Device::Cpu)?;
        let shape = |(name, tensor): &(String, Tensor)| (name.clone(), tensor.dims().to_vec());
        Ok(network.parameters.iter().map(shape).collect())
    }

    /// A copy whose weights are constants: later training does not change it, and it records no graph.
    ///
    /// # Errors
    ///
    /// If a weight cannot be copied.
    pub fn frozen(&self) -> Result<Self, NetworkError> {
        self.frozen_with(&self.parameters.iter().cloned().collect())
    }

    /// The same architecture with other weights, as constants.
    ///
    /// # Errors
    ///
    /// If `weights` do not fit the architecture, or cannot be copied.
    pub fn frozen_with(&self, weights: &TensorMap) -> Result<Self, NetworkError> {
        #[cfg_attr(not(feature = "cudnn"), expect(unused_mut, reason = "GPUs are shared"))]
        let mut new = Self::build(&self.config, Source::Frozen(weights), self.dtype, &self.device)?;
        #[cfg(feature = "cudnn")]
        new.on_gpu.share(&self.on_gpu);
        Ok(new)
    }

    /// Multiplies factors of bfloat16 in the residual layers from now on; copies of the network do not.
    ///
    /// # Errors
    ///
    /// If the network is not on the CPU or in double precision, has no such layers, or the processor cannot do so.
    pub fn multiply_in_bf16(&mut self) -> Result<(), NetworkError> {
        let is_residual = matches!(self.config.architecture, Architecture::ResNet { .. });
        let problem = if !self.device.is_cpu() || self.dtype != DType::F32 {
            "this network is not in single precision on a CPU".to_owned()
        } else if !is_residual || self.config.group_norm {
            "on the CPU, only a ResNet without group_norm multiplies in bf16; use f32".to_owned()
        } else {
            match Bf16Instructions::detect() {
                Ok(unit) => {
                    self.factors = Factors::Bf16(unit);
                    return Ok(());
                }
                Err(lacking) => format!("{lacking}; use f32"),
            }
        };
        let problem = format!("training.compute_type 'bf16': {problem}");
        Err(NetworkError::Config { problem })
    }

    /// The architecture.
    pub fn config(&self) -> &NetworkConfig {
        &self.config
    }

    /// The device of its tensors.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The number type of its tensors.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Names and values, in a fixed order.
    pub fn parameters(&self) -> &[(String, Tensor)] {
        &self.parameters
    }

    /// Number of parameter values.
    pub fn n_parameters(&self) -> usize {
        self.parameters.iter().map(|(_, tensor)| tensor.elem_count()).sum()
    }

    /// The trainable parameters; none for a frozen network.
    ///
    /// # Errors
    ///
    /// If candle refuses to take a parameter as a variable.
    pub fn variables(&self) -> Result<Vec<(String, Var)>, NetworkError> {
        let variables = self.parameters.iter().filter(|(_, tensor)| tensor.is_variable());
        variables.map(|(name, tensor)| Ok((name.clone(), Var::from_tensor(tensor)?))).collect()
    }

    /// `eps_hat` of noisy images `x`, `[B, C, H, W]`, at times `t`, one per image.
    ///
    /// # Errors
    ///
    /// If there is not one time (and class label) per image, or a tensor operation fails.
    pub fn forward(
        &self,
        t: &[f64],
        x: &Tensor,
        labels: Option<&[u32]>,
        mode: Mode,
    ) -> Result<Prediction, NetworkError> {
        let images = x.dim(0)?;
        if t.len() != images {
            return Err(NetworkError::Count { images, what: "times", found: t.len() });
        }
        let mut features = self.features(t, x, labels)?;
        let mut record = AttentionRecord::default();
        if let Some(attention) = &self.attention {
            (features, record) = attention.forward(&features, mode)?;
        }
        Ok(Prediction { eps: self.read_out(t, x, features)?, record })
    }

    /// `eps_hat` of noisy images `x`, `[B, C, H, W]`, at one time `t`, with the attention weights `maps`,
    /// `[B, heads, P, P]`, in place of the network's own.
    ///
    /// # Errors
    ///
    /// As [`Network::forward`], and if the network has no attention layer or `maps` do not fit.
    pub fn predict_with_maps(
        &self,
        t: f64,
        x: &[f64],
        labels: Option<&[u32]>,
        maps: &[f32],
    ) -> Result<Tensor, NetworkError> {
        let Some((layer, attention)) = self.attention.as_ref().zip(self.config.attention) else {
            let problem = "this network has no attention layer".to_owned();
            return Err(NetworkError::Config { problem });
        };
        let ImageShape { channels, height, width } = self.config.image;
        let batch = x.len() / self.config.image.n_values();
        let n_pixels = height * width;
        let x = Tensor::from_slice(x, (batch, channels, height, width), &self.device)?;
        let x = x.to_dtype(self.dtype)?;
        let sizes = (batch, attention.heads, n_pixels, n_pixels);
        let maps = Tensor::from_slice(maps, sizes, &self.device)?.to_dtype(self.dtype)?;
        let t = vec![t; batch];
        let features = layer.forward_with_maps(&self.features(&t, &x, labels)?, &maps)?;
        self.read_out(&t, &x, features)
    }

    /// What the convolutional body makes of noisy images: `[B, width, H, W]`.
    fn features(
        &self,
        t: &[f64],
        x: &Tensor,
        labels: Option<&[u32]>,
    ) -> Result<Tensor, NetworkError> {
        let embedding = self.embedding.forward(t, labels)?;
        Ok(match &self.architecture {
            ArchitectureLayers::ResNet(body) => body.forward(x, &embedding, self.factors)?,
            ArchitectureLayers::UNet(body) => body.forward(x, &embedding)?,
        })
    }

    /// `eps_hat` from the features after attention, `[B, width, H, W]`.
    fn read_out(
        &self,
        t: &[f64],
        x: &Tensor,
        mut features: Tensor,
    ) -> Result<Tensor, NetworkError> {
        if let Some(readout) = &self.readout {
            features = readout.forward(&features, None, Form::Relu)?;
        }
        if let Some(norm) = &self.last_norm {
            features = norm.forward(&features)?;
        }
        let out = self.last.forward(&features, None, Form::Plain)?;
        Ok(match self.config.output {
            Output::Noise => out,
            Output::Velocity => self.noise_from_velocity(t, x, &out)?,
        })
    }

    /// Images that the GPU of sampling should predict at a time, if there is one.
    pub fn images_on_gpu(&self, detail: AttentionDetail) -> Option<usize> {
        #[cfg(feature = "cudnn")]
        return self.on_gpu.images_max(detail);
        #[cfg(not(feature = "cudnn"))]
        {
            let _ = detail;
            None
        }
    }

    /// `eps_hat` of noisy images `x`, `[B, C, H, W]`, at one time `t`, without a graph.
    ///
    /// # Errors
    ///
    /// As [`Network::forward`], and if the GPU fails.
    pub fn predict(
        &self,
        t: f64,
        x: &[f64],
        labels: Option<&[u32]>,
        detail: AttentionDetail,
    ) -> Result<Prediction, NetworkError> {
        let ImageShape { channels, height, width } = self.config.image;
        let batch = x.len() / self.config.image.n_values();
        #[cfg(feature = "cudnn")]
        if !self.parameters.iter().any(|(_, tensor)| tensor.is_variable()) {
            self.embedding.check(batch, labels)?;
            let x: Vec<f32> = x.iter().map(|&x| x as f32).collect();
            let query = super::gpu::sampling_predictor::Query { t, x: &x, labels, detail };
            let found = self.on_gpu.predict(&self.config, &self.parameters, query);
            if let Some(found) = found {
                return found;
            }
        }
        let input = Tensor::from_slice(x, (batch, channels, height, width), &self.device)?;
        let mode = Mode::Evaluate(detail);
        self.forward(&vec![t; batch], &input.to_dtype(self.dtype)?, labels, mode)
    }

    /// `eps = sigma x + sqrt(abar) v`.
    fn noise_from_velocity(
        &self,
        t: &[f64],
        x: &Tensor,
        v: &Tensor,
    ) -> candle_core::Result<Tensor> {
        let levels = t.iter().map(|&t| self.config.schedule.level(t));
        let (sigma, signal): (Vec<f64>, Vec<f64>) = levels.map(|l| (l.sigma(), l.signal())).unzip();
        let column = |values: Vec<f64>| {
            Tensor::from_vec(values, (t.len(), 1, 1, 1), &self.device)?.to_dtype(self.dtype)
        };
        x.broadcast_mul(&column(sigma)?)? + v.broadcast_mul(&column(signal)?)?
    }
}

/// Names follow KG's code: a normalised ResNet's last convolution is second in a `Sequential`.
fn last_layers(
    builder: &mut Builder<'_>,
    config: &NetworkConfig,
    features: usize,
) -> Result<(Option<Norm>, Conv), NetworkError> {
    let channels = (features, config.image.channels);
    let (norm, name) = match &config.architecture {
        Architecture::ResNet { .. } if config.group_norm => {
            (Some(Norm::new(builder, "down_projection.0", features)?), "down_projection.1")
        }
        Architecture::ResNet { .. } => (None, "down_projection"),
        Architecture::UNet { .. } => (None, "output_conv"),
    };
    Ok((norm, Conv::new(builder, name, channels, config.last_kernel, config.padding)?))
}

fn check(config: &NetworkConfig) -> Result<(), NetworkError> {
    let architecture = match &config.architecture {
        Architecture::ResNet { kernels, .. } => kernels.as_slice(),
        Architecture::UNet { .. } => &[],
    };
    if let Some(kernel) = architecture.iter().chain([&config.last_kernel]).find(|k| **k % 2 == 0) {
        let problem = format!("kernels must be odd, not '{kernel}'");
        return Err(NetworkError::Config { problem });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::Schedule;
    use crate::network::network_config::{AttentionConfig, AttentionVariant, Padding};

    fn config(variant: AttentionVariant) -> NetworkConfig {
        NetworkConfig {
            schedule: Schedule::default(),
            image: ImageShape::new(2, 4, 6),
            architecture: Architecture::ResNet { width: 16, kernels: vec![3, 1] },
            padding: Padding::Circular,
            group_norm: false,
            last_kernel: 1,
            readout: Readout::Linear,
            n_classes: None,
            attention: Some(AttentionConfig { variant, heads: 2, head_width: 3, normalise: true }),
            output: Output::Noise,
            time_scale: 1.0,
            clamp: false,
        }
    }

    fn network(variant: AttentionVariant) -> Network {
        Network::build(&config(variant), Source::Seed(1), DType::F64, &Device::Cpu).unwrap()
    }

    fn images(n: usize) -> Tensor {
        crate::network::ops::tensor::check::pseudo_random(&[n, 2, 4, 6], 3)
    }

    fn flat(tensor: &Tensor) -> Vec<f64> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn a_circular_network_commutes_with_circular_shifts() {
        let shift = |x: &Tensor| x.roll(1, 2).unwrap().roll(2, 3).unwrap();
        for variant in
            [AttentionVariant::Softmax, AttentionVariant::Top1, AttentionVariant::Uniform]
        {
            let network = network(variant);
            let run = |x: &Tensor| {
                network
                    .forward(&[0.4], x, None, Mode::Evaluate(AttentionDetail::Nothing))
                    .unwrap()
                    .eps
            };
            let x = images(1);
            let (a, b) = (flat(&run(&shift(&x))), flat(&shift(&run(&x))));
            assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12), "{variant:?}");
        }
    }

    #[test]
    fn maps_are_what_their_variant_says_and_do_not_change_the_output() {
        use AttentionVariant::{Identity, Softmax, Top1, Uniform};
        for variant in [Softmax, Top1, Uniform, Identity] {
            let network = network(variant);
            let run = |mode| network.forward(&[0.4, 0.9], &images(2), None, mode).unwrap();
            let with = run(Mode::Evaluate(AttentionDetail::Maps));
            let (a, b) =
                (flat(&with.eps), flat(&run(Mode::Evaluate(AttentionDetail::Nothing)).eps));
            assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12), "{variant:?}");
            let maps = with.record.maps.unwrap();
            assert_eq!(maps.dims(), [2, 2, 24, 24]);
            for (index, row) in flat(&maps).chunks(24).enumerate() {
                assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
                let largest = row.iter().fold(0.0_f64, |m, v| m.max(*v));
                let expected = match variant {
                    Softmax => largest < 1.0,
                    Top1 => largest == 1.0,
                    Uniform => (largest - 1.0 / 24.0).abs() < 1e-12,
                    Identity => row[index % 24] == 1.0,
                };
                assert!(expected, "{variant:?}: {largest}");
            }
        }
    }

    #[test]
    fn top1_trains_its_queries_through_the_soft_maps() {
        let network = network(AttentionVariant::Top1);
        let mode = Mode::Train { seed: 1, step: 0 };
        let eps = network.forward(&[0.4], &images(1), None, mode).unwrap().eps;
        let gradients = eps.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        for (name, parameter) in network.parameters() {
            let gradient = gradients.get(parameter).expect("every parameter has a gradient");
            // A constant added to all keys shifts a row of logits, which softmax does not see.
            let blind = name == "attention.k.bias";
            assert!(blind || flat(gradient).iter().any(|g| g.abs() > 1e-12), "{name}");
        }
    }

    #[test]
    fn fresh_weights_depend_on_the_seed_and_keep_pytorchs_bounds() {
        let weight = |seed| {
            let config = config(AttentionVariant::Softmax);
            let network = Network::new(&config, seed, &Device::Cpu).unwrap();
            let (_, tensor) =
                network.parameters().iter().find(|(name, _)| name == "convs.0.0.weight").unwrap();
            tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        assert_eq!(weight(1), weight(1));
        assert_ne!(weight(1), weight(2));
        let bound = 1.0 / 144.0_f32.sqrt();
        let largest = weight(1).iter().fold(0.0_f32, |m, v| m.max(v.abs()));
        assert!(largest <= bound && largest > 0.9 * bound, "{largest} {bound}");
    }

    #[test]
    fn weights_that_do_not_fit_are_named() {
        let network = network(AttentionVariant::Softmax);
        let whole: TensorMap = network.parameters().iter().cloned().collect();
        let error = |change: &dyn Fn(&mut TensorMap)| {
            let mut map = whole.clone();
            change(&mut map);
            network.frozen_with(&map).err().unwrap().to_string()
        };
        let other = images(1);
        let missing = error(&|map| drop(map.remove("attention.q.bias")));
        assert_eq!(missing, "the weights hold no 'attention.q.bias', which this network needs");
        let unexpected = error(&|map| drop(map.insert("extra".into(), other.clone())));
        assert!(unexpected.contains("'extra'"), "{unexpected}");
        let shape = error(&|map| drop(map.insert("up_projection.bias".into(), other.clone())));
        assert!(shape.contains("'up_projection.bias' has shape '[1, 2, 4, 6]'"), "{shape}");
    }

    #[test]
    fn velocity_output_is_turned_into_noise() {
        let mut config = config(AttentionVariant::Softmax);
        let noise = Network::build(&config, Source::Seed(1), DType::F64, &Device::Cpu).unwrap();
        config.output = Output::Velocity;
        let velocity = Network::build(&config, Source::Seed(1), DType::F64, &Device::Cpu).unwrap();
        let (x, t) = (images(1), 0.3);
        let run = |network: &Network| {
            flat(
                &network
                    .forward(&[t], &x, None, Mode::Evaluate(AttentionDetail::Nothing))
                    .unwrap()
                    .eps,
            )
        };
        let level = noise.config().schedule.level(t);
        for ((v, eps), x) in run(&noise).iter().zip(run(&velocity)).zip(flat(&x)) {
            assert!((level.sigma() * x + level.signal() * v - eps).abs() < 1e-12);
        }
    }
}
