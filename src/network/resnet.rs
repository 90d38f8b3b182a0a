//! KG's MinimalResNet: every layer sees the time and adds to a running state.
//!
//! ```text
//! h_0 = up(x)                                         3x3 in networks, 1x1 in [`crate::optimum`]
//! h_{i+1} = h_i + relu( norm?( conv_i( h_i + emb_i(e) ) ) )
//! f = h_L + emb_L(e)                                  emb_i(e) = relu(norm(linear(e)))
//! eps = down( norm?( attention?( f ) ) )
//! ```
//!
//! The time vector is added before the convolution (so zero padding is not shifted by it), and the
//! embeddings are normalised even where the convolutions are not: both as in KG's code, which the
//! golden cases pin down. Attention (paper F) is ours.

use candle_core::Tensor;

use super::basic_layers::{Conv, Linear, Norm};
use super::network_config::Padding;
use super::ops::convolution::Form;
use super::ops::relu_and_channel_sums::{add_per_channel, relu};
use super::ops::residual_layers::residual_layers;
use super::ops::rows_bf16::Factors;
use super::parameters::{Builder, NetworkError};

/// Below this each of the eight groups that normalise the time vector holds a single channel: it would
/// always be zero, and the network would not depend on the time.
const WIDTH_MIN: usize = 16;

/// Sizes of a body.
#[derive(Clone, Copy, Debug)]
pub struct BodySizes<'a> {
    /// Channels of the input.
    pub channels: usize,
    pub width: usize,
    /// Side of the first convolution's kernel.
    pub first_kernel: usize,
    /// Sides of the kernels of the residual layers.
    pub kernels: &'a [usize],
    pub padding: Padding,
    pub group_norm: bool,
}

/// The body up to the features that the last convolution sees.
pub struct ResNet {
    up: Conv,
    layers: Vec<Layer>,
    last_embedding: TimeLayer,
    padding: Padding,
}

struct Layer {
    embedding: TimeLayer,
    conv: Conv,
    norm: Option<Norm>,
}

struct TimeLayer {
    linear: Linear,
    norm: Norm,
}

impl TimeLayer {
    fn new(builder: &mut Builder<'_>, index: usize, width: usize) -> Result<Self, NetworkError> {
        let linear = Linear::new(builder, &format!("embs.{index}.0"), width, width)?;
        Ok(Self { linear, norm: Norm::new(builder, &format!("embs.{index}.1"), width)? })
    }

    fn forward(&self, embedding: &Tensor) -> candle_core::Result<Tensor> {
        relu(&self.norm.forward(&self.linear.forward(embedding)?)?)
    }
}

impl ResNet {
    /// The body with these sizes.
    ///
    /// # Errors
    ///
    /// If the width is less than 16 or no multiple of eight, or stored weights do not fit.
    pub fn new(builder: &mut Builder<'_>, sizes: BodySizes<'_>) -> Result<Self, NetworkError> {
        let BodySizes { channels, width, first_kernel, kernels, padding, group_norm } = sizes;
        if width < WIDTH_MIN {
            let problem = format!("a ResNet needs a width of at least {WIDTH_MIN}, not '{width}'");
            return Err(NetworkError::Config { problem });
        }
        let up = Conv::new(builder, "up_projection", (channels, width), first_kernel, padding)?;
        let mut layers = Vec::with_capacity(kernels.len());
        for (i, &kernel) in kernels.iter().enumerate() {
            let embedding = TimeLayer::new(builder, i, width)?;
            let conv =
                Conv::new(builder, &format!("convs.{i}.0"), (width, width), kernel, padding)?;
            let norm = || Norm::new(builder, &format!("convs.{i}.1"), width);
            let norm = group_norm.then(norm).transpose()?;
            layers.push(Layer { embedding, conv, norm });
        }
        let last_embedding = TimeLayer::new(builder, kernels.len(), width)?;
        Ok(Self { up, layers, last_embedding, padding })
    }

    /// Features [B, width, H, W]. `factors` is the number format in which layers without normalisation multiply on the CPU.
    ///
    /// # Errors
    ///
    /// If the shape or number type of `x` or `embedding` does not fit, or a tensor operation fails.
    pub fn forward(
        &self,
        x: &Tensor,
        embedding: &Tensor,
        factors: Factors,
    ) -> candle_core::Result<Tensor> {
        if x.device().is_cpu() && self.layers.iter().all(|layer| layer.norm.is_none()) {
            return self.in_one(x, embedding, factors);
        }
        let mut state = self.up.forward(x, None, Form::Plain)?;
        for layer in &self.layers {
            let time = layer.embedding.forward(embedding)?;
            state = match &layer.norm {
                None => layer.conv.forward(&state, Some(&time), Form::Residual)?,
                Some(norm) => {
                    let change = layer.conv.forward(&state, Some(&time), Form::Plain)?;
                    (state + relu(&norm.forward(&change)?)?)?
                }
            };
        }
        add_per_channel(&state, &self.last_embedding.forward(embedding)?)
    }

    /// The same without normalisation, in one operation for the CPU.
    fn in_one(
        &self,
        x: &Tensor,
        embedding: &Tensor,
        factors: Factors,
    ) -> candle_core::Result<Tensor> {
        let times = self.layers.iter().map(|layer| &layer.embedding).chain([&self.last_embedding]);
        let addends: Vec<Tensor> =
            times.map(|time| time.forward(embedding)).collect::<candle_core::Result<_>>()?;
        let convs = [&self.up].into_iter().chain(self.layers.iter().map(|layer| &layer.conv));
        let layers: Vec<_> = convs.map(Conv::parameters).collect();
        residual_layers(x, &layers, &addends, self.padding, factors)
    }
}
