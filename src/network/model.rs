//! One network: body, final attention, last convolution; noisy images and times in, `eps_hat` out.

use candle_core::{DType, Device, Tensor, Var};

use super::attention::{Attention, Mode};
use super::blocks::{Conv, Norm};
use super::config::{Body, NetworkConfig, Output};
use super::embedding::Embedding;
use super::ops::convolution::Activation;
use super::parameters::{Builder, NetworkError, Source, TensorMap};
use super::resnet::ResNet;
use super::unet::UNet;
use crate::diffusion::Schedule;

/// A network with its parameters on one device.
pub struct Network {
    config: NetworkConfig,
    schedule: Schedule,
    dtype: DType,
    device: Device,
    embedding: Embedding,
    body: BodyLayers,
    attention: Option<Attention>,
    last_norm: Option<Norm>,
    last: Conv,
    parameters: Vec<(String, Tensor)>,
}

enum BodyLayers {
    ResNet(ResNet),
    UNet(UNet),
}

/// What a network makes of a batch.
pub struct Prediction {
    /// `eps_hat` [B, C, H, W].
    pub eps: Tensor,
    /// Attention maps [B, heads, P, P], on request.
    pub attention: Option<Tensor>,
}

impl Network {
    /// A fresh trainable network in single precision; its weights depend on nothing but the seed.
    pub fn new(config: &NetworkConfig, seed: u64, device: &Device) -> Result<Self, NetworkError> {
        Self::build(config, Source::Seed(seed), DType::F32, device)
    }

    /// A network of parameters from `source`; double precision is for parity tests.
    pub fn build(
        config: &NetworkConfig,
        source: Source<'_>,
        dtype: DType,
        device: &Device,
    ) -> Result<Self, NetworkError> {
        check(config)?;
        let mut builder = Builder::new(source, dtype, device);
        let (features, width) = match &config.body {
            Body::ResNet { width, .. } => (*width, *width),
            Body::UNet { widths, embedding } => (widths.first().copied().unwrap_or(0), *embedding),
        };
        let place = (dtype, device);
        let embedding =
            Embedding::new(&mut builder, width, config.time_scale, config.n_classes, place)?;
        let body = match &config.body {
            Body::ResNet { width, kernels } => {
                BodyLayers::ResNet(ResNet::new(&mut builder, config, *width, kernels)?)
            }
            Body::UNet { widths, embedding } => {
                BodyLayers::UNet(UNet::new(&mut builder, config, widths, *embedding)?)
            }
        };
        let attention = match config.attention {
            Some(attention) => Some(Attention::new(&mut builder, attention, features)?),
            None => None,
        };
        let (last_norm, last) = last_layers(&mut builder, config, features)?;
        Ok(Self {
            config: config.clone(),
            schedule: Schedule::default(),
            dtype,
            device: device.clone(),
            embedding,
            body,
            attention,
            last_norm,
            last,
            parameters: builder.finish()?,
        })
    }

    /// A copy whose weights are constants: later training does not reach it and it keeps no graph.
    pub fn frozen(&self) -> Result<Self, NetworkError> {
        self.frozen_with(&self.parameters.iter().cloned().collect())
    }

    /// The same architecture with other weights, as constants.
    pub fn frozen_with(&self, weights: &TensorMap) -> Result<Self, NetworkError> {
        Self::build(&self.config, Source::Frozen(weights), self.dtype, &self.device)
    }

    pub fn config(&self) -> &NetworkConfig {
        &self.config
    }

    pub fn device(&self) -> &Device {
        &self.device
    }

    pub fn dtype(&self) -> DType {
        self.dtype
    }

    pub fn schedule(&self) -> Schedule {
        self.schedule
    }

    /// Names and values, in a fixed order.
    pub fn parameters(&self) -> &[(String, Tensor)] {
        &self.parameters
    }

    /// Channels of the features that attention and the last convolution see.
    pub fn n_features(&self) -> usize {
        match &self.config.body {
            Body::ResNet { width, .. } => *width,
            Body::UNet { widths, .. } => widths[0],
        }
    }

    pub fn n_parameters(&self) -> usize {
        self.parameters.iter().map(|(_, tensor)| tensor.elem_count()).sum()
    }

    /// The trainable parameters; none for a frozen network.
    pub fn variables(&self) -> Result<Vec<(String, Var)>, NetworkError> {
        let variables = self.parameters.iter().filter(|(_, tensor)| tensor.is_variable());
        variables.map(|(name, tensor)| Ok((name.clone(), Var::from_tensor(tensor)?))).collect()
    }

    /// `eps_hat` of noisy images `x` [B, C, H, W] at times `t`, one per image.
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
        let embedding = self.embedding.forward(t, labels)?;
        let mut features = match &self.body {
            BodyLayers::ResNet(body) => body.forward(x, &embedding)?,
            BodyLayers::UNet(body) => body.forward(x, &embedding)?,
        };
        let mut maps = None;
        if let Some(attention) = &self.attention {
            (features, maps) = attention.forward(&features, mode)?;
        }
        if let Some(norm) = &self.last_norm {
            features = norm.forward(&features)?;
        }
        let out = self.last.forward(&features, Activation::None)?;
        let eps = match self.config.output {
            Output::Noise => out,
            Output::Velocity => self.noise_from_velocity(t, x, &out)?,
        };
        Ok(Prediction { eps, attention: maps })
    }

    /// `eps = sigma x + sqrt(abar) v`.
    fn noise_from_velocity(
        &self,
        t: &[f64],
        x: &Tensor,
        v: &Tensor,
    ) -> candle_core::Result<Tensor> {
        let levels = t.iter().map(|&t| self.schedule.level(t));
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
    let (norm, name) = match &config.body {
        Body::ResNet { .. } if config.group_norm => {
            (Some(Norm::new(builder, "down_projection.0", features)?), "down_projection.1")
        }
        Body::ResNet { .. } => (None, "down_projection"),
        Body::UNet { .. } => (None, "output_conv"),
    };
    Ok((norm, Conv::new(builder, name, channels, config.last_kernel, config.padding)?))
}

fn check(config: &NetworkConfig) -> Result<(), NetworkError> {
    let body = match &config.body {
        Body::ResNet { kernels, .. } => kernels.as_slice(),
        Body::UNet { .. } => &[],
    };
    if let Some(kernel) = body.iter().chain([&config.last_kernel]).find(|k| **k % 2 == 0) {
        let problem = format!("kernels must be odd, not '{kernel}'");
        return Err(NetworkError::Config { problem });
    }
    Ok(())
}
