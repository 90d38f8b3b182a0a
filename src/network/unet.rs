//! KG's MinimalUNet: blocks of two convolutions on the way down and up, joined by skips.
//!
//! ```text
//! down:  x = block(x); keep x; x = max_pool(x)          one resolution per width
//! up:    x = block(cat(kept, upsample(x)))
//! block(x) = relu(conv(relu(conv( x + emb(e) ))))       emb(e) = linear(relu(e))
//! f = x + last_emb(e),   eps = output_conv(attention?(f))
//! ```

use candle_core::Tensor;

use super::basic_layers::{Conv, Linear, Norm};
use super::network_config::NetworkConfig;
use super::ops::convolution::Form;
use super::ops::pooling_and_upsampling::{max_pool, upsample};
use super::ops::relu_and_channel_sums::{add_per_channel, relu};
use super::parameters::{Builder, Initial, NetworkError};

/// The body up to the features that the last convolution sees.
pub struct UNet {
    down: Vec<Block>,
    bottleneck: Block,
    up: Vec<(Upsample, Block)>,
    last_embedding: Linear,
}

struct Block {
    embedding: Linear,
    layers: Vec<(Conv, Option<Norm>)>,
}

struct Upsample {
    weight: Tensor,
    bias: Tensor,
}

impl UNet {
    /// The body with `widths` channels at each resolution, for embeddings of `embedding` values.
    ///
    /// # Errors
    ///
    /// If there are fewer than two widths, if the image cannot be halved once per width but the last, if
    /// there is normalisation and a width is no multiple of eight, or if stored weights do not fit.
    pub fn new(
        builder: &mut Builder<'_>,
        config: &NetworkConfig,
        widths: &[usize],
        embedding: usize,
    ) -> Result<Self, NetworkError> {
        check(config, widths)?;
        let block = |builder: &mut Builder<'_>, name: &str, n_in, n_out| {
            Block::new(builder, config, name, (n_in, n_out), embedding)
        };
        let deepest = widths.len() - 1;
        let mut down = Vec::with_capacity(deepest);
        let mut n_in = config.image.channels;
        for (i, &width) in widths[..deepest].iter().enumerate() {
            down.push(block(builder, &format!("feature_blocks.{i}"), n_in, width)?);
            n_in = width;
        }
        let bottleneck = block(builder, "bottleneck", n_in, widths[deepest])?;
        let mut up = Vec::with_capacity(deepest);
        for (i, pair) in widths.windows(2).rev().enumerate() {
            let upsample = Upsample::new(builder, i, pair[1], pair[0])?;
            let name = format!("output_blocks.{i}");
            up.push((upsample, block(builder, &name, 2 * pair[0], pair[0])?));
        }
        let last_embedding = Linear::new(builder, "last_emb.1", embedding, widths[0])?;
        Ok(Self { down, bottleneck, up, last_embedding })
    }

    /// Features, `[B, widths[0], H, W]`.
    ///
    /// # Errors
    ///
    /// If the shape or number type of `x` or `embedding` does not fit, or a tensor operation fails.
    pub fn forward(&self, x: &Tensor, embedding: &Tensor) -> candle_core::Result<Tensor> {
        // Every block starts its embedding with the same ReLU.
        let embedding = relu(embedding)?;
        let mut state = x.clone();
        let mut kept = Vec::with_capacity(self.down.len());
        for block in &self.down {
            let features = block.forward(&state, &embedding)?;
            state = max_pool(&features)?;
            kept.push(features);
        }
        state = self.bottleneck.forward(&state, &embedding)?;
        for ((larger, block), skip) in self.up.iter().zip(kept.iter().rev()) {
            let raised = upsample(&state, &larger.weight, &larger.bias)?;
            state = block.forward(&Tensor::cat(&[skip, &raised], 1)?, &embedding)?;
        }
        add_per_channel(&state, &self.last_embedding.forward(&embedding)?)
    }
}

/// A UNet halves its image once per width but the last.
fn check(config: &NetworkConfig, widths: &[usize]) -> Result<(), NetworkError> {
    let problem = if widths.len() < 2 {
        format!("a UNet needs at least two widths, not {}", widths.len())
    } else {
        let factor = 1 << (widths.len() - 1);
        let image = config.image;
        if image.height.is_multiple_of(factor) && image.width.is_multiple_of(factor) {
            return Ok(());
        }
        format!(
            "a UNet of {} widths needs sides that are multiples of {factor}, not {image}",
            widths.len()
        )
    };
    Err(NetworkError::Config { problem })
}

impl Block {
    fn new(
        builder: &mut Builder<'_>,
        config: &NetworkConfig,
        name: &str,
        (n_in, n_out): (usize, usize),
        embedding: usize,
    ) -> Result<Self, NetworkError> {
        let linear = Linear::new(builder, &format!("{name}.emb.1"), embedding, n_in)?;
        let mut layers = Vec::with_capacity(2);
        // Positions in PyTorch's `Sequential`, which counts normalisations and ReLUs.
        let stride = if config.group_norm { 3 } else { 2 };
        for (i, c_in) in [n_in, n_out].into_iter().enumerate() {
            let conv_name = format!("{name}.model.{}", i * stride);
            let conv = Conv::new(builder, &conv_name, (c_in, n_out), 3, config.padding)?;
            let norm = || Norm::new(builder, &format!("{name}.model.{}", i * stride + 1), n_out);
            let norm = config.group_norm.then(norm).transpose()?;
            layers.push((conv, norm));
        }
        Ok(Self { embedding: linear, layers })
    }

    fn forward(&self, x: &Tensor, embedding: &Tensor) -> candle_core::Result<Tensor> {
        let time = self.embedding.forward(embedding)?;
        let mut state = x.clone();
        for (i, (conv, norm)) in self.layers.iter().enumerate() {
            // Only the first convolution of a block gets the time.
            let addend = (i == 0).then_some(&time);
            state = match norm {
                None => conv.forward(&state, addend, Form::Relu)?,
                Some(norm) => {
                    relu(&norm.forward(&conv.forward(&state, addend, Form::Plain)?)?)?
                }
            };
        }
        Ok(state)
    }
}

impl Upsample {
    fn new(
        builder: &mut Builder<'_>,
        index: usize,
        n_in: usize,
        n_out: usize,
    ) -> Result<Self, NetworkError> {
        // PyTorch takes dimension 1 times the kernel's area as fan-in, here the output channels.
        let initial = Initial::Uniform { fan_in: n_out * 4 };
        let shape = [n_in, n_out, 2, 2];
        let weight = builder.parameter(&format!("upsamples.{index}.weight"), &shape, initial)?;
        let bias = builder.parameter(&format!("upsamples.{index}.bias"), &[n_out], initial)?;
        Ok(Self { weight, bias })
    }
}
